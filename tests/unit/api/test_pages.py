"""Health, metrics, and the documents that are made from the registry."""

import asyncio
import re
import shlex

import msgspec
import pytest

from yiapi.api import shapes
from yiapi.api.samples import curl, sample_of
from yiapi.errors import StorageUnavailable
from yiapi.providers.contract import Unit

CHINESE = re.compile(r"[\u4e00-\u9fff]")


# Health


async def test_a_station_that_lives_and_is_ready_says_so(world):
    for path in ("/healthz", "/readyz"):
        assert (await world.anonymous.get(path)).status_code == 200


async def test_a_station_that_is_being_stopped_lives_but_is_not_ready(small):
    small.app.station.is_draining = True

    assert (await small.anonymous.get("/readyz")).status_code == 503
    assert (await small.anonymous.get("/healthz")).status_code == 200


async def test_a_station_without_its_database_is_not_ready(small, monkeypatch):
    async def away(job):
        raise StorageUnavailable("away")

    monkeypatch.setattr(small.app.database, "read", away)

    assert (await small.anonymous.get("/readyz")).status_code == 503
    assert (await small.anonymous.get("/healthz")).status_code == 200


async def test_a_database_that_hangs_is_not_ready(small, monkeypatch):
    async def hangs(job):
        await asyncio.Event().wait()

    monkeypatch.setattr(small.app.database, "read", hangs)
    monkeypatch.setattr("yiapi.api.health.READY_S", 0.01)

    assert (await small.anonymous.get("/readyz")).status_code == 503


# OpenAPI


@pytest.fixture(params=["zh", "en"])
def language(request):
    return request.param


@pytest.fixture
async def document(small, language):
    return (await small.anonymous.get("/openapi.json", params={"lang": language})).json()


def operations_of(document):
    return [(path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()]


def references(node):
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = [node["$ref"]] if isinstance(node, dict) and isinstance(node.get("$ref"), str) else []
    return found + [reference for child in children for reference in references(child)]


async def test_every_reference_of_the_document_leads_somewhere(document):
    for reference in references(document):
        node = document
        assert reference.startswith("#/")
        for step in reference[2:].split("/"):
            node = node[step]


async def test_every_operation_of_the_document_is_whole(document):
    for path, method, operation in operations_of(document):
        place = f"{method} {path}"
        declared = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
        assert declared == re.findall(r"{([^}]+)}", path), place
        assert {"401", "default"} <= operation["responses"].keys(), place
        assert operation["responses"].keys() & {"200", "201", "202"}, place
        assert "requestBody" not in operation or method in {"post", "patch"}, place
        for wanted in operation.get("security", document["security"]):
            assert set(wanted) <= document["components"]["securitySchemes"].keys(), place

    ids = [operation["operationId"] for _, _, operation in operations_of(document)]
    assert len(ids) == len(set(ids))


async def test_the_document_says_3_1_and_where_the_station_is(document):
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "http://station.example"}]
    assert document["info"]["title"]
    assert document["info"]["version"]


async def test_each_language_is_its_own(document, language):
    for _, _, operation in operations_of(document):
        assert operation["summary"]
        assert language == "zh" or not CHINESE.search(operation["summary"])
    assert any(CHINESE.search(operation["summary"]) for _, _, operation in operations_of(document)) == (
        language == "zh"
    )


async def test_component_names_are_those_that_openapi_permits(document):
    for kind in document["components"].values():
        assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in kind)


async def test_a_form_has_its_files(document):
    content = document["paths"]["/ideogram/v1/remix"]["post"]["requestBody"]["content"]

    schema = content["multipart/form-data"]["schema"]
    assert schema["properties"]["image_file"] == {"type": "string", "format": "binary"}
    assert set(schema["required"]) == {"image_request", "image_file"}


async def test_the_language_of_the_document_is_that_of_the_reader(small):
    answer = await small.anonymous.get("/openapi.json", headers={"accept-language": "zh-CN"})

    assert CHINESE.search(answer.json()["info"]["title"])


async def test_an_asset_is_what_the_document_says(world, caller):
    asset_id = await world.asset(caller, b"some words")

    shown = await caller.json(f"/v1/assets/{asset_id}")
    deleted = (await caller.client.delete(f"/v1/assets/{asset_id}")).json()

    assert msgspec.convert(shown, shapes.Asset)
    assert msgspec.convert(deleted, shapes.AssetDeleted)
    assert msgspec.convert((await caller.get(f"/v1/assets/{asset_id}")).json(), shapes.Error).error.code == "not_found"


async def test_a_link_to_a_file_needs_no_key_and_carries_an_id(world, caller):
    asset_id = await world.asset(caller, b"some words")
    url = (await caller.json(f"/v1/assets/{asset_id}"))["url"]

    answer = await world.anonymous.get(url)

    assert answer.content == b"some words"
    assert answer.headers["x-request-id"]
    assert answer.headers["cache-control"] == "private"


# Pages for readers


async def test_every_operation_is_on_the_page_in_both_languages(small, language):
    page = (await small.anonymous.get("/docs/zh" if language == "zh" else "/docs")).text

    for name, served in small.app.station.registry.served.items():
        assert f'id="{name}"' in page
        assert served.path in page
    assert f'<html lang="{language}">' in page
    assert "$YIAPI_API_KEY" in page


async def test_the_page_shows_prices_and_their_changes(small):
    assert "0.028 per second" in (await small.anonymous.get("/docs")).text

    await small.app.station.pricing.edit(
        "kling", "kling-v1:std", Unit.SECOND, sell=30_000_000_000_000, cost=28_000_000_000_000, author="test"
    )

    assert "0.028 per second" not in (await small.anonymous.get("/docs")).text


async def test_the_page_runs_no_script(small):
    answer = await small.anonymous.get("/docs")

    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "<script" not in answer.text


async def test_every_operation_is_in_llms_txt(small):
    answer = await small.anonymous.get("/llms.txt")

    assert answer.headers["content-type"].startswith("text/plain")
    assert all(name in answer.text for name in small.app.station.registry.served)


async def test_every_docs_url_opens(small):
    caller = await small.tenant()

    for one in (await caller.json("/v1/operations"))["data"]:
        answer = await small.anonymous.get(one["docs_url"])
        assert answer.status_code == 200
        assert f'id="{one["name"]}"' in answer.text


async def test_every_sample_is_a_request_that_the_operation_takes(small):
    for served in small.app.station.registry.served.values():
        text = msgspec.json.encode(sample_of(served.operation, "some-model"))

        assert msgspec.json.decode(text, type=served.operation.request), served.name


async def test_every_sample_is_a_command_that_a_shell_reads(small):
    for served in small.app.station.registry.served.values():
        words = shlex.split(curl(served, "http://station.example", "it's a model").replace("\\\n", " "))

        assert words[:4] == ["curl", "-X", served.operation.method, f"http://station.example{served.path}"]
