"""The third rung: an operation that needs several calls of the vendor."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from yiapi.providers.contract.usage import JSON, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a flow. ``body`` is JSON, bytes, or a form of (name, value or file part of the caller)."""

    method: str
    path: str
    json: JSON = None
    form: Sequence[tuple[str, Any]] | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the vendor answered to one call of a flow; a failure never gets here, the engine classifies it."""

    status: int
    headers: Mapping[str, str]
    json: JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a flow: the body for the caller, and what was used (None: what was quoted)."""

    json: JSON
    usage: Sequence[Usage] | None = None


Flow = Callable[[Any, Mapping[str, Any]], Generator[Call, Reply, Outcome]]
