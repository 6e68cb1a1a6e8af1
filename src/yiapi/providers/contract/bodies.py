"""What goes up: the caller's own bytes, with the few changes that must be, and the files of forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec


class _Removed:
    """Marks a field that does not go up."""


REMOVED = _Removed()

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def edit(body: bytes | msgspec.Raw, changes: Mapping[str, Any]) -> bytes:
    """Change top-level fields of a JSON object; all others stay as they came, to the byte.

    A value may be ``REMOVED``, ``msgspec.Raw`` or anything that JSON can say. Changing nothing returns the body itself.
    """
    if not changes:
        return bytes(body)
    fields: dict[str, Any] = dict(_FIELDS.decode(body))
    for name, value in changes.items():
        if value is REMOVED:
            fields.pop(name, None)
        else:
            fields[name] = value
    return msgspec.json.encode(fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePart:
    """A file of a form: what it must be, and how large it may be."""

    name: str
    is_required: bool = True
    kinds: tuple[Literal["image", "audio", "video"], ...] = ("image",)
    count_max: int = 1
    size_bytes_max: int = 10 * 1024 * 1024
