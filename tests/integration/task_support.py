"""A provider of tasks that has everything a vendor can have, and its vendor, who remembers what was asked of him."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests_support import Got, Vendor, answer

from yiapi.providers.contract import (
    Batch,
    Bearer,
    Cancel,
    Fault,
    FaultShape,
    Operation,
    Provider,
    Request,
    Status,
    TaskShape,
    TaskView,
    Title,
    Unit,
    Usage,
)

MODEL, PRICE, COST, BATCH_SIZE = "w-1", "0.05", "0.02", 10


class Wish(Request):
    prompt: str
    model: str = MODEL
    hook: str | None = None


def accepted(view: TaskView) -> Any:
    return {"id": view.id, "state": "waiting"}


def many(ids: Sequence[str]) -> Any:
    return {"ids": list(ids)}


BATCH = Batch(path="/jobs/query", body=many, items="jobs", id="id", size_max=BATCH_SIZE)


def shape(batch: Batch | None) -> TaskShape:
    return TaskShape(
        id="id",
        status="state",
        statuses={
            "waiting": Status.QUEUED,
            "working": Status.RUNNING,
            "done": Status.SUCCEEDED,
            "broken": Status.FAILED,
            "stopped": Status.CANCELLED,
        },
        words={status: status.value for status in Status},
        accepted=accepted,
        files=("files[].url",),
        results="files",
        reason="why",
        progress="percent",
        poll="/jobs/{id}",
        batch=batch,
        cancel=Cancel(path="/jobs/{id}/stop"),
    )


def operation(name: str, batch: Batch | None) -> Operation:
    return Operation(
        name=name,
        path=f"/v1/{name}",
        title=Title(name, name),
        request=Wish,
        usage=lambda wish: Usage(wish.model, Unit.CALL, 1),
        upstream="/jobs",
        task=shape(batch),
        hook_url=lambda wish: wish.hook,
        usual_s=30.0,
    )


WORKSHOP = Provider(
    slug="workshop",
    title="Workshop",
    contract="none",
    base_url="http://127.0.0.1",
    auth=Bearer(),
    faults=FaultShape(message="error", codes={"unknown": Fault.NOT_FOUND}),
    envelope=lambda error, _: {"error": error.message, "code": error.code},
    operations=[operation("many", BATCH), operation("single", None)],
)


@dataclass
class Job:
    """A task as the vendor has it."""

    id: str
    state: str = "working"
    percent: int = 10
    files: list[str] = field(default_factory=list)
    why: str | None = None


class Jobs(Vendor):
    """Takes jobs, tells of them, and keeps a list of all that was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Job] = {}
        self.files: dict[str, bytes] = {}
        self.hidden: set[str] = set()
        self.asked: list[tuple[str, list[str]]] = []
        self.credentials: list[str] = []
        self.silent = asyncio.Event()
        self.silent.set()
        self.down: Any = None
        self.otherwise = self.serve

    async def serve(self, _: Vendor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Got) -> None:
        self.credentials.append(got.headers.get("authorization", ""))
        await self.silent.wait()
        act = self.down or self.told(got)
        await act(self, reader, writer, got)

    def told(self, got: Got) -> Any:
        parts = got.path.strip("/").split("/")
        if parts[0] == "file":
            return answer(200, raw=self.files[parts[1]], headers={"content-type": "image/png"})
        if got.path == "/jobs":
            job = Job(f"job-{len(self.jobs) + 1}")
            self.jobs[job.id] = job
            self.asked.append(("submit", [job.id]))
            return answer(200, self.shown(job))
        if got.path == "/jobs/query":
            ids = json.loads(got.body)["ids"]
            self.asked.append(("many", ids))
            return answer(200, {"jobs": [self.shown(self.jobs[one]) for one in ids if one not in self.hidden]})
        if parts[-1] == "stop":
            self.asked.append(("stop", [parts[1]]))
            return answer(200, {"ok": True})
        self.asked.append(("one", [parts[1]]))
        job = self.jobs.get(parts[1])
        return answer(404, {"error": "unknown", "code": "unknown"}) if job is None else answer(200, self.shown(job))

    def shown(self, job: Job) -> Any:
        files = [{"url": f"{self.url}/file/{name}"} for name in job.files]
        return {"id": job.id, "state": job.state, "percent": job.percent, "files": files, "why": job.why}

    def asked_for(self, kind: str) -> list[list[str]]:
        return [ids for what, ids in self.asked if what == kind]

    def finish(self, *, files: Sequence[str] = (), state: str = "done") -> None:
        """Let every job end."""
        for job in self.jobs.values():
            job.state, job.files = state, list(files)
