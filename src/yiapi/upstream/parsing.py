"""Follow an answer byte by byte: where its head, its body and its end are.

The framing is decided here and nowhere else. When there are two ways to read an answer, it is
refused; when anything follows an answer, the connection is not used again.
"""

from typing import Final

from httptools import HttpResponseParser

from yiapi.upstream.errors import AnswerTooLarge, BadAnswer, UpstreamError
from yiapi.upstream.framing import framing_of
from yiapi.upstream.response import Response

HEAD_BYTES_MAX: Final = 64 * 1024  # of the head, of trailers, and of anything else around the body
HEADERS_MAX: Final = 200

UNUSED: Final = 0
HEAD: Final = 1
BODY: Final = 2
DONE: Final = 3

_NEVER: Final = float("inf")
_FINAL: Final = 200
_SWITCHING: Final = 101
_BODILESS: Final = frozenset({204, 304})
_HEAD_END: Final = b"\r\n\r\n"


class AnswerParser:
    """The receiving half of a connection.

    Its callbacks are called by the parser of httptools and never raise: what is wrong is kept
    until the piece is done.
    """

    __slots__ = (
        "_answer",
        "_bare_bytes",
        "_failure",
        "_headers",
        "_is_head",
        "_is_interim",
        "_keeps",
        "_last_piece",
        "_length",
        "_parser",
        "_phase",
        "_trailers",
        "keep_s",
    )

    def __init__(self) -> None:
        self._answer: Response | None = None
        self._failure: UpstreamError | None = None
        self._keeps = True  # whether the connection may serve another call
        self._parser: HttpResponseParser | None = None
        self._phase = UNUSED
        self.keep_s = _NEVER  # for how long the peer keeps the connection, as far as it said

    def _expect(self, answer: Response, *, is_head: bool) -> None:
        """Prepare for the answer to a new request."""
        self._answer = answer
        self._bare_bytes = 0  # since the last byte of a body
        self._failure = None
        self._headers = answer.headers
        self._is_head = is_head
        self._is_interim = False
        self._last_piece = b""
        self._phase = HEAD
        self._trailers = 0
        if self._parser is None:
            self._parser = HttpResponseParser(self)

    def _broken(self, error: Exception) -> None:
        """Note what the parser could not read."""
        self._keeps = False
        if self._phase != DONE:
            self._refuse(BadAnswer("the answer is not HTTP as we know it"), error)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header; those after the body are counted and thrown away."""
        if self._phase == HEAD:
            self._headers.append((name.lower(), value))
            return
        self._trailers += 1
        if self._trailers > HEADERS_MAX:
            self._refuse(BadAnswer("the answer has too many trailers"))

    def on_headers_complete(self) -> None:
        """Decide what kind of body follows."""
        answer = self._answer
        parser = self._parser
        if self._phase != HEAD or answer is None or parser is None:
            self._keeps = False  # another answer after ours
            return
        status = parser.get_status_code()
        if status < _FINAL:
            self._is_interim = True
            if status == _SWITCHING:
                self._refuse(BadAnswer("the peer wants to change the protocol"))
            return
        try:
            self._take_head(answer, parser, status)
        except UpstreamError as error:
            self._refuse(error)

    def _take_head(self, answer: Response, parser: HttpResponseParser, status: int) -> None:
        headers = self._headers
        if len(headers) > HEADERS_MAX or (
            self._bare_bytes > HEAD_BYTES_MAX
            and sum(len(name) + len(value) for name, value in headers) > HEAD_BYTES_MAX
        ):
            raise BadAnswer("the head of the answer is too large")
        length, encoding, keep_s = framing_of(headers)
        self._bare_bytes = 0
        self.keep_s = keep_s
        self._phase = BODY
        if self._is_head:
            self._phase = DONE
            self._keeps = parser.should_keep_alive()
            self._parser = None  # it waits for a body that does not come
        if self._is_head or status in _BODILESS:
            length = 0
        self._length = length
        answer.begin(status, headers, encoding if length else b"")
        if length > answer.size_bytes_max:
            raise AnswerTooLarge("the answer is longer than the limit")

    def on_body(self, piece: bytes) -> None:
        """Hand a piece of the body on."""
        answer = self._answer
        if self._phase != BODY or answer is None:
            self._keeps = False
            if self._phase == HEAD:
                self._refuse(BadAnswer("an interim answer has a body"))
        elif self._failure is None:
            self._bare_bytes = 0
            self._last_piece = piece
            try:
                answer.accept(piece)
            except UpstreamError as error:
                self._refuse(error)

    def on_message_complete(self) -> None:
        """Note the end of an answer, or of an interim one, which is forgotten."""
        if self._is_interim:
            self._is_interim = False
            self._headers.clear()
        elif self._phase == BODY:
            self._phase = DONE
            if self._parser is None or not self._parser.should_keep_alive():
                self._keeps = False

    def _refuse(self, failure: UpstreamError, cause: BaseException | None = None) -> None:
        if self._failure is None:
            failure.__cause__ = cause
            self._failure = failure

    def _is_end(self, data: bytes) -> bool:
        """Whether the answer ends where the data ends: what follows an answer is not to be trusted."""
        if self._length > 0:
            return data.endswith(self._last_piece)
        return (data.endswith(_HEAD_END) or _HEAD_END.endswith(data)) and not data.endswith(b"\n\r\n\r\n")
