"""What comes down later: tasks, how a vendor shows them, and how a caller asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from yiapi.errors import StationError
from yiapi.providers.contract.receipts import Receipt
from yiapi.providers.contract.status import Status
from yiapi.providers.contract.usage import JSON
from yiapi.providers.paths import read, remove, write


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """What a caller may see of a task: our row, with the vendor's last answer and our links and ids in it.

    ``asked`` is what was noted of its request; ``is_window``: it waits for words.
    """

    id: str
    status: Status
    progress: int
    answer: JSON
    external_id: str | None
    error_message: str | None
    created_at_ms: int
    updated_at_ms: int
    started_at_ms: int | None = None
    finished_at_ms: int | None = None
    asked: JSON = None
    is_window: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How a vendor is asked for many tasks at once.

    ``body`` makes the query from the vendor's ids, ``items`` is the path to the list in the answer (empty: the answer
    is the list), ``id`` the path to the vendor's id in an item. An item is then read like the answer about one task.
    """

    path: str
    body: Callable[[Sequence[str]], JSON]
    items: str
    id: str
    method: str = "POST"
    size_max: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """How a vendor is told to stop a task: the path, with ``{path}`` of the operation and ``{id}`` of the task."""

    path: str
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskShape:
    """How a vendor's task looks, on submission and when it is asked for; paths can be read and written.

    ``words`` says each of our states in the dialect. ``files`` are the links of results; ``results`` is the object that
    holds them and is left out until the end. ``poll`` is the vendor's path for one task (None: only ``batch`` asks),
    ``find`` the one that asks by the reference of ours that went up, ``batch`` asks for many at once, ``cancel`` stops
    one. ``accepted`` makes the answer to a submission whose fate is not clear yet.

    Where a submission is answered with something else than the task, ``receipt`` says with what; where paths cannot say
    how a task looks, ``show`` writes it as a whole. ``asked`` notes of a request what is shown of its task before the
    vendor is asked. With ``names_ids`` the vendor's texts may name its tasks, and ours stand there instead.
    """

    id: str
    status: str
    statuses: Mapping[str, Status]
    words: Mapping[Status, str]
    accepted: Callable[[TaskView], JSON]
    files: tuple[str, ...]
    results: str | None = None
    reason: str | None = None
    progress: str | None = None
    text: str | None = None
    external_id: str | None = None
    request_id: str | None = None
    poll: str | None = "{path}/{id}"
    find: str | None = None
    batch: Batch | None = None
    cancel: Cancel | None = None
    hook: str | None = None
    """The part of the answer that a caller's hook gets; None: the whole."""
    hook_tells: Literal["end", "status", "progress"] = "end"
    """What a caller's hook is told besides the end: nothing, changes of the status, or of the progress too."""
    receipt: Receipt | None = None
    show: Callable[[TaskView], JSON] | None = None
    asked: Callable[[Any], JSON] | None = None
    names_ids: bool = False

    def render(self, view: TaskView, request_id: str) -> JSON:
        """Write what the dialect says of a task; ``view.answer`` is changed and must be the caller's own copy."""
        if self.show is not None:
            return self.show(view)
        body = self.accepted(view) if view.answer is None else view.answer
        write(body, self.id, view.id)
        write(body, self.status, self.words[view.status])
        if self.request_id:
            write(body, self.request_id, request_id)
        if self.external_id:
            write(body, self.external_id, view.external_id) if view.external_id else remove(body, self.external_id)
        if self.results and view.status is not Status.SUCCEEDED:
            remove(body, self.results)
        if self.reason and view.error_message:
            write(body, self.reason, view.error_message)
        return body

    def acceptance(self, view: TaskView, request_id: str) -> JSON:
        """Write what a submission is answered with while nobody knows what the vendor said."""
        return self.render(view, request_id) if self.receipt is None else self.receipt.told(None, view.id)

    def links(self, answer: JSON) -> list[str]:
        """Return the links of results, each once."""
        found: dict[str, None] = {}
        for path in self.files:
            said = read(answer, path)
            found |= {link: None for link in (said if isinstance(said, list) else [said]) if link}
        return [link for link in found if isinstance(link, str)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query that only the vendor can answer, about a task of the caller's: free, and sent to the task's channel.

    ``path`` makes the vendor's path of what our path says and of the vendor's id. ``unready`` refuses a task that the
    vendor does not have. ``told`` makes the caller's answer of the vendor's.
    """

    path: Callable[[Mapping[str, str], str], str]
    unready: Callable[[], StationError]
    told: Callable[[JSON], JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Answers about tasks from our own rows, in the shape of the operation that made them.

    About one, the path has its id; ``missing`` is the refusal of an id that is not the tenant's. ``cancelled`` is the
    answer of a query that ends the task of this id, ``question`` is for what only the vendor knows.

    ``render_list`` makes the dialect's body of many tasks from their bodies and our request id. ``page`` reads (offset,
    limit) from the query string of a list, and raises InvalidRequest; ``ids`` reads from the body which tasks are
    meant; ``only_waiting`` lists those that wait to be begun, oldest first.
    """

    missing: Callable[[], StationError] | None = None
    cancelled: Callable[[str], JSON] | None = None
    question: Question | None = None
    render_list: Callable[[Sequence[JSON], str], JSON] | None = None
    page: Callable[[Mapping[str, str]], tuple[int, int]] | None = None
    ids: Callable[[Any], Sequence[str]] | None = None
    only_waiting: bool = False
