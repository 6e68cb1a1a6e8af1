"""Write the heads of answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

HeaderPairs = list[tuple[bytes, bytes]]

_COLON: Final = b": "
_BREAK: Final = b"\r\n"

STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def status_line(status: int) -> bytes:
    """Return the first line of an answer."""
    return STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def lines_of(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return headers as the lines that they are, each with its end. Values must have no line breaks."""
    return _BREAK.join([*map(_COLON.join, pairs), b""])


def date_line() -> bytes:
    """Return the header that says what time it is; good for a second."""
    return f"date: {formatdate(time.time(), usegmt=True)}\r\n".encode()
