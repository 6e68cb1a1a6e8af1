"""A simple counter of tokens: pieces of words, signs and Chinese characters. What it splits, it can join again."""

import re

_PIECE = re.compile(r" ?[^\W\d_]{1,7}|[^\W\d_]| ?\d{1,3}| ?[^\w\s]|\s+|.", re.DOTALL)
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_NARROW_OR_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def split(text: str) -> list[str]:
    """Split a text into tokens; joined, they are the text again."""
    if not _WIDE.search(text):
        return _PIECE.findall(text)
    return [piece for run in _NARROW_OR_WIDE.findall(text) for piece in _PIECE.findall(run)]


def count(text: str) -> int:
    """Count the tokens of a text."""
    return len(split(text))
