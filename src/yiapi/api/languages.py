"""Which language a reader wants."""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request

Language = Literal["zh", "en"]


def language_of(request: Request) -> Language:
    """Return the language of ``lang``, else of ``Accept-Language``; English by default."""
    asked = request.query_params.get("lang", "")
    if asked:
        return "zh" if asked.lower().startswith("zh") else "en"
    return preferred(request.headers.get("accept-language", ""))


def preferred(header: str) -> Language:
    """Return the language that a header wants most, of those that there are."""
    best: Language = "en"
    weight_max = 0.0
    for entry in header[:500].split(","):
        name, _, weight_text = entry.partition(";")
        name = name.strip().lower()
        weight = _weight(weight_text)
        if weight > weight_max and name.partition("-")[0] in {"zh", "en"}:
            best, weight_max = "zh" if name.startswith("zh") else "en", weight
    return best


def _weight(text: str) -> float:
    if not text.strip():
        return 1.0
    try:
        return float(text.strip().lower().removeprefix("q="))
    except ValueError:
        return 0.0
