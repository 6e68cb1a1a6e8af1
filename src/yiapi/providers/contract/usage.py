"""What was asked and what was used: request models and quantities, never money."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

JSON = Any
"""A vendor's JSON, decoded: the one place where ``Any`` is at home."""


class Unit(StrEnum):
    """What is counted. ``counts_as`` folds price tiers of one thing together for people."""

    IMAGE = "image"
    SECOND = "second"
    TOKEN_IN = "token_in"  # noqa: S105 - a unit of text
    TOKEN_IN_CACHED = "token_in_cached"  # noqa: S105 - the part of token_in with a price of its own
    TOKEN_OUT = "token_out"  # noqa: S105 - a unit of text
    CHARACTER = "character"
    CALL = "call"
    SONG = "song"
    CREDIT = "credit"
    STEP = "step"

    @property
    def counts_as(self) -> Unit:
        """Return the unit that a reader of the bill sees."""
        return Unit.TOKEN_IN if self is Unit.TOKEN_IN_CACHED else self


class Usage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was consumed; never money. ``sku`` is the model, or ``model:variant`` where the price depends on more."""

    sku: str
    unit: Unit
    quantity: int
    choices: int = 1
    """For a hold: how often the price row's ``quantity_max`` counts (answers asked for at once)."""

    @property
    def model(self) -> str:
        """Return the model of the sku."""
        return self.sku.partition(":")[0]


NO_LIMIT = 10**9
"""A quantity that the caller did not bound: the price row's ``quantity_max`` does, for the hold."""


class Request(msgspec.Struct, kw_only=True, dict=True):
    """Base of request models: strict types, and only the fields that routing, price and safety need.

    Everything else is forwarded as it came; the vendor's limits are the vendor's to enforce. ``path_values`` is what
    the path says; the engine fills it in, and no body can.
    """

    path_values: ClassVar[Mapping[str, str]] = MappingProxyType({})


Count = Annotated[int, Meta(ge=1, le=1000)]
"""A number of things. Above a thousand it is a mistake or an attack; below that the vendor's limit counts."""

NumberText = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,3}$")] | Annotated[int, Meta(ge=1, le=3600)]
"""A whole number that a vendor wants as text and that callers also send as a number."""
