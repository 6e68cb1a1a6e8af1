"""Logs: one JSON line per event to standard error, without secrets, and never in the way of a request.

The caller's side only notes the event in a bounded queue; a thread redacts it and writes it out, and may be blocked by
a full pipe or disk for as long as it likes. What finds no place in the queue is counted, and the count is logged.

::

    log = get_logger()
    log.info("channel_disabled", channel_id=channel.id, reason="credential")
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import queue
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NoReturn, cast

import msgspec
import structlog
from structlog.typing import FilteringBoundLogger

LINES_WAITING_MAX = 10_000
WRITE_BYTES_MAX = 4096  # a pipe takes this much in one piece, so lines of several processes do not mix
FLUSH_S = 2.0

FIELD_CHARACTERS_MAX = 1000
SEARCHED_CHARACTERS_MAX = 65_536  # what lies behind is cut off unread
TRACEBACK_LINES_MAX = 60
ENTRIES_MAX = 50  # of a list or mapping
DEPTH_MAX = 4
REMEMBERED_CHARACTERS_MIN = 8  # shorter texts occur by chance

Event = MutableMapping[str, Any]
Write = Callable[[bytes], object]


def get_logger() -> FilteringBoundLogger:
    """Return the logger; the first argument of a line is what happened, the others are plain values."""
    return cast("FilteringBoundLogger", structlog.get_logger().bind())  # bound: a lazy one costs a microsecond a line


def configure_logs(level: str = "info", *, write: Write | None = None) -> None:
    """Set the least level and where lines go (unless given, as before: standard error); called before the first line.

    Lines of libraries come here too, from warnings on. A server that brings a configuration of its own is to be
    started without it (``log_config=None``).
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    _sink.level = number
    if write is not None:
        _sink.write = write
    logging.basicConfig(handlers=[_Adopted()], level=max(number, logging.WARNING), force=True)
    logging.captureWarnings(capture=True)


def notes_calls() -> bool:
    """Whether the lines that tell of each call are written, so that nobody makes one in vain."""
    return _sink.level <= logging.INFO


def flush_logs(timeout_s: float = FLUSH_S) -> bool:
    """Wait until the lines so far are written, and return whether they are."""
    return _sink.flush(timeout_s)


def lines_dropped() -> int:
    """Return how many lines were lost since the start because they could not be written."""
    return _sink.dropped


def write_to_stderr(data: bytes) -> None:
    """Write all of it, however long that takes, also where another program made the pipe non-blocking."""
    while data:
        try:
            data = data[os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, data) :]
        except BlockingIOError:
            select.select([], [2], [])


# ---------------------------------------------------------------------------------------------------------------------
# The caller's side
# ---------------------------------------------------------------------------------------------------------------------


def _note(_logger: object, level: str, event: Event) -> NoReturn:
    if _LEVELS[level] < _sink.level:
        raise structlog.DropEvent
    event = {**structlog.contextvars.get_contextvars(), **event, "level": level, "time": time.time()}
    if event.get("exc_info") is True:
        event["exc_info"] = sys.exception()  # gone by the time the writer looks
    _sink.put(event)
    raise structlog.DropEvent


class _Adopted(logging.Handler):
    """Takes the lines of libraries that use the standard library's logging."""

    def emit(self, record: logging.LogRecord) -> None:
        event = {"event": record.getMessage(), "logger": record.name, "time": record.created}
        event |= {"level": record.levelname.lower(), "exc_info": record.exc_info and record.exc_info[1]}
        _sink.put(event)


# ---------------------------------------------------------------------------------------------------------------------
# The writer's side
# ---------------------------------------------------------------------------------------------------------------------


class _Sink:
    """The queue between those who log and the thread that writes."""

    def __init__(self, write: Write) -> None:
        self.write = write
        self.level = logging.INFO
        self.dropped = 0
        self._reported = 0
        self._waiting: queue.SimpleQueue[Event | threading.Event] = queue.SimpleQueue()
        self._started = False
        self._start = threading.Lock()

    def put(self, event: Event | threading.Event) -> None:
        """Note an event without waiting for anything."""
        if self._waiting.qsize() >= LINES_WAITING_MAX:
            self.dropped += 1
            return
        self._waiting.put(event)
        if not self._started:
            self._begin()

    def flush(self, timeout_s: float) -> bool:
        if not self._started:
            return True
        written = threading.Event()
        self._waiting.put(written)
        return written.wait(timeout_s)

    def _begin(self) -> None:
        with self._start:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="logs", daemon=True).start()
                atexit.register(self.flush, FLUSH_S)

    def _run(self) -> None:
        lines: list[bytes] = []
        while True:
            if lines and self._waiting.empty():
                self._put_out(lines)
            item = self._waiting.get()
            if isinstance(item, threading.Event):
                self._put_out(lines)
                item.set()
                continue
            line = _line(item)
            if sum(map(len, lines)) + len(line) > WRITE_BYTES_MAX:
                self._put_out(lines)
            lines.append(line)

    def _put_out(self, lines: list[bytes]) -> None:
        """Write and forget these lines, with a word on what was dropped before them."""
        if self.dropped > self._reported:
            missing, self._reported = self.dropped - self._reported, self.dropped
            lines.append(
                _line({"event": "log_lines_dropped", "level": "warning", "time": time.time(), "count": missing})
            )
        if lines:
            try:
                self.write(b"".join(lines))
            except OSError:  # a closed pipe, a full disk: there is nowhere to say it but in the count
                self.dropped += len(lines)
                self._reported = self.dropped
            lines.clear()


