"""A stream on its way to the caller: events pass as bytes, a tap reads along, and nothing is waited for between.

Each piece is judged and written in the callback that brought it. A caller that does not keep up stops the reading.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from yiapi.clock import Clock
from yiapi.edge import HeaderPairs
from yiapi.errors import StationError, StreamIncomplete, UpstreamFailed, UpstreamTimeout
from yiapi.logs import get_logger
from yiapi.providers.contract import Seen, Tap
from yiapi.relay.call import Call
from yiapi.upstream import EventSplitter, EventTooLarge, IdleTimeout, Response, TotalTimeout, UpstreamError

STREAM_HEADERS: HeaderPairs = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
# Asked for with every event, and an enum takes its time to look up its members.
ERROR = Seen.ERROR
HIDE = Seen.HIDE
END = Seen.END
LINGER_S = 1.0
"""How long the end of an answer is waited for behind its last event, so that the connection can be used again."""

log = get_logger()


@dataclass(slots=True)
class Opened:
    """A stream whose first content has arrived."""

    response: Response
    splitter: EventSplitter
    tap: Tap
    pending: list[bytes]
    has_ended: bool
    events: list[bytes] = field(default_factory=list)
    """Every event, where the answer must be kept whole for an idempotency key."""
    error: StationError | None = None
    """The vendor failed in the same breath as its first content."""


class Passage:
    """Passes one stream on. ``over`` is told once how it ended: with a failure, or None for a clean end."""

    __slots__ = ("_call", "_clock", "_is_muted", "_is_over", "_opened", "_over", "_stopped")

    def __init__(self, call: Call, opened: Opened, clock: Clock, over: Callable[[StationError | None], None]) -> None:
        self._call = call
        self._opened = opened
        self._clock = clock
        self._over = over
        self._stopped: StationError | None = None  # the stream is read to its end without its caller
        self._is_muted = False
        self._is_over = False

    def begin(self) -> None:
        """Send the head and what has arrived, and go on with the rest as it comes."""
        opened = self._opened
        opened.response.headers = []  # nobody asks for them any more, and streams are many
        self._call.begin(200, STREAM_HEADERS)
        self._write(b"".join(opened.pending))
        opened.pending.clear()
        if opened.error is not None or opened.has_ended:
            self._end(opened.error)
        else:
            opened.response.follow(self._arrived)

    def stop(self, failure: StationError, *, drain_s: float = 0.0) -> None:
        """End the stream with this failure: now, or when the vendor has said the rest, to learn what it used."""
        if self._is_over:
            return
        if drain_s:
            self._is_muted, self._stopped = True, failure
            self._opened.response.limit(drain_s)
            self._opened.response.go_on()
        else:
            self._end(failure)

    def _arrived(self, response: Response) -> None:
        """Pass on what has arrived."""
        if self._is_over:
            return
        piece = response.at_hand()
        try:
            failure = self._look(piece) if piece else None
        except EventTooLarge:
            failure = UpstreamFailed("The vendor's stream broke.")
        except Exception:
            log.exception("stream_broke", request_id=self._call.request_id)
            failure = UpstreamFailed("Something went wrong on our side.")
        if failure is not None or self._opened.has_ended:
            self._end(failure)
        elif response.has_ended:
            self._end(_failure_of(response.error))

    def _look(self, piece: bytes) -> StationError | None:
        """Judge the events of a piece and write those that pass; return a failure. Raises EventTooLarge."""
        opened = self._opened
        see = opened.tap.see
        passing: list[bytes] = []
        failure: StationError | None = None
        for event in opened.splitter.feed(piece):
            try:
                seen = see(event)
            except ValueError:
                failure = UpstreamFailed("The vendor's stream broke.")
                break
            if seen is ERROR:
                failure = UpstreamFailed("The vendor failed while it answered.")
                break
            if seen is not HIDE:
                passing.append(event)
            if seen is END:
                opened.has_ended = True
                break
        if passing:
            self._write(passing[0] if len(passing) == 1 else b"".join(passing))
        return failure

    def _write(self, piece: bytes) -> None:
        call = self._call
        if self._is_muted:
            return
        if call.claim is not None:
            self._opened.events.append(piece)
        call.touched = self._clock.monotonic()
        inbound = call.inbound
        if inbound.write(piece):
            response = self._opened.response
            response.hold()
            inbound.on_drain(response.go_on)

    def _end(self, failure: StationError | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        response = self._opened.response
        if failure is None:
            response.let_end(LINGER_S)
        else:
            response.close()
        self._over(self._stopped or failure)


def _failure_of(error: UpstreamError | None) -> StationError:
    """Say what an answer means that has ended before its end mark."""
    if error is None:
        return StreamIncomplete("The vendor's stream ended before its end.")
    if isinstance(error, IdleTimeout | TotalTimeout):
        return UpstreamTimeout("The vendor fell silent.")
    return StreamIncomplete("The vendor's stream was cut.")
