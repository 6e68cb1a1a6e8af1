"""Paths into JSON that can be read and written: ``data.task_result.videos[].url``.

A part is a key; ``[]`` after it means every element of the list.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def _parts(path: str) -> tuple[str, ...]:
    """Split a path; ``[]`` becomes a part of its own."""
    return tuple(part for part in path.replace("[]", ".[]").split(".") if part)


def read(body: Any, path: str) -> Any:
    """Return what is at the path, or None; a path with ``[]`` returns a list of what is there."""
    found = [body]
    is_many = False
    for part in _parts(path):
        if part == "[]":
            is_many = True
            found = [item for value in found if isinstance(value, list) for item in value]
        else:
            found = [value[part] for value in found if isinstance(value, dict) and part in value]
    if is_many:
        return found
    return found[0] if found else None


def write(body: Any, path: str, value: Any) -> None:
    """Put a value at a path without ``[]``, making the objects on the way; a scalar in the way stays."""
    *way, last = _parts(path)
    for part in way:
        if not isinstance(body, dict):
            return
        body = body.setdefault(part, {})
    if isinstance(body, dict):
        body[last] = value


def remove(body: Any, path: str) -> None:
    """Take out what is at a path without ``[]``."""
    *way, last = _parts(path)
    for part in way:
        body = body.get(part) if isinstance(body, dict) else None
    if isinstance(body, dict):
        body.pop(last, None)


def replace(body: Any, path: str, change: Callable[[Any], Any]) -> None:
    """Change every value at a path in place; a value that is not there stays so."""
    *way, last = _parts(path)
    found = [body]
    for part in way:
        if part == "[]":
            found = [item for value in found if isinstance(value, list) for item in value]
        else:
            found = [value[part] for value in found if isinstance(value, dict) and part in value]
    for holder in found:
        if last == "[]" and isinstance(holder, list):
            holder[:] = [change(item) for item in holder]
        elif isinstance(holder, dict) and last in holder:
            holder[last] = change(holder[last])
