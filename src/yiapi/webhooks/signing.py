"""Signatures as Standard Webhooks 1.0 wants them: HMAC-SHA-256 over id, time and the exact bytes of the body."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets as random
from collections.abc import Iterable, Mapping

SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105 - how a secret begins, for people and scanners
VERSION = "v1,"
TOLERANCE_S = 300
SIGNATURES_MAX = 16


def new_secret() -> str:
    """Make a secret."""
    return SECRET_PREFIX + base64.b64encode(random.token_bytes(SECRET_BYTES)).decode()


def signature(secret: str, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Sign one message."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return VERSION + base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()


def signed_headers(secrets: Iterable[str], message_id: str, timestamp_s: int, body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of a message; without a secret it has no signature."""
    signatures = " ".join(signature(secret, message_id, timestamp_s, body) for secret in secrets)
    headers = [(b"webhook-id", message_id.encode()), (b"webhook-timestamp", b"%d" % timestamp_s)]
    return [*headers, (b"webhook-signature", signatures.encode())] if signatures else headers


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, *, now_s: float) -> bool:
    """Whether a message that came to us was signed with this secret, not long ago."""
    message_id, time_text = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (message_id and time_text.isascii() and time_text.isdigit() and len(time_text) <= 12):
        return False
    if abs(now_s - int(time_text)) > TOLERANCE_S:
        return False
    expected = signature(secret, message_id, int(time_text), body).encode()
    given = headers.get("webhook-signature", "").encode().split(b" ")[:SIGNATURES_MAX]
    return any([hmac.compare_digest(one, expected) for one in given])  # noqa: C419 - looks at all, in the same time


def is_secret(text: str) -> bool:
    """Whether a text can be a secret: 24 to 64 bytes in base64, its prefix before it."""
    try:
        return text.startswith(SECRET_PREFIX) and 24 <= len(_key(text)) <= 64
    except (binascii.Error, ValueError):
        return False


def _key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
