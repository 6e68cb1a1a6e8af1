"""The declaration itself: an operation, and the provider that has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from yiapi.providers.contract.answers import AnswerShape, StreamShape
from yiapi.providers.contract.auth import Auth
from yiapi.providers.contract.bodies import FilePart
from yiapi.providers.contract.faults import Envelope, FaultShape
from yiapi.providers.contract.flow import Flow
from yiapi.providers.contract.followups import Fit, Parent
from yiapi.providers.contract.tasks import Query, TaskShape
from yiapi.providers.contract.usage import JSON, Request, Usage


class Mode(StrEnum):
    """How an operation answers."""

    SYNC = "sync"
    STREAM = "stream"  # answers at once or, when asked, as server-sent events
    TASK = "task"
    QUERY = "query"


Kind = Literal["chat", "making", "submission"]
"""What may be repeated: a chat after a time-out too, a picture in the making not, a task by refusal only."""


@dataclass(frozen=True, slots=True)
class Title:
    """A name for people, in both languages."""

    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Ids:
    """The shape of task ids in a dialect: so many characters of an alphabet, the first never a zero.

    ``begins_with_time``: the first thirteen are the milliseconds since 1970. Such an id can be guessed, and two may
    clash: then another one is drawn.
    """

    length: int = 18
    alphabet: str = "0123456789"
    begins_with_time: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that a vendor can be asked.

    ``path`` is below the provider's prefix, ``upstream`` the vendor's own path (default: the same), ``aliases`` are
    whole paths. ``usage`` says from the request what the call will use: exactly, or for tokens at the most. ``prompt``
    is the text to count when the vendor does not say what it read.
    """

    name: str
    path: str
    title: Title
    request: type[Request] = Request
    usage: Callable[[Any], Usage | Sequence[Usage]] | None = None
    method: Literal["GET", "POST"] = "POST"
    upstream: str | None = None
    aliases: tuple[str, ...] = ()
    accepts: tuple[Literal["json", "form"], ...] = ("json",)
    json_part: str | None = None
    """The part of a form that holds the request as JSON; None: the request is the flat fields of the form."""
    files: tuple[FilePart, ...] = ()
    image_fields: tuple[str, ...] = ()
    """Fields of the JSON body that may hold a picture as Base64, or a list; their size is looked at before they go."""
    sends_any_image: bool = False
    """What is no picture goes up all the same: the vendor has words of its own for it."""
    encode: Callable[[Any, bytes], bytes] | None = None
    decode: Callable[[Any, JSON], JSON] | None = None
    parent: Parent | None = None
    fit: Fit | None = None
    faults: FaultShape | None = None
    """What the vendor's codes mean here, where that is not what they mean elsewhere."""
    answer: AnswerShape | None = None
    stream: StreamShape | None = None
    task: TaskShape | None = None
    query: Query | None = None
    queries: str | None = None
    """A query's subject: the name of the operation whose tasks it shows; None: any of the provider."""
    flow: Flow | None = None
    prompt: Callable[[Any], str] | None = None
    counted: Callable[[Any, int, int], Sequence[Usage]] | None = None
    """Usage from our own count of tokens read and written."""
    wants_stream: Callable[[Any], bool] | None = None
    external_id: Callable[[Any], str | None] | None = None
    """The caller's own reference for a task, unique per caller."""
    hook_url: Callable[[Any], str | None] | None = None
    body_bytes_max: int = 10 * 1024 * 1024
    first_byte_s: float = 300.0
    deadline_s: int | None = None
    usual_s: float = 30.0
    """How long a task usually takes: when to look first."""
    may_repeat_after_timeout: bool = False
    """A chat may be tried again after a time-out; a picture may be in the making."""
    trial: str | None = None
    """The JSON body of a first call that shows what the station can do; a new station prints one."""

    @property
    def mode(self) -> Mode:
        """Return how the operation answers."""
        if self.query is not None:
            return Mode.QUERY
        if self.task is not None:
            return Mode.TASK
        return Mode.STREAM if self.stream is not None else Mode.SYNC

    @property
    def has_body(self) -> bool:
        """Whether a caller sends a body that says anything."""
        return self.query is None or self.query.ids is not None

    @property
    def vendor_path(self) -> str:
        """Return the vendor's own path."""
        return self.upstream or self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A vendor's API as this station serves it."""

    slug: str
    title: str
    contract: str
    base_url: str
    auth: Auth
    faults: FaultShape
    envelope: Envelope
    operations: Sequence[Operation]
    prefix: str | None = None
    """Where the dialect is mounted; None: at ``/<slug>``."""
    mounts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """More prefixes under which the whole dialect is served, and what each of them says: path values of the request."""
    key_headers: tuple[str, ...] = ()
    """The dialect's own places for the caller's key, tried before ``Authorization``."""
    relays_keys: bool = False
    """Keys as relays of this dialect take them: a bearer counts before the dialect's own header, and there ``Bearer ``
    may stand before the key and its ``sk-`` may be missing."""
    serves: Callable[[Any, Mapping[str, Any]], bool] | None = None
    """Whether a channel with these settings may serve a request."""
    spreads: Literal["weight", "load"] = "weight"
    """How to choose among channels of one priority: by chance and weight, or the one with the fewest open tasks."""
    ids: Ids = Ids()
    reference: str | None = None
    """The field in which our id goes up with a task, so that a submission that ended unclear can be found again."""
    callback: str | None = None
    """The field in which a vendor is asked to call us when something changes, where a channel's settings want that."""
    deadline_s: int = 3600
    sandbox_credential: str = "{key}"
    """How the sandbox's key is written for this vendor."""
    passed_headers: tuple[str, ...] = ()
    """Headers of the vendor's answer that callers get too; all others may tell of its account."""

    @property
    def mount(self) -> str:
        """Return the path prefix of the dialect."""
        return f"/{self.slug}" if self.prefix is None else self.prefix

    def operation(self, name: str) -> Operation:
        """Return one operation by its short name. Raises KeyError."""
        return next(operation for operation in self.operations if operation.name == name)