def _line(event: Event) -> bytes:
    """Write an event as a line of JSON; what cannot be written is said so instead of stopping the thread."""
    try:
        return msgspec.json.encode(_fields(event)) + b"\n"
    except Exception as error:  # noqa: BLE001 - the text of a foreign object may raise whatever it likes
        return (
            msgspec.json.encode({"event": "log_line_unwritable", "level": "error", "error": type(error).__name__})
            + b"\n"
        )


def _fields(event: Event) -> dict[str, object]:
    moment = datetime.fromtimestamp(event.pop("time"), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields: dict[str, object] = {"time": moment, "level": event.pop("level"), "event": ""}  # in this order
    error = event.pop("exc_info", None)
    fields |= {name: _field(name, value) for name, value in event.items()}
    if isinstance(error, BaseException):
        fields["error"] = redact(f"{type(error).__name__}: {error}")
        fields["traceback"] = _traceback(error)
    return fields


def _traceback(error: BaseException) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()
    return "\n".join(redact(line) for line in lines[-TRACEBACK_LINES_MAX:])


def _field(name: str, value: object, depth: int = 0) -> object:
    """Return a value as plain JSON without secrets."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, Mapping) and depth < DEPTH_MAX:
        return {redact(str(key)): _field(str(key), part, depth + 1) for key, part in islice(value.items(), ENTRIES_MAX)}
    if isinstance(value, list | tuple | set | frozenset) and depth < DEPTH_MAX:
        return [_field(name, part, depth + 1) for part in islice(cast("Iterable[object]", value), ENTRIES_MAX)]
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return _masked(text) if _names_a_secret(name) else redact(text)


# ---------------------------------------------------------------------------------------------------------------------
# What must not be seen
# ---------------------------------------------------------------------------------------------------------------------

_PUBLIC = r"sk-(?:(?:live|test|admin|proj|ant|or)-)?|whsec_|AIza|r8_"
_KEYS = re.compile(
    rf"""\bwhsec_[A-Za-z0-9+/=_-]{{12,}}
    | \b(?:{_PUBLIC})[A-Za-z0-9_-]{{12,}}
    | \beyJ[\w-]{{4,}}\.[\w-]+\.[\w-]*
    | (?<=://)[^\s/@"']+(?=@)
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = (
    r"(?:api[-_]?key|x-key|(?:access|private|secret)[-_]?key|(?:api[-_])?secret|password|passwd|token|authorization"
    r"|cookie|credentials?|signature)"
)
_NAMED = re.compile(
    rf"""(?P<name>\bBearer\s+|\bBasic\s+|[?&](?:key|sig)=|{_WORDS}["']?\s*[:=]\s*["']?(?!Bearer\b|Basic\b))"""
    r"""(?P<value>[^\s"'&,;}…\\]{4,}+)(?!…)""",
    re.IGNORECASE,
)
_FIELD = re.compile(rf"(?:.*[-_.])?{_WORDS}", re.IGNORECASE)
# Terminal commands, line breaks of every kind, marks that turn the direction of text, halves of characters.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
# Names, ids and paths, which most values are: in one look instead of three. Words that no key begins with, without the
# signs that stand before a value.
_HARMLESS = re.compile(rf"(?:[./-]*+(?!{_PUBLIC}|eyJ)\w++)*+[./-]*+")
_remembered: dict[str, str] = {}


def remember_secret(text: str) -> None:
    """Mask this text from now on, wherever it occurs."""
    if len(text) >= REMEMBERED_CHARACTERS_MIN:
        _remembered[text] = _masked(text)


def redact(text: str, characters_max: int = FIELD_CHARACTERS_MAX) -> str:
    """Return a text as it may be kept and shown: keys masked, control characters escaped, length bounded."""
    whole, text = len(text), text[:SEARCHED_CHARACTERS_MAX]
    for secret, mask in _remembered.items():
        if secret in text:
            text = text.replace(secret, mask)
    if len(text) <= characters_max and _HARMLESS.fullmatch(text):
        return text
    text = _KEYS.sub(lambda found: _masked(found[0]), text)
    text = _NAMED.sub(lambda found: found["name"] + _masked(found["value"]), text)
    if not text.isprintable():
        text = _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return text if len(text) <= characters_max else f"{text[:characters_max]}… ({whole} characters)"


def _masked(secret: str) -> str:
    """Keep what a secret is recognised by: its public prefix and, where it is long enough, the last four characters."""
    found = re.match(_PUBLIC, secret)
    prefix = found[0] if found else ""
    return f"{prefix}…{secret[-4:]}" if len(secret) - len(prefix) >= 16 and secret[-4:].isalnum() else f"{prefix}…"


@functools.lru_cache(maxsize=1024)
def _names_a_secret(field: str) -> bool:
    return _FIELD.fullmatch(field) is not None


_LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}
_sink = _Sink(write_to_stderr)
structlog.configure(processors=[_note], wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET))
