"""Batches in which something is named twice: one round after the other, so that the second finds what the first did."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")


def in_rounds(items: Sequence[I], key: Callable[[I], Hashable], run: Callable[[list[I]], list[R]]) -> list[R]:
    """Run items in rounds in which every key is there once; return one result for each, in their order."""
    keys = [key(item) for item in items]
    if len(set(keys)) == len(keys):
        return run(list(items))
    first = {name: place for place, name in reversed(list(enumerate(keys)))}
    now = sorted(first.values())
    later = sorted(set(range(len(items))).difference(now))
    results = dict(zip(now, run([items[place] for place in now]), strict=True))
    results.update(zip(later, in_rounds([items[place] for place in later], key, run), strict=True))
    return [results[place] for place in range(len(items))]
