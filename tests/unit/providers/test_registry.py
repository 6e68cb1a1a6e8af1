"""The registry: finds every provider file, and serves each path once."""

import importlib
from collections import Counter

import pytest

from yiapi.providers.contract import Mode
from yiapi.providers.registry import Registry, Served

REGISTRY = Registry.discover()


def test_every_file_is_found_and_has_the_name_of_its_provider():
    assert {"kling", "ideogram", "openai"} <= set(REGISTRY.providers)
    for slug, provider in REGISTRY.providers.items():
        assert importlib.import_module(f"yiapi.providers.{slug}").PROVIDER is provider
        assert provider.slug == slug


def test_a_file_without_a_provider_is_a_mistake(tmp_path, monkeypatch):
    import yiapi.providers

    (tmp_path / "zz_unfinished.py").write_text("OPERATIONS = []\n")
    monkeypatch.setattr(yiapi.providers, "__path__", [*yiapi.providers.__path__, str(tmp_path)])

    with pytest.raises(AttributeError):
        Registry.discover()


def test_a_file_whose_name_begins_with_a_line_is_left_out(tmp_path, monkeypatch):
    import yiapi.providers

    (tmp_path / "_draft.py").write_text("raise RuntimeError\n")
    monkeypatch.setattr(yiapi.providers, "__path__", [*yiapi.providers.__path__, str(tmp_path)])

    assert set(Registry.discover().providers) == set(REGISTRY.providers)


def test_an_operation_has_one_name_and_a_path_with_its_method_one_operation():
    routes = Counter((one.operation.method, path) for one in REGISTRY.served.values() for path in one.paths)

    assert [route for route, count in routes.items() if count > 1] == []
    assert len(REGISTRY.served) == sum(len(provider.operations) for provider in REGISTRY.providers.values())


def test_a_dialect_is_mounted_below_its_name_unless_it_says_otherwise():
    assert REGISTRY.served["kling.text2video"].path == "/kling/v1/videos/text2video"
    assert REGISTRY.served["openai.chat"].path == "/v1/chat/completions"
    assert "/ideogram/generate" in REGISTRY.served["ideogram.generate"].paths


@pytest.mark.parametrize("served", REGISTRY.served.values(), ids=lambda served: served.name)
def test_an_operation_says_what_its_mode_needs(served: Served):
    operation = served.operation

    if operation.mode is Mode.QUERY:
        if operation.queries is not None:  # else it is about any task of the provider
            assert served.provider.operation(operation.queries).task is not None
        assert operation.usage is None
    else:
        assert operation.usage is not None
        assert operation.answer is not None or operation.task is not None or operation.flow is not None
    if operation.mode is Mode.STREAM:
        assert operation.wants_stream is not None
        assert operation.counted is not None
    assert operation.json_part is None or "form" in operation.accepts
    assert not operation.files or "form" in operation.accepts
    assert served.passed_headers.isdisjoint({b"set-cookie", b"authorization", b"content-length", b"content-type"})


def test_an_operation_that_is_not_there_is_a_key_error():
    with pytest.raises((KeyError, StopIteration)):
        REGISTRY.providers["kling"].operation("nothing")
