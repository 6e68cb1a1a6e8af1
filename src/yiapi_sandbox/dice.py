"""Chance that can be repeated: the same words always throw the same numbers, on every machine and Python."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
_UNIT_MAX = 1 - 2**-53


class Dice:
    """A row of numbers that follows from some words alone.

    Each sway, a seed and an amount from 0 to 1, moves every number: by little, so that what is made of them stays
    like itself, or by as much as if they were thrown anew.
    """

    def __init__(self, *words: object, sways: Sequence[tuple[int, float]] = ()) -> None:
        self._stem = "\0".join(str(word) for word in words).encode("utf-8", "replace")
        self._swaying = [(Dice(*words, "sway", seed), amount) for seed, amount in sways]
        self._count = 0

    def unit(self) -> float:
        """Throw a number from 0 up to 1."""
        self._count += 1
        digest = hashlib.blake2b(self._stem + self._count.to_bytes(8, "big"), digest_size=8).digest()
        number = int.from_bytes(digest, "big") / 2**64
        for dice, amount in self._swaying:
            moved = abs(number + amount * (2 * dice.unit() - 1))
            number = min(moved if moved < 1 else 2 - moved, _UNIT_MAX)
        return number

    def between(self, low: float, high: float) -> float:
        """Throw a number from low to high."""
        return low + (high - low) * self.unit()

    def whole(self, low: int, high: int) -> int:
        """Throw a whole number from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def choice(self, choices: Sequence[T]) -> T:
        """Pick one."""
        return choices[self.whole(0, len(choices) - 1)]


def token(alphabet: str, length: int, *words: object) -> str:
    """Spell a name that follows from some words."""
    dice = Dice(*words)
    return "".join(dice.choice(alphabet) for _ in range(length))
