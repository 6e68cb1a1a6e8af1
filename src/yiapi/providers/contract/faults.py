"""How vendors fail: our names for it, and where a vendor says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from yiapi.errors import StationError, VendorWords
from yiapi.providers.contract.usage import JSON
from yiapi.providers.paths import read


class Fault(StrEnum):
    """Our name for what went wrong upstream. What follows from it is one table in ``yiapi.dispatch``."""

    RATE_LIMITED = "rate_limited"
    CREDENTIAL = "credential"
    UPSTREAM_CREDIT = "upstream_credit"
    INVALID_REQUEST = "invalid_request"
    CONTENT_BLOCKED = "content_blocked"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"


FAULT_BY_STATUS: Mapping[int, Fault] = {
    400: Fault.INVALID_REQUEST,
    401: Fault.CREDENTIAL,
    402: Fault.UPSTREAM_CREDIT,
    403: Fault.CREDENTIAL,
    404: Fault.NOT_FOUND,
    405: Fault.UNAVAILABLE,
    408: Fault.TIMEOUT,
    413: Fault.INVALID_REQUEST,
    415: Fault.INVALID_REQUEST,
    422: Fault.INVALID_REQUEST,
    429: Fault.RATE_LIMITED,
    504: Fault.TIMEOUT,
}


def fault_of_status(status: int) -> Fault:
    """Name the fault of a bare HTTP status: what is not in the table is the vendor's trouble."""
    if status in FAULT_BY_STATUS:
        return FAULT_BY_STATUS[status]
    return Fault.UNKNOWN if 400 <= status < 500 else Fault.UNAVAILABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultShape:
    """Where a vendor says what went wrong, and what its words mean.

    ``code`` and the others are paths into the answer; ``codes`` maps the vendor's code, ``types`` its type and
    ``statuses`` an HTTP status to a fault, tried in that order before the general table. ``inside`` gets a decoded
    answer of 200 and says whether it is an error all the same. ``passes`` is for a dialect that hands refusals on as
    they are, with their status: it makes the caller's body of the vendor's, or None where our own words are better.
    """

    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None
    codes: Mapping[Any, Fault] = field(default_factory=dict)
    types: Mapping[str, Fault] = field(default_factory=dict)
    statuses: Mapping[int, Fault] = field(default_factory=dict)
    inside: Callable[[Any], bool] | None = None
    passes: Callable[[JSON], JSON] | None = None

    def fault(self, status: int, body: JSON) -> Fault:
        """Classify an answer that is not a success."""
        code, kind = (read(body, path) if path else None for path in (self.code, self.type))
        if isinstance(code, str | int) and code in self.codes:
            return self.codes[code]
        if isinstance(kind, str) and kind in self.types:
            return self.types[kind]
        if status in self.statuses:
            return self.statuses[status]
        return Fault.UNAVAILABLE if status < 300 else fault_of_status(status)

    def words(self, body: JSON) -> VendorWords | None:
        """Read the vendor's own words, or None where the body is not in its envelope."""
        message = read(body, self.message)
        if not isinstance(message, str):
            return None
        code, kind, param = (read(body, path) if path else None for path in (self.code, self.type, self.param))
        return VendorWords(
            message,
            code=code if isinstance(code, str | int) else None,
            param=param if isinstance(param, str) else None,
            type=kind if isinstance(kind, str) else None,
            answer=self.passes(body) if self.passes else None,
        )


Envelope = Callable[[StationError, str], JSON]
"""Renders an error in the dialect: the error and our request id give the body. The status is the error's."""
