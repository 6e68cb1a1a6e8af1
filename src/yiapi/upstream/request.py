"""Write the head of a request, and refuse what could split it in two."""

import re
from collections.abc import Sequence
from typing import Final

from yiapi.upstream.target import Target

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_BODILESS: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH: Final = re.compile(r"/[!\"$-~]*")

# What a caller may not set: how a message is framed is decided here alone.
_RESERVED: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect", b"te", b"trailer"}
)
_COLON: Final = b": "
_BREAK: Final = b"\r\n"
_BREAKING: Final = b"\r\n\0"
_PLAIN: Final = 0
_HOST: Final = 1
_ACCEPT_ENCODING: Final = 2

# What was found valid before, so that it is tested once; emptied when full.
_REMEMBERED_MAX: Final = 1024
_kinds: dict[bytes, int] = {}
_lines: dict[tuple[str, str, str], bytes] = {}


def head_of(target: Target, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], size_bytes: int) -> bytes:
    """Return the request line and headers, with the empty line after them.

    Raises ValueError for a method, path, header name or value that is not acceptable.
    """
    lines = [_lines.get((method, target.prefix, path)) or _line_of(method, target.prefix, path)]
    given = _PLAIN
    for name, _ in headers:
        kind = _kinds.get(name)
        given |= _kind_of(name) if kind is None else kind
    lines += map(_COLON.join, headers)
    lines += target.own_lines if not given else _own_lines(target, given)
    head = _BREAK.join(lines)
    if len(head.translate(None, _BREAKING)) != len(head) - 2 * (len(lines) - 1):
        raise ValueError("a header value has a line break or a zero byte")
    if size_bytes or method not in _BODILESS:
        return b"%b\r\ncontent-length: %d\r\n\r\n" % (head, size_bytes)
    return head + b"\r\n\r\n"


def begun_head(target: Target, method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the request line and headers, to which lines may be added that cannot break it. Raises ValueError."""
    return head_of(target, method, path, headers, 0).removesuffix(b"\r\n").removesuffix(b"content-length: 0\r\n")


def ended_head(head: bytes, size_bytes: int) -> bytes:
    """End a head that was begun."""
    return b"%bcontent-length: %d\r\n\r\n" % (head, size_bytes)


def _line_of(method: str, prefix: str, path: str) -> bytes:
    if method not in METHODS:
        raise ValueError("the method is not known")
    if not _PATH.fullmatch(path):
        raise ValueError("a path begins with a slash and has no spaces, fragments or control characters")
    line = f"{method} {prefix}{path} HTTP/1.1".encode("ascii")
    if len(_lines) >= _REMEMBERED_MAX:
        _lines.clear()
    _lines[method, prefix, path] = line
    return line


def _kind_of(name: bytes) -> int:
    lower = name.lower()
    if not _TOKEN.fullmatch(name) or lower in _RESERVED:
        raise ValueError(f"the header {name!r} cannot be set")
    kind = _HOST if lower == b"host" else _ACCEPT_ENCODING if lower == b"accept-encoding" else _PLAIN
    if len(_kinds) >= _REMEMBERED_MAX:
        _kinds.clear()
    _kinds[name] = kind
    return kind


def _own_lines(target: Target, given: int) -> list[bytes]:
    host, encoding = target.own_lines
    return ([] if given & _HOST else [host]) + ([] if given & _ACCEPT_ENCODING else [encoding])
