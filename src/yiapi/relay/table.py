"""Which operations are served at a path. No id has a NUL, and PostgreSQL takes none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from yiapi.providers.registry import Registry, Served


class Table:
    """Every path that an operation is served at: plain ones by look-up, those with an id by pattern."""

    def __init__(self, registry: Registry) -> None:
        self._plain: dict[bytes, tuple[dict[str, Served], Mapping[str, str]]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Served], Mapping[str, str]]] = []
        patterns: dict[str, tuple[dict[str, Served], Mapping[str, str]]] = {}
        for served in registry.served.values():
            for path, says in served.places.items():
                if "{" in path:
                    patterns.setdefault(path, ({}, says))[0][served.operation.method] = served
                else:
                    self._plain.setdefault(path.encode(), ({}, says))[0][served.operation.method] = served
        for path, (methods, says) in patterns.items():
            pattern = re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/\\0]+)", re.escape(path)))
            self._patterns.append((pattern, methods, says))

    def find(self, path: bytes) -> tuple[dict[str, Served], Mapping[str, str]] | None:
        """Return the operations at a path by method, and what the path says; None where there are none."""
        plain = self._plain.get(path)
        if plain is not None:
            return plain
        try:
            text = unquote(path.decode("ascii"), errors="strict")
        except UnicodeDecodeError:
            return None
        plain = self._plain.get(text.encode()) if b"%" in path else None
        if plain is not None:
            return plain
        for pattern, methods, says in self._patterns:
            match = pattern.fullmatch(text)
            if match is not None:
                return methods, {**says, **match.groupdict()}
        return None
