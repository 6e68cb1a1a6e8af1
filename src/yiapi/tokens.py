"""Count tokens offline, for answers without usage. Bills follow the vendor's own figures where there are any."""

from __future__ import annotations

from functools import cache
from typing import Protocol, cast


class _Encoder(Protocol):
    def count(self, text: str) -> int: ...


@cache
def _encoder() -> _Encoder:
    """Load the table once; it takes some 40 ms, so a station that never counts never loads it."""
    from rs_bpe.bpe import openai

    return cast("_Encoder", openai.o200k_base())


def count_tokens(text: str) -> int:
    """Return how many tokens of the o200k_base table the text has."""
    return _encoder().count(text) if text else 0
