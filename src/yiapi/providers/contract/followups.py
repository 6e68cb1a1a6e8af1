"""What goes on from an earlier task of the caller's, and what is fitted to the channel it goes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yiapi.errors import StationError
from yiapi.providers.contract.status import Status
from yiapi.providers.contract.usage import JSON, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier task of the caller's, as a follow-up may know it.

    ``answer`` is the vendor's last, with our ids in it; ``asked`` what was noted of its request. ``names`` maps the
    vendor's ids that may stand in its texts to ours. ``is_window``: it is an open window.
    """

    id: str
    vendor_id: str | None
    status: Status
    is_window: bool
    model: str
    answer: JSON
    asked: JSON
    names: Mapping[str, str]

    def upward(self, text: str) -> str:
        """Write a text that callers were shown as the vendor wrote it."""
        for vendors, ours in self.names.items():
            text = text.replace(ours, vendors)
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """A submission names an earlier task of the caller's: it goes to the channel that has it, and to no other.

    ``id`` reads our id from the request (None: none is named, and it is a submission like any other). ``missing`` is
    the refusal of an id that is nobody's or another tenant's; ``check`` refuses a task that does not allow it.
    ``usage`` counts where the earlier task decides the price. ``closed`` is for a submission that fills a window: the
    window's own task goes on, and ``closed`` is the refusal of one that is no window, is used, or is over.
    """

    id: Callable[[Any], str | None]
    missing: Callable[[], StationError]
    check: Callable[[Any, Earlier], None] | None = None
    usage: Callable[[Any, Earlier], Usage | Sequence[Usage]] | None = None
    closed: Callable[[], StationError] | None = None

    @property
    def fills_window(self) -> bool:
        """Whether the earlier task is a window, and this its submission."""
        return self.closed is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What goes up in one attempt."""

    path: str
    body: bytes


Fit = Callable[[Any, Outgoing, Mapping[str, Any], Earlier | None], Outgoing]
"""Fits what goes up to one channel: the request, what would go up, the channel's settings, the earlier task."""
