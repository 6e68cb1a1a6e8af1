"""Cut a stream of server-sent events into its events without changing a byte.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines may end with LF,
CRLF or CR; an empty line ends an event.
"""

import re
from typing import Final

from yiapi.upstream.errors import EventTooLarge

EVENT_BYTES_MAX: Final = 1024 * 1024

_LF: Final = 0x0A
_BOM: Final = b"\xef\xbb\xbf"
# The end of a line and an empty line after it. A CR that is the last byte there is decides
# nothing yet: an LF may follow, and belongs to it.
_END: Final = re.compile(rb"(?>\r\n|\n|\r(?!\n))(?>\r\n|\n|\r(?=[^\n]))")
_BLANK: Final = re.compile(rb"\r\n|\n|\r(?=[^\n])")
_LONGEST_END: Final = 4


class EventSplitter:
    """Collect bytes as they arrive and hand out events as soon as they are complete.

    The events put together, and the rest, are exactly the bytes that were fed. An empty line
    without an event before it is handed out as an event of its own, which carries no data.
    """

    __slots__ = ("_event_bytes_max", "_searched", "_tail")

    def __init__(self, *, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._event_bytes_max = event_bytes_max
        self._tail = bytearray()
        self._searched = 0  # no end begins before this place of the tail

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the events that are complete now. Raises EventTooLarge."""
        if (
            not self._tail
            and piece.find(b"\n\n") == len(piece) - 2
            and piece[0] != _LF
            and piece.find(b"\r") < 0  # "in" would try it as a number first
            and 2 < len(piece) < self._event_bytes_max
        ):
            return [piece]  # what it usually is: one whole event
        self._tail += piece
        return self._cut()

    def end(self) -> list[bytes]:
        """Return what only the end of the stream completes: an event whose last byte is a lone CR."""
        if not self._tail.endswith(b"\r"):
            return []
        self._tail += b" "  # anything but LF settles the CR
        events = self._cut()
        del self._tail[-1:]
        return events

    def rest(self) -> bytes:
        """Return the event that has begun and is not complete."""
        return bytes(self._tail)

    def _cut(self) -> list[bytes]:
        tail = self._tail
        events: list[bytes] = []
        start = 0
        searched = self._searched
        while match := _BLANK.match(tail, start) or _END.search(tail, max(start, searched)):
            if match.end() - start > self._event_bytes_max:
                break
            events.append(bytes(tail[start : match.end()]))
            start = match.end()
        del tail[:start]
        if len(tail) > self._event_bytes_max:
            raise EventTooLarge("an event of the stream is too large")
        self._searched = max(len(tail) - _LONGEST_END, 0)
        return events


def data_of(event: bytes) -> bytes:
    """Return the data of an event, its lines joined; empty when it has none."""
    if event.startswith(b"data: ") and event.find(b"\n") == len(event) - 2 and event.find(b"\r") < 0:
        return event[6:-2]
    return b"\n".join(_values(event, b"data"))


def name_of(event: bytes) -> bytes:
    """Return the type of an event; empty when it has none."""
    names = _values(event, b"event")
    return names[-1] if names else b""


def _values(event: bytes, field: bytes) -> list[bytes]:
    values: list[bytes] = []
    for line in event.removeprefix(_BOM).splitlines():
        name, _, value = line.partition(b":")
        if name == field:
            values.append(value.removeprefix(b" "))
    return values
