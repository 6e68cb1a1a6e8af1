"""What an answer of a vendor says about a task: a pure function, whatever way it was asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from yiapi.providers.contract import Status, TaskShape
from yiapi.providers.paths import read

PROGRESS_UNTIL_END = 99


class Kind(Enum):
    """The ways in which a look can go on."""

    SAME = auto()  # nothing new
    ODD = auto()  # a word that nobody knows: as good as nothing
    NEWS = auto()  # another state or progress, or the vendor's id of a task that was looked for
    UNFILLED = auto()  # the vendor still waits for what was to fill a window
    SUCCEEDED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done about an answer."""

    kind: Kind
    status: Status = Status.RUNNING
    progress: int = 0
    vendor_task_id: str | None = None


SAME = Verdict(Kind.SAME)
ODD = Verdict(Kind.ODD)
UNFILLED = Verdict(Kind.UNFILLED)


def verdict(
    shape: TaskShape,
    answer: Any,
    *,
    status: Status,
    progress: int,
    vendor_task_id: str | None,
    fills_window: bool = False,
) -> Verdict:
    """Compare an answer with what is known of a task."""
    word = read(answer, shape.status)
    window = shape.receipt.window if fills_window and shape.receipt is not None else None
    if window is not None and word == window.word:
        return UNFILLED
    said = shape.statuses.get(word if isinstance(word, str) else str(word))
    if said is None:
        return ODD
    if said is Status.SUCCEEDED:
        return Verdict(Kind.SUCCEEDED, said, progress, _id_of(shape, answer))
    if said.is_final:
        return Verdict(Kind.FAILED, said, progress, _id_of(shape, answer))
    percent = progress if shape.progress is None else percent_of(read(answer, shape.progress), progress)
    if vendor_task_id is None:
        found = _id_of(shape, answer)
        return ODD if found is None else Verdict(Kind.NEWS, said, percent, found)
    if said is status and percent == progress:
        return SAME
    return Verdict(Kind.NEWS, said, percent, vendor_task_id)


def _id_of(shape: TaskShape, answer: Any) -> str | None:
    found = read(answer, shape.id)
    return str(found) if isinstance(found, str | int) and found != "" else None


def percent_of(value: Any, known: int) -> int:
    """Read a progress, as a number or as text with a percent sign; what cannot be read changes nothing."""
    if isinstance(value, str):
        text = value.strip().removesuffix("%")
        value = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return known
    return int(min(max(value, 0), PROGRESS_UNTIL_END))


def words_for_people(shape: TaskShape, answer: Any) -> str:
    """Return the vendor's reason for a failure, as it stands."""
    reason = read(answer, shape.reason) if shape.reason else None
    return str(reason or "The vendor could not make it.")
