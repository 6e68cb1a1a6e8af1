"""JSON Schema of requests and answers, from the structs that decode them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec


def schema_of(shape: type[Any]) -> dict[str, Any]:
    """Return the schema of one struct, with what it refers to in ``$defs``."""
    if shape not in _SCHEMAS:
        _SCHEMAS[shape] = msgspec.json.schema(_sayable(shape))
    return _SCHEMAS[shape]


_SCHEMAS: dict[type[Any], dict[str, Any]] = {}


def schemas_of(shapes: Iterable[type[Any]], *, reference: str) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """Return the schemas of several structs, and the parts that they refer to as ``reference.format(name=…)``."""
    return msgspec.json.schema_components([_sayable(shape) for shape in shapes], ref_template=reference)


def _sayable(shape: type[Any]) -> type[Any]:
    """Return the struct itself, or one without the raw defaults that JSON Schema cannot say."""
    if not (isinstance(shape, type) and issubclass(shape, msgspec.Struct)):
        return shape
    fields = msgspec.structs.fields(shape)
    if not any(isinstance(field.default, msgspec.Raw) for field in fields):
        return shape
    return msgspec.defstruct(
        shape.__name__,
        [(field.name, field.type, _default(field)) for field in fields],
        namespace={"__doc__": shape.__doc__},
        module=shape.__module__,
        rename={field.name: field.encode_name for field in fields},
        kw_only=True,
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if isinstance(field.default, msgspec.Raw):
        return msgspec.field(default_factory=msgspec.Raw)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.field(default=field.default)  # which may be that there is none
