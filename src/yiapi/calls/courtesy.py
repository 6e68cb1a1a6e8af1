"""How a settler shares a processor: behind what answers callers while it keeps up, and as their equal when it is late.

Linux shares a processor among groups of processes, one for each session, and a settler has a session of its own. Its
group may be put behind others and back by anybody, which a process's own niceness may not. Where there are no such
groups nothing is changed, and all are equal.
"""

from __future__ import annotations

from pathlib import Path

GROUP = Path("/proc/self/autogroup")
NICE = 5
LATE_S = 0.05
"""What a batch may take when the machine is busy; a quiet one takes five milliseconds at full load."""
LATE_BATCHES = 3
"""In a row; a single one was a moment of the disk or of the machine, which no place in the row would have changed."""
HURRY_S = 1.0
"""For so long it is an equal after it was late, and for twice as long each time that this was not enough."""
HURRY_S_MAX = 64.0


class Courtesy:
    """The place of this process's group."""

    def __init__(self, group: Path = GROUP) -> None:
        self._group = group
        self._late = 0
        self._hurry_s = HURRY_S
        self._hurries_until = 0.0
        self._is_behind = False
        self._put(NICE)

    def note(self, late_s: float, now: float) -> None:
        """Hear how long after its time a batch was written; both times are of the monotonic clock."""
        self._late = self._late + 1 if late_s > LATE_S else 0
        if self._late >= LATE_BATCHES and now >= self._hurries_until:
            was_short = now - self._hurries_until < self._hurry_s
            self._hurry_s = min(2 * self._hurry_s, HURRY_S_MAX) if was_short else HURRY_S
            self._hurries_until = now + self._hurry_s
        is_behind = now >= self._hurries_until
        if is_behind != self._is_behind:
            self._put(NICE if is_behind else 0)

    def _put(self, nice: int) -> None:
        try:
            self._group.write_text(str(nice))
        except BlockingIOError:  # the kernel wants fewer changes: the next time
            return
        except OSError:  # there are no groups
            pass
        self._is_behind = nice > 0
