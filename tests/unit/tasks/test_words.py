"""Ids and secrets in the texts about a task."""

import msgspec
import pytest

from yiapi.providers.contract import Status, TaskShape
from yiapi.tasks.words import kept_text, renamed, renamed_in
from yiapi.upstream import Redactor

NAMES = {"1744012345678123": "1795000000000001", "17440": "9"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/up 1744012345678123 U2", "/up 1795000000000001 U2"),
        ("/describe 1744012345678123.png", "/describe 1795000000000001.png"),
        ("1744012345678123,1744012345678123", "1795000000000001,1795000000000001"),
        ("x1744012345678123", "x1744012345678123"),
        ("17440123456781234", "17440123456781234"),
        ("17440 is no id", "17440 is no id"),
    ],
)
def test_ids_in_a_text_are_ours(text, expected):
    assert renamed(text, NAMES) == expected


def test_ids_are_ours_at_any_depth():
    value = {"a": [{"b": 'see 1744012345678123\n"x"'}], "1": 2.50}

    assert renamed_in(value, NAMES) == {"a": [{"b": 'see 1795000000000001\n"x"'}], "1": 2.50}


class Channel:
    redactor = Redactor(["mj-secret-4711", "https://proxy.example:8443/base"], names=["fox"])


def kept(answer, *, is_end):
    shape = TaskShape(
        id="id",
        status="status",
        statuses={},
        words=dict.fromkeys(Status, ""),
        accepted=lambda view: None,
        files=("imageUrl", "more[].url"),
        results="imageUrl",
    )
    return msgspec.json.decode(kept_text(shape, answer, Channel(), is_end=is_end))


def test_credential_and_address_are_not_kept_in_a_text():
    answer = {"text": "a fox at https://proxy.example:8443/base/x.png, mj-secret-4711\n2", "status": "SUCCESS"}

    assert kept(answer, is_end=True) == {"text": "a fox at [redacted] [redacted]\n2", "status": "SUCCESS"}


def test_links_of_results_are_kept_as_they_are():
    answer = {"imageUrl": "https://proxy.example/a.png", "more": [{"url": "https://proxy.example/b"}, {"x": 1}]}

    assert kept(dict(answer), is_end=True) == answer
    assert "imageUrl" not in kept(dict(answer), is_end=False)


def test_what_is_nested_too_deep_is_dropped():
    deep = "x"
    for _ in range(3000):
        deep = [deep]

    assert Redactor(["mj-secret-4711"]).hide_in({"a": deep}) is None
