"""Patterns of skus: ``*`` is any number of characters, ``?`` is one; neither is a colon or a space.

A colon parts a model from its variants, so that a pattern for models never prices a variant by accident. Nor is it a
control character: what a pattern lets in is written into rows, and not every database can keep those.
"""

from __future__ import annotations

import re

_WILD = re.compile(r"([*?])")
_MEANING = {"*": r"[^:\s\x00-\x1f\x7f-\x9f\ud800-\udfff]*", "?": r"[^:\s\x00-\x1f\x7f-\x9f\ud800-\udfff]"}


def is_pattern(text: str) -> bool:
    """Whether the text names more than itself."""
    return "*" in text or "?" in text


def literals(text: str) -> int:
    """Count the characters that are not wild: the more, the closer the pattern."""
    return len(text) - text.count("*") - text.count("?")


def compiled(text: str) -> re.Pattern[str]:
    """Make an expression for ``fullmatch``."""
    return re.compile("".join(_MEANING.get(part, re.escape(part)) for part in _WILD.split(text)))
