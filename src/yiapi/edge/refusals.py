"""What a caller is told whose bytes are no request that is taken here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Refusal = Callable[[int, bytes], tuple[bytes, bytes]]
"""Given the status and the path, as far as one was named, return header lines and body."""

REASONS: Final = {
    400: "This is not HTTP as everybody reads it.",
    405: "This is no proxy.",
    408: "The head of the request came too slowly.",
    417: "This expectation cannot be met.",
    431: "The head of the request is too large.",
    505: "Only HTTP/1.0 and HTTP/1.1 are spoken here.",
}


def plain_refusal(status: int, path: bytes) -> tuple[bytes, bytes]:
    """Say it as text, whatever the path."""
    del path
    return b"content-type: text/plain; charset=utf-8\r\n", REASONS[status].encode()
