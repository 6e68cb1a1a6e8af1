"""Words in a request that steer the sandbox: ``#delay=3``, ``#fail=rate``, ``#once``.

A word that is not in the list means nothing. ``#once`` belongs to the failure when there is one, else to the delay.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

DELAY_S_MAX = 900.0
"""Nobody waits longer than this, and no task takes longer."""

_DELAY = re.compile(r"#delay=(\d{1,9}(?:\.\d{1,9})?)")
_FAIL = re.compile(r"#fail=(content|invalid|rate|credit|auth|500|reset|hang|garbage|task|cut)\b")
_ONCE = re.compile(r"#once\b")


@dataclass(frozen=True)
class Steering:
    """What the words of one request ask for."""

    delay_s: float | None = None
    fail: str | None = None
    once: bool = False

    def after_first(self) -> "Steering":
        """Return what is left for a later attempt of the same request."""
        if not self.once:
            return self
        return replace(self, fail=None) if self.fail else replace(self, delay_s=None)


def read(values: Iterable[Any]) -> Steering:
    """Find the words in every text among the values, however deep; the first of each kind counts."""
    delay_s: float | None = None
    fail: str | None = None
    once = False
    for text in texts(values):
        if "#" not in text:
            continue
        if delay_s is None and (found := _DELAY.search(text)):
            delay_s = min(float(found[1]), DELAY_S_MAX)
        if fail is None and (found := _FAIL.search(text)):
            fail = found[1]
        once = once or bool(_ONCE.search(text))
    return Steering(delay_s, fail, once)


def texts(values: Iterable[Any]) -> Iterator[str]:
    """Walk through lists and objects without recursion, since a caller decides how deep they are."""
    waiting = list(values)
    waiting.reverse()
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as fields:
                waiting.extend(reversed(list(fields.values())))
            case list() as items:
                waiting.extend(reversed(items))
