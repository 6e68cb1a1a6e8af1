"""What a vendor's file says, and what it is given.

A vendor is a ``Vendor``: a list of operations, how its keys are checked, and how it words its refusals. The server does
the rest: it finds the operation, checks the key, reads the body, obeys the steering words and keeps the books.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from yiapi_sandbox.sandbox import Sandbox
from yiapi_sandbox.steering import Steering

Word = Literal["content", "invalid", "rate", "credit", "auth", "500"]
"""The steering words that have an answer of the vendor's own."""

Problem = Literal["missing", "type", "value", "range", "unknown", "conflict", "body", "file", "size", "not_found"]


class Refusal(Exception):
    """An answer of the vendor that is not a success: status, JSON body (or none) and headers."""

    def __init__(self, status: int, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class Invalid(Exception):
    """Something that the caller sent is not as the contract wants it; each vendor has its own words for this."""

    def __init__(self, field_name: str | None, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.field = field_name
        self.problem: Problem = problem
        self.message = message


@dataclass(frozen=True)
class Upload:
    """One file of a form."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Form:
    """A multipart body: repeated names keep their order."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, Sequence[Upload]] = field(default_factory=dict)

    def text(self, name: str) -> str | None:
        """Return a field, also one that was sent as a part with a content type of its own."""
        if self.fields.get(name):
            return self.fields[name][-1]
        if self.files.get(name):
            return self.files[name][-1].content.decode("utf-8", "replace")
        return None

    def file(self, name: str) -> Upload | None:
        """Return the first file of that name."""
        found = self.files.get(name)
        return found[0] if found else None


@dataclass
class Call:
    """One request of a caller, read and steered."""

    sandbox: Sandbox
    vendor: Vendor
    operation: Operation
    request: Request
    steering: Steering
    parameters: Mapping[str, str]
    json: dict[str, Any] = field(default_factory=dict)
    form: Form = field(default_factory=Form)
    raw: bytes = b""

    @property
    def base_url(self) -> str:
        """The vendor's own address as this caller knows it."""
        host = self.request.headers.get("host") or self.request.url.netloc
        return f"{self.request.scope['scheme']}://{host}/{self.vendor.slug}"


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """One method and path of a vendor.

    ``sync`` answers when it is done, ``task`` answers at once and ends later, ``query`` asks about a task, and ``link``
    serves a result file to whoever has the link.
    """

    method: str
    path: str
    handler: Handler
    kind: Literal["sync", "task", "query", "link"] = "sync"
    body: Literal["none", "json", "form", "either"] = "none"


@dataclass(frozen=True)
class Vendor:
    """One vendor, as its contract page describes it."""

    slug: str
    title: str
    operations: Sequence[Operation]
    authenticate: Callable[[Call], None]
    """Raises the vendor's own Refusal for a key that is missing or wrong."""
    refuse: Callable[[Word, Call], Refusal]
    """How this vendor says what a steering word asks for."""
    invalid: Callable[[Invalid, Call], Refusal]
    """How this vendor words a request that its contract forbids."""
    unknown_path: Callable[[str, str, bool], Refusal]
    """How this vendor answers a method and path; the last argument says whether only the method is wrong."""
    resume: Callable[[Sandbox], None] | None = None
    """Takes up after a restart what only a running program can do, such as callbacks."""
    body_bytes_max: int = 64 * 2**20
