"""The server's secret and what is derived from it.

One secret (``YIAPI_SECRET``, else ``DIR/secret``) gives a key per purpose by HKDF, so that the pepper of API keys, the
sealing key, the link key and the session key are never the same. Sealed text is AES-256-GCM with a random nonce, the id
of the key and the id of its row as associated data, so a sealed credential cannot be moved to another row.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets as random
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_CHARACTERS_MIN = 32


class SecretUnusable(ValueError):
    """The server secret is missing, short or too simple; the station refuses to start with it."""


class SealBroken(ValueError):
    """A sealed text was altered, moved to another row, or sealed under another secret."""


class ServerSecret:
    """The one secret of a station, and the keys derived from it by purpose."""

    def __init__(self, secret: str) -> None:
        if len(secret) < SECRET_CHARACTERS_MIN or len(set(secret)) < 8:
            raise SecretUnusable(f"the server secret needs at least {SECRET_CHARACTERS_MIN} random characters")
        self._secret = secret.encode()

    def key(self, purpose: str) -> bytes:
        """Derive the 32-byte key of one purpose."""
        return HKDF(hashes.SHA256(), 32, salt=None, info=f"yiapi/{purpose}".encode()).derive(self._secret)

    def fingerprint(self) -> str:
        """Return what the database keeps to recognise the secret: it gives nothing of it away."""
        return hashlib.sha256(self.key("fingerprint")).hexdigest()


def load_secret(folder: Path, given: str | None) -> ServerSecret:
    """Return the secret that was given, else the one of the data folder, made there (0600) at the first start.

    Raises SecretUnusable.
    """
    if given:
        return ServerSecret(given)
    path = folder / "secret"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return ServerSecret(path.read_text().strip())
    with os.fdopen(handle, "w") as file:
        file.write(random.token_urlsafe(48))
        file.flush()
        os.fsync(file.fileno())
    return ServerSecret(path.read_text().strip())


class Seal:
    """Seals short texts under one purpose's key."""

    KEY_ID = "k1"

    def __init__(self, secret: ServerSecret, purpose: str) -> None:
        self._cipher = AESGCM(secret.key(purpose))

    def seal(self, text: str, row: str) -> str:
        """Seal a text for one row."""
        nonce = random.token_bytes(12)
        sealed = self._cipher.encrypt(nonce, text.encode(), row.encode())
        return f"{self.KEY_ID}:{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, row: str) -> str:
        """Open what was sealed for this row. Raises SealBroken."""
        key_id, _, body = sealed.partition(":")
        if key_id != self.KEY_ID:
            raise SealBroken(f"sealed under an unknown key {key_id!r}")
        try:
            raw = base64.b64decode(body, validate=True)
            return self._cipher.decrypt(raw[:12], raw[12:], row.encode()).decode()
        except (InvalidTag, ValueError) as error:  # a tag that does not fit, or no sealed text at all
            raise SealBroken("the sealed text does not open for this row") from error


def keyed_hash(key: bytes, text: str) -> str:
    """Return the HMAC-SHA-256 of a text in hex."""
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()
