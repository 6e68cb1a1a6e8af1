"""What callers read of a vendor's answer about a task: our ids for its ids, and no credential or address."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from yiapi.channels import Channel
from yiapi.providers.contract import Earlier, TaskShape
from yiapi.providers.paths import read, remove, replace
from yiapi.tasks.models import Task

ID_LENGTH_MIN = 6
"""A shorter id of a vendor could be any number of its texts, and tells nobody anything."""


def names_of(task: Task) -> Mapping[str, str]:
    """Return the vendor's ids that may stand in the texts of a task, with ours: its own, and those it goes on from."""
    names: dict[str, str] = msgspec.json.decode(task.names)
    return names if task.vendor_task_id is None else names | {task.vendor_task_id: task.id}


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Write our ids where the vendor's stand; ``text`` may be JSON."""
    known = [name for name in names if len(name) >= ID_LENGTH_MIN and name in text]
    if not known:
        return text
    either = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
    return re.sub(rf"(?<![A-Za-z0-9])(?:{either})(?![A-Za-z0-9])", lambda found: names[found[0]], text)


def renamed_in(value: Any, names: Mapping[str, str]) -> Any:
    """Write our ids where the vendor's stand in some JSON."""
    return msgspec.json.decode(renamed(msgspec.json.encode(value).decode(), names)) if names else value


def kept_text(shape: TaskShape, answer: Any, channel: Channel | None, *, is_end: bool) -> str:
    """Write an answer as it is kept: before the end without the results, which are the vendor's links."""
    if shape.results and not is_end:
        remove(answer, shape.results)
    kept = channel.redactor.hide_in(answer) if channel is not None else answer
    for path in shape.files:
        said = read(answer, path)
        links = iter(said if isinstance(said, list) else [said])
        replace(kept, path, lambda _, links=links: next(links))  # type: ignore[misc]  # bound now, not at the end
    return msgspec.json.encode(kept).decode()


def earlier_of(task: Task) -> Earlier:
    """Return a task as its follow-up may know it."""
    names = names_of(task)
    return Earlier(
        id=task.id,
        vendor_id=task.vendor_task_id,
        status=task.status,
        is_window=task.is_window,
        model=task.model,
        answer=None if task.answer is None else msgspec.json.decode(renamed(task.answer, names)),
        asked=None if task.asked is None else msgspec.json.decode(task.asked),
        names=names,
    )
