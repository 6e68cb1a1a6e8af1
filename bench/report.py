"""How figures are told: rows that are printed as they come, and medians of rounds."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from yiapi.relay import express

Row = dict[str, Any]
WIDTH_MIN = 9


IS_COMPILED = express.__file__.endswith(".so")
"""Whether ``./station build`` made what is measured; the processes of the station import from where this one does."""


def tell(rows: Iterable[Row], *, as_json: bool) -> None:
    """Print rows: one by one below their names, or as JSON when all are there; and whether the station is compiled."""
    if as_json:
        tell_json(rows)
        return
    tell_build()
    names: list[str] = []
    for row in rows:
        if list(row) != names:
            names = list(row)
            sys.stdout.write(_line(names, names))
        sys.stdout.write(_line(names, [_text(value) for value in row.values()]))
        sys.stdout.flush()


def tell_json(rows: Iterable[Row]) -> None:
    """Print rows as JSON, each with whether the station is compiled."""
    sys.stdout.write(json.dumps([row | {"compiled": IS_COMPILED} for row in rows], indent=1) + "\n")


def tell_build() -> None:
    """Print whether the station is compiled."""
    sys.stdout.write(f"the station is {'compiled' if IS_COMPILED else 'plain Python'}\n")


def _line(names: Sequence[str], texts: Sequence[str]) -> str:
    widths = [max(len(name), WIDTH_MIN) for name in names]
    return "  ".join(text.rjust(width) for text, width in zip(texts, widths, strict=True)) + "\n"


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def medians(rounds: Sequence[dict[str, float]]) -> Row:
    """Return the median of each figure."""
    return {name: rounded(statistics.median(one[name] for one in rounds)) for name in rounds[0]}


def rounded(figure: float) -> float:
    """Leave three places of a small figure, one of a large one."""
    return round(figure, 3 if abs(figure) < 10 else 1)
