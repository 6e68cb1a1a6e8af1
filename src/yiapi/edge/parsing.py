"""Follow the requests of a connection byte by byte: where each head, body and end is.

The framing of a request is decided here and nowhere else, by httptools and a few rules of our own: what could be read
in two ways is refused, and the connection closed, because whoever stands before us may have read it the other way.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from yiapi.edge.heads import HeaderPairs, lines_of
from yiapi.edge.inbound import Head, Inbound, Line
from yiapi.edge.limits import EdgeLimits

_SINGLE: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"expect",
        b"authorization",
        b"content-type",
        b"content-encoding",
        b"idempotency-key",
    }
)
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://[^/?#@]+([/?].*)?", re.DOTALL)
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length:[ \t]*([0-9]{1,9})\r\n")
_DIGITS_MAX: Final = 9
_REMEMBERED_BYTES_MAX: Final = 4096
_LESSONS_MAX: Final = 8
"""How often a head is remembered in vain, before a caller is taken for one whose heads are never the same."""

_METHODS: Final = {name.encode(): name for name in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")}


_SPENT: Final = HttpRequestParser(object())
"""In the place of the parser of a connection that has ended."""


class Refused(Exception):
    """A head that is not taken; ``status`` is what the caller is told."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class RequestParser(ABC):
    """The receiving half of a connection.

    Its callbacks are called by httptools and never raise: what is wrong is kept until the piece is done.
    """

    __slots__ = (
        "_again",
        "_bare_bytes",
        "_headers",
        "_lessons",
        "_limits",
        "_newest",
        "_parser",
        "_peer",
        "_piece_bytes",
        "_refusal",
        "_refused",
        "_remembered",
        "_spare_bytes",
        "_target",
    )

    def __init__(self, limits: EdgeLimits) -> None:
        self._limits = limits
        self._parser = HttpRequestParser(self)
        self._peer: str | None = None
        self._headers: HeaderPairs = []
        self._target = b""
        self._again = b""  # the head of a request that wished for another protocol, without the wish
        self._piece_bytes = 0  # of the piece that is being parsed
        self._bare_bytes = 0  # of the pieces since the last head, body or end: all of it is of a head, or around a body
        self._spare_bytes = 0  # of the piece that ended the last request: some of it may be of the next head
        self._refusal = 0  # the status for what came and is not taken
        self._refused = b""  # the target of that, where it was read to its end
        self._newest: Inbound | None = None  # the request whose bytes are coming in
        self._remembered: tuple[bytes, bytes, Head] | None = None  # the last head, before and after its length
        self._lessons = 0

    @abstractmethod
    def took(self, inbound: Inbound) -> None:
        """Take a request whose head is there."""

    def _end_parsing(self) -> None:
        """Nothing comes any more: connection and parser let go of each other."""
        self._parser = _SPENT

    def on_url(self, url: bytes) -> None:
        """Collect the target, which may come in pieces."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header, or a trailer."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take a head, if it is one that everybody reads alike."""
        if self._refusal:
            return
        pairs, self._headers = self._headers, []
        target, self._target = self._target, b""
        try:
            inbound = self._inbound(pairs, target)
        except Refused as refused:
            self._refusal, self._refused = refused.status, target
            return
        finally:
            self._bare_bytes = 0
        if inbound is None:
            return
        self._newest = inbound
        self.took(inbound)

    def on_body(self, piece: bytes) -> None:
        """Hand a piece of the body on."""
        self._bare_bytes = 0
        if self._newest is not None and not self._refusal:
            self._newest.arrived(piece)

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        newest, self._newest = self._newest, None
        if self._headers:
            self._end_trailers(newest)
        self._bare_bytes = 0
        self._spare_bytes = self._piece_bytes
        if newest is not None and not self._refusal:
            newest.completed()

    def _end_trailers(self, inbound: Inbound | None) -> None:
        """Throw the headers after a body away; what they say of the connection was read by the parser."""
        self._headers.clear()
        if inbound is not None:
            inbound.keeps_connection = inbound.keeps_connection and self._parser.should_keep_alive()

    def _feed_again(self, rest: memoryview) -> None:
        """Parse what follows a request that wished for another protocol, and first that request, without the wish.

        The parser takes the head for the end of HTTP. Its body would be read as the next request.
        """
        while not self._refusal:
            self._parser = HttpRequestParser(self)
            head, self._again = self._again, b""
            try:
                self._parser.feed_data(head)
                self._parser.feed_data(rest)
            except HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                continue
            except HttpParserError:
                self._refusal = self._refusal or 400
            return

    def _inbound(self, pairs: HeaderPairs, target: bytes) -> Inbound | None:
        """Check a head and make the request of it; None where it is to be read again. Raises Refused."""
        parser, limits = self._parser, self._limits
        headers = dict(pairs)
        version = parser.get_http_version()
        if len(pairs) > limits.headers_max or (
            self._bare_bytes + self._spare_bytes > limits.head_bytes_max
            and sum(len(name) + len(value) for name, value in pairs) + len(target) > limits.head_bytes_max
        ):
            raise Refused(431)
        if version not in {"1.1", "1.0"}:
            raise Refused(505)
        if len(headers) != len(pairs) and not _are_single(pairs):
            raise Refused(400)
        if b"host" not in headers and version != "1.0":
            raise Refused(400)
        if b"transfer-encoding" in headers and (
            headers[b"transfer-encoding"].rstrip(b" ").lower() != b"chunked" or version == "1.0"
        ):
            raise Refused(400)
        if b"expect" in headers and headers[b"expect"].rstrip().lower() != b"100-continue" and version != "1.0":
            raise Refused(417)
        method = parser.get_method()
        if method == b"CONNECT":
            raise Refused(405)
        if b"upgrade" in headers and parser.should_upgrade():
            self._again = _without_upgrade(method, target, version, pairs)
            return None
        if target[:1] != b"/":
            target = _origin_form(method, target)
        head = Head(
            _METHODS.get(method) or method.decode("latin-1"),
            target,
            pairs,
            headers,
            version=version,
            peer=self._peer,
            keeps_connection=parser.should_keep_alive(),
        )
        return Inbound(cast("Line", self), head)

    # Heads that come again

    def _same_again(self, data: bytes) -> Inbound | None:
        """Return the request that these bytes are, if the last one's head and a whole body; None: they need parsing.

        Only the length may differ. The head was found to be one that everybody reads alike, byte by byte this one.
        """
        if self._remembered is None:
            return None
        before, after, head = self._remembered
        start = len(before)
        end = data.find(b"\r", start, start + _DIGITS_MAX + 1)
        digits = data[start:end]
        if end < 0 or not (digits.isdigit() and data.startswith(before) and data.startswith(after, end)):
            return None
        body = data[end + len(after) :]
        if len(body) != int(digits):
            return None
        self._lessons = 0
        inbound = Inbound(cast("Line", self), head)
        inbound.came_again(body, digits)
        return inbound

    def _remember(self, data: bytes, inbound: Inbound) -> None:
        """Remember the head of a request that came in one piece, if the next may come with the same."""
        headers = inbound.headers
        end = data.find(b"\r\n\r\n") + 4
        if (
            self._lessons >= _LESSONS_MAX
            or not 4 <= end <= _REMEMBERED_BYTES_MAX
            or len(data) - end != inbound.unread_bytes
            or b"transfer-encoding" in headers
            or b"expect" in headers
            or b"upgrade" in headers
        ):
            return
        found = list(_LENGTH.finditer(data, 0, end))
        if len(found) == 1 and int(found[0][1]) == len(data) - end:
            self._lessons += 1
            self._remembered = data[: found[0].start(1)], data[found[0].end(1) : end], inbound.head


def _are_single(pairs: HeaderPairs) -> bool:
    """Whether headers that decide something come once."""
    names = [name for name, _ in pairs if name in _SINGLE]
    return len(set(names)) == len(names)


def _origin_form(method: bytes, target: bytes) -> bytes:
    """Take scheme and host off a target, which is how one speaks to a proxy. Raises Refused."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        path = absolute[1]
        return path if path.startswith(b"/") else b"/" + path
    if target == b"*" and method == b"OPTIONS":
        return target
    raise Refused(400)


def _without_upgrade(method: bytes, target: bytes, version: str, pairs: HeaderPairs) -> bytes:
    """Write a head again as it came, but for the wish for another protocol."""
    lines = lines_of([pair for pair in pairs if pair[0] != b"upgrade"])
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version.encode(), lines)
