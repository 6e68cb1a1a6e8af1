"""What comes down at once: answers, and the events of streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from yiapi.providers.contract.usage import JSON, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerShape:
    """A synchronous answer: where its result files are, what it used, and when it is no answer at all.

    ``decode`` is a struct of the few fields that are read (the rest is not looked at). ``usage`` gives what the answer
    says was used, or None: then ``text`` is counted. ``is_empty`` names an answer of 200 with nothing in it.
    """

    decode: type[Any] = dict
    usage: Callable[[Any, Any], Sequence[Usage] | None] | None = None
    is_empty: Callable[[Any], bool] | None = None
    text: Callable[[Any], str] | None = None
    files: tuple[str, ...] = ()


class Seen(StrEnum):
    """What a tap says about one event of a stream."""

    PASS = "pass"  # noqa: S105 - goes to the caller; no content yet (a role, a ping)
    CONTENT = "content"  # goes to the caller; from here on no other channel can take over
    HIDE = "hide"  # is for us alone
    END = "end"  # the protocol's end mark; goes to the caller
    ERROR = "error"  # the vendor says that it failed


class Tap(Protocol):
    """Reads one stream's events as they pass; made anew for each attempt."""

    def see(self, event: bytes) -> Seen:
        """Judge one whole event. Raises ValueError for a frame that is broken."""
        ...

    def usage(self) -> Sequence[Usage] | None:
        """Return what the vendor said was used so far, or None."""
        ...

    def text(self) -> str:
        """Return the text that was delivered so far, for a count of our own."""
        ...

    def error(self) -> JSON:
        """Return the body of the vendor's error event."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamShape:
    """An answer that comes as server-sent events."""

    tap: Callable[[Any], Tap]
    error_event: Callable[[JSON], bytes]
    """Renders an error envelope as the in-band event that ends a stream."""
    whole: Callable[[Sequence[bytes]], JSON] | None = None
    """Folds the events of a stream into the answer of a plain call, for a key that is repeated."""
