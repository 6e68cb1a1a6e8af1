"""What a key looks like: ``sk-live-`` and 38 base62 characters, the last six of them a checksum of all before them.

The checksum tells a mistyped, cut or invented key from a real one without asking anything; 32 characters are 190 random
bits.
"""

from __future__ import annotations

import secrets
import zlib

from yiapi.apikeys.models import KeyMode

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
RANDOM_LENGTH = 32
CHECKSUM_LENGTH = 6

PREFIXES: dict[KeyMode, str] = {"live": "sk-live-", "test": "sk-test-", "admin": "sk-admin-"}

_PREFIXES = tuple(prefix.encode() for prefix in PREFIXES.values())
_LENGTHS = frozenset(len(prefix) + RANDOM_LENGTH + CHECKSUM_LENGTH for prefix in PREFIXES.values())
_PAIRS = [(first + second).encode() for first in ALPHABET for second in ALPHABET]


def make_text(mode: KeyMode) -> str:
    """Make a new key of a mode."""
    body = PREFIXES[mode] + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_LENGTH))
    return body + checksum(body.encode()).decode()


def checked(text: str | None) -> bytes | None:
    """Return a key's bytes if its form and its checksum are right, else None."""
    if text is None or len(text) not in _LENGTHS or not text.isascii():
        return None
    raw = text.encode()
    if raw[-CHECKSUM_LENGTH:] != checksum(raw[:-CHECKSUM_LENGTH]) or not raw.startswith(_PREFIXES):
        return None
    return raw


def checksum(body: bytes) -> bytes:
    """Write a CRC-32 in six base62 characters, two at a time."""
    rest, low = divmod(zlib.crc32(body), 3844)
    high, middle = divmod(rest, 3844)
    return _PAIRS[high] + _PAIRS[middle] + _PAIRS[low]


def hint(text: str) -> str:
    """Return what may be shown of a key: its prefix and its last four characters."""
    return f"{text[: text.rindex('-') + 1]}…{text[-4:]}"
