"""How long an answer is: what its head says about the body that follows."""

from typing import Final

from yiapi.upstream.errors import BadAnswer

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

_NEVER: Final = float("inf")
_TELLING: Final = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive"})


def framing_of(headers: list[tuple[bytes, bytes]]) -> tuple[int, bytes, float]:
    """Read from headers with lower-case names what they say about the body and the connection.

    Returns the length in bytes, or CHUNKED, or UNTIL_CLOSE; the compression, empty when there is
    none; and for how many seconds the peer keeps the connection when idle, as far as it says.

    Raises BadAnswer when the length is stated in two ways or in a way that is not known: two
    readers could then disagree on where the answer ends.
    """
    length = UNTIL_CLOSE
    encoding = b""
    keep_s = _NEVER
    for name, value in headers:
        if name not in _TELLING:
            continue
        if name == b"keep-alive":
            keep_s = _keep_s(value)
        elif name == b"content-encoding":
            encoding = _encoding(encoding, value)
        elif length != UNTIL_CLOSE:
            raise BadAnswer("the answer states its length twice")
        else:
            length = _length(value) if name == b"content-length" else _chunked(value)
    return length, encoding, keep_s


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise BadAnswer("the length of the answer is not a number")
    return int(value)


def _chunked(value: bytes) -> int:
    if value.strip().lower() != b"chunked":
        raise BadAnswer("the transfer encoding is not known")
    return CHUNKED


def _encoding(before: bytes, value: bytes) -> bytes:
    encoding = value.strip().lower()
    if encoding in {b"", b"identity"}:
        return before
    if before:
        raise BadAnswer("the answer is compressed twice")
    return encoding


def _keep_s(value: bytes) -> float:
    """Return the time that a Keep-Alive header grants, less a second for the way."""
    for parameter in value.split(b","):
        name, _, seconds = parameter.strip().partition(b"=")
        if name.lower() == b"timeout" and seconds.isdigit() and len(seconds) < 9:
            return max(float(seconds) - 1.0, 0.0)
    return _NEVER
