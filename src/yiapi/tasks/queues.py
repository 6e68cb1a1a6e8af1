"""The orders in which tasks wait: by the time of their next look, and by the time at which they end by themselves.

Looks come thousands of times a second, so what one costs must not depend on how many wait: they lie in slices of time,
and going in and coming out take one step each. Ends come once a task, for which a heap is good enough.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from yiapi.tasks.waiting import NEVER, Waiting

SLICE_S = 1 / 64
SPARE_ENTRIES = 64


class NextLooks:
    """Tasks by the slice of time in which their next look lies, each of which is due as soon as its slice begins.

    A task that is given another time is pushed again; what is left of it in the older slice is passed over.
    """

    def __init__(self) -> None:
        self._slices: dict[float, list[Waiting]] = {}
        self._order: list[float] = []  # a heap of the keys above
        self._count = 0
        self._stale = 0

    def __len__(self) -> int:
        return self._count

    def push(self, task: Waiting) -> None:
        """Add a task, or note its other time."""
        at = task.look_at // SLICE_S
        found = self._slices.get(at)
        if found is None:
            self._slices[at] = [task]
            heappush(self._order, at)
        else:
            found.append(task)
        self._count += 1

    def stale(self) -> None:
        """Note that an entry has become worthless; when most are, they are thrown away."""
        self._stale += 1
        if self._stale > SPARE_ENTRIES + self._count // 2:
            kept = {at: [task for task in tasks if _is_of(task, at)] for at, tasks in self._slices.items()}
            self._slices = {at: tasks for at, tasks in kept.items() if tasks}
            self._order = sorted(self._slices)
            self._count = sum(map(len, self._slices.values()))
            self._stale = 0

    def first(self) -> float:
        """Return when the earliest slice begins, or never."""
        order = self._order
        while order:
            at = order[0]
            tasks = self._slices[at]
            while tasks:
                if _is_of(tasks[-1], at):
                    return at * SLICE_S
                tasks.pop()
                self._count -= 1
                self._stale = max(self._stale - 1, 0)
            del self._slices[at]
            heappop(order)
        return NEVER

    def pop(self, until: float) -> Waiting | None:
        """Take out a task of the earliest slice, if that has begun by then, and mark it as asked for."""
        if self.first() > until:
            return None
        task = self._slices[self._order[0]].pop()
        self._count -= 1
        task.is_busy = True
        return task


def _is_of(task: Waiting, at: float) -> bool:
    """Whether an entry is worth something: the task still has its look in this slice, and nobody asks for it."""
    return task.look_at // SLICE_S == at and not task.is_busy


class Ends:
    """Tasks by ``ends_at``. One whose time is changed is pushed again; its older entry is passed over."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, Waiting]] = []
        self._stale = 0

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, task: Waiting) -> None:
        """Add a task, or note its other time."""
        heappush(self._entries, (task.ends_at, task))

    def stale(self) -> None:
        """Note that an entry has become worthless; when most are, they are thrown away."""
        self._stale += 1
        if self._stale > SPARE_ENTRIES + len(self._entries) // 2:
            self._entries = [entry for entry in self._entries if entry[1].ends_at == entry[0]]
            heapify(self._entries)
            self._stale = 0

    def first(self) -> float:
        """Return the earliest time, or never."""
        entries = self._entries
        while entries and entries[0][1].ends_at != entries[0][0]:
            heappop(entries)
            self._stale = max(self._stale - 1, 0)
        return entries[0][0] if entries else NEVER

    def pop(self, until: float) -> Waiting | None:
        """Take out the task that ends first, if not after ``until``."""
        return heappop(self._entries)[1] if self.first() <= until else None
