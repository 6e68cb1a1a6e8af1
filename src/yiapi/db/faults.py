"""What a database may say instead of doing it, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


class ConflictInDatabase(Exception):
    """A deadlock or a serialisation failure: the same transaction may be run again."""


class RowRefused(Exception):
    """The content of a row cannot be: a text with NUL, a number that is too large, a rule of its table."""


class DuplicateRow(RowRefused):
    """A unique key is taken."""
