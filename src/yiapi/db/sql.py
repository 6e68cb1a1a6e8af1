"""SQL with names: each ``queries/<concern>.sql`` holds the statements of one store, each under ``-- name: …``.

One text serves both databases. Parameters are written ``:name``; ``now_ms()`` is the database's own time in
milliseconds; a part between ``/*postgresql*/`` and ``/*end*/`` is for that database alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("queries")
_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_PARAMETER = re.compile(r"(?<!:):([a-z_]\w*)")
_POSTGRESQL_ONLY = re.compile(r"/\*postgresql\*/(.*?)/\*end\*/", re.DOTALL)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Query:
    """One named statement in the spelling of each database; ``names`` are PostgreSQL's ``$1``, ``$2`` … in order."""

    name: str
    sqlite: str
    postgresql: str
    names: tuple[str, ...]


def query_of(name: str, text: str) -> Query:
    """Spell one statement for both databases."""
    text = _COMMENT.sub("", text).strip().rstrip(";")
    postgresql = _POSTGRESQL_ONLY.sub(r"\1", text)
    names = tuple(dict.fromkeys(_PARAMETER.findall(postgresql)))
    numbered = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", postgresql)
    return Query(name, _POSTGRESQL_ONLY.sub("", text), numbered, names)


class Queries:
    """The statements of one file, as attributes."""

    def __init__(self, concern: str) -> None:
        parts = _NAME.split((_FOLDER / f"{concern}.sql").read_text())
        self._queries = {
            name: query_of(f"{concern}.{name}", text) for name, text in zip(parts[1::2], parts[2::2], strict=True)
        }

    def __getattr__(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            raise AttributeError(name) from None


@cache
def queries(concern: str) -> Queries:
    """Load the statements of one concern once."""
    return Queries(concern)
