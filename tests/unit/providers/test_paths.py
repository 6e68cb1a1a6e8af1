"""Paths into JSON: what is written can be read, what is removed is gone, and no body breaks them."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.providers.paths import read, remove, replace, write

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
bodies = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
keys = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join)
paths = st.lists(st.sampled_from(["a", "b", "c", "a[]", "b[]"]), min_size=1, max_size=3).map(".".join)


def test_a_path_reads_what_is_there():
    body = {"data": {"videos": [{"url": "1"}, {"url": "2"}, {"id": 3}, 4], "count": 0}}

    assert read(body, "data.count") == 0
    assert read(body, "data.videos[].url") == ["1", "2"]
    assert read(body, "data.videos[]") == body["data"]["videos"]
    assert read(body, "data.nothing") is None
    assert read(body, "data.nothing[].url") == []
    assert read(body, "data.count.deeper") is None


def test_lists_of_lists_are_read_flat():
    assert read({"a": [{"b": [1, 2]}, {"b": [3]}, {"b": 4}]}, "a[].b[]") == [1, 2, 3]


@settings(max_examples=60)
@given(bodies, paths)
def test_no_body_breaks_a_reader_a_writer_or_a_remover(body, path):
    before = copy.deepcopy(body)

    read(body, path)
    assert body == before
    replace(body, path, lambda value: value)
    assert body == before
    if "[]" not in path:
        write(body, path, 1)
        remove(body, path)


@settings(max_examples=60)
@given(bodies.filter(lambda body: isinstance(body, dict)), keys, scalars)
def test_what_was_written_is_read_unless_something_else_is_in_the_way(body, path, value):
    *way, _ = path.split(".")
    is_free = all(isinstance(read(body, ".".join(way[: n + 1])), dict | None) for n in range(len(way)))
    is_free = is_free and not any(_is_null(body, way[: n + 1]) for n in range(len(way)))
    before = copy.deepcopy(body)

    write(body, path, value)

    if is_free:
        assert read(body, path) == value
        remove(body, path)
        assert read(body, path) is None
    else:
        assert body == before, "what is in the way stays"


def _is_null(body, parts):
    for part in parts:
        if not isinstance(body, dict) or part not in body:
            return False
        body = body[part]
    return body is None


@settings(max_examples=60)
@given(bodies, keys)
def test_removing_takes_one_thing_and_leaves_the_rest(body, path):
    before = copy.deepcopy(body)

    remove(body, path)

    if read(before, path) is None and not _is_null(before, path.split(".")):
        assert body == before
    assert read(body, path) is None


def test_every_value_at_a_path_is_changed_and_nothing_else():
    body = {"a": [{"url": "1", "id": "x"}, {"id": "y"}, {"url": "2"}], "url": "0"}

    replace(body, "a[].url", lambda url: f"ours/{url}")

    assert body == {"a": [{"url": "ours/1", "id": "x"}, {"id": "y"}, {"url": "ours/2"}], "url": "0"}


def test_a_list_of_values_is_changed_in_place():
    body = {"output": ["1", "2"]}
    kept = body["output"]

    replace(body, "output[]", str.upper)
    replace(body, "output[]", lambda url: url * 2)

    assert body["output"] is kept
    assert kept == ["11", "22"]


@pytest.mark.parametrize("body", [None, 1, "text", [], [1], {"a": None}, {"a": 5}, {"a": "x"}])
def test_what_is_not_there_is_not_made_by_a_change(body):
    before = copy.deepcopy(body)

    replace(body, "a.b[].c", lambda _: "made")
    replace(body, "a[]", lambda _: "made")

    assert body == before
