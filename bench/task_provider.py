"""A provider for the benchmark alone: tasks that are asked for in batches, and the same one at a time."""

from collections.abc import Sequence
from typing import Any

from yiapi.providers.contract import (
    Batch,
    Bearer,
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

SLUG, MODEL = "bench", "bench-1"
BATCH_SIZE = 100


class Job(Request):
    """What a submission of the benchmark asks for."""

    prompt: str
    model: str = MODEL


def accepted(view: TaskView) -> Any:
    """Answer a submission before the vendor has."""
    return {"id": view.id, "status": "queued"}


def body(ids: Sequence[str]) -> Any:
    """Ask for many."""
    return {"ids": list(ids)}


def shape(batch: Batch | None) -> TaskShape:
    """Describe the vendor's tasks."""
    return TaskShape(
        id="id",
        status="status",
        statuses={"queued": Status.QUEUED, "running": Status.RUNNING, "done": Status.SUCCEEDED, "bad": Status.FAILED},
        words={status: status.value for status in Status},
        accepted=accepted,
        files=("files[].url",),
        progress="progress",
        poll="/v1/jobs/{id}",
        batch=batch,
    )


def operation(name: str, batch: Batch | None) -> Operation:
    """Make one of the two operations."""
    return Operation(
        name=name,
        path=f"/v1/{name}",
        title=Title(name, name),
        request=Job,
        usage=lambda request: Usage(request.model, Unit.CALL, 1),
        upstream="/v1/jobs",
        task=shape(batch),
        usual_s=60.0,
    )


PROVIDER = Provider(
    slug=SLUG,
    title="Benchmark",
    contract="bench/README.md",
    base_url="http://127.0.0.1",
    auth=Bearer(),
    faults=FaultShape(message="error"),
    envelope=lambda error, _: {"error": error.message, "code": error.code},
    operations=[
        operation("many", Batch(path="/v1/query", body=body, items="items", id="id", size_max=BATCH_SIZE)),
        operation("single", None),
    ],
)
