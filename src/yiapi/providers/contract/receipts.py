"""What a submission is answered with, where that answer is not the task itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from yiapi.providers.contract.usage import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A submission may open a window: the vendor waits for a second one that says the rest.

    An open window is a task that is queued, free, and not asked for; it ends unused after ``open_s``, or with the
    files of the task it goes on from. ``word`` is the vendor's word for its state.
    """

    opens: Callable[[JSON], bool]
    word: str
    open_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The answer to a submission: it names the task and says little about it.

    ``id`` is the path of the vendor's id. An id that this channel gave this tenant before is no new task: the caller is
    told the one that has it, and ``told_again`` adds to the answer what is shown of that task. ``told`` makes the
    caller's answer of the vendor's and of our id; the vendor's is None while nobody knows what it was. ``noted`` adds
    what the answer says to what is shown until the vendor is asked. ``finished`` is the task as the vendor would show
    it, from an answer that says it is done already, else None. ``waiting`` is how many tasks the vendor says are before
    this one.
    """

    id: str
    told: Callable[[JSON, str], JSON]
    told_again: Callable[[JSON, JSON], JSON] | None = None
    noted: Callable[[JSON, JSON], JSON] | None = None
    window: Window | None = None
    finished: Callable[[JSON], JSON] | None = None
    waiting: Callable[[JSON], int | None] | None = None
