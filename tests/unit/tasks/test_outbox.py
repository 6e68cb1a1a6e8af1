"""An event is below 20 KB, whatever the task; what was left out is named."""

import json

import pytest

from yiapi.tasks.outbox import event_body
from yiapi.webhooks import BODY_BYTES_MAX, EventType

ASSET = {"id": "asset_1", "type": "image", "url": "https://station.example/files/v1/" + "x" * 300}


def task(*, text=None, assets=(), metadata=None):
    return {
        "object": "task",
        "id": "1",
        "status": "succeeded",
        "result": {"text": text, "assets": list(assets)},
        "metadata": metadata or {},
    }


def body_of(made) -> dict:
    text = event_body(EventType.TASK_SUCCEEDED, 1_795_000_000_123, made)
    assert len(text.encode()) < BODY_BYTES_MAX <= 20_000
    return json.loads(text)


def test_an_event_is_the_task_in_an_envelope():
    made = task(text="a cat", assets=[ASSET])

    assert body_of(made) == {"type": "task.succeeded", "timestamp": "2026-11-18T11:06:40.123Z", "data": made}


@pytest.mark.parametrize(
    ("made", "left_out"),
    [
        (task(text="猫" * 10_000, assets=[ASSET]), ["result.text"]),
        (task(text="x" * 19_000, metadata={"a": "x" * 30_000}), ["result.text", "metadata"]),
        (task(assets=[ASSET] * 100), ["result.text", "metadata", "result.assets"]),
    ],
)
def test_what_makes_it_too_long_is_left_out_and_named(made, left_out):
    body = body_of(made)

    assert body["left_out"] == left_out
    assert body["data"]["id"] == "1"
    assert body["data"].keys() == made.keys()
    assert body["data"]["result"].keys() == {"text", "assets"}


def test_a_task_without_a_result_is_not_given_one():
    made = task(metadata={"a": "x" * 30_000}) | {"result": None}

    assert body_of(made)["data"]["result"] is None


def test_the_task_itself_is_left_as_it_is():
    made = task(text="x" * 30_000)

    event_body(EventType.TASK_SUCCEEDED, 0, made)

    assert len(made["result"]["text"]) == 30_000
