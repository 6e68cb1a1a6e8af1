"""Models, operations and quotes."""

import msgspec
import pytest

from yiapi.api import shapes
from yiapi.api.languages import preferred
from yiapi.providers.contract import Mode


@pytest.fixture
async def caller(small):
    return await small.tenant()


# Models


async def test_models_have_plain_names_only_where_the_provider_has_no_prefix(caller):
    models = msgspec.convert(await caller.json("/v1/models"), shapes.Models).data

    ids = {model.id for model in models}
    assert {"gpt-4o", "kling/kling-v1", "ideogram/V_2"} <= ids
    assert "kling-v1" not in ids
    assert all(model.created > 0 for model in models)


async def test_every_listed_model_can_be_asked_for(caller):
    for model in (await caller.json("/v1/models"))["data"]:
        assert await caller.json(f"/v1/models/{model['id']}") == model


async def test_an_unknown_model_is_not_found(caller):
    answer = await caller.get("/v1/models/kling/none")

    error = answer.json()["error"]
    assert answer.status_code == 404
    assert (error["type"], error["code"]) == ("invalid_request_error", "model_not_found")


@pytest.mark.parametrize(
    ("restrictions", "expected"),
    [
        ({"models": ("kling/kling-v1",)}, {"kling/kling-v1"}),
        ({"models": ("gpt-4o",)}, {"gpt-4o"}),
        ({"operations": ("openai.chat",), "models": ("kling-v1", "gpt-4o")}, {"gpt-4o"}),
    ],
)
async def test_a_key_sees_the_models_that_it_may_use(small, caller, restrictions, expected):
    restricted = await small.key(caller, **restrictions)

    assert {model["id"] for model in (await restricted.json("/v1/models"))["data"]} == expected
    assert (await restricted.get("/v1/models/ideogram/V_2")).status_code == 404


async def test_a_key_for_one_operation_sees_its_providers_models(small, caller):
    restricted = await small.key(caller, operations=("kling.text2video",))

    assert {model["owned_by"] for model in (await restricted.json("/v1/models"))["data"]} == {"kling"}


# Operations


async def test_the_catalogue_is_whole_and_in_a_stable_order(small, caller):
    found, cursor = [], ""
    while cursor is not None:
        page = await caller.json("/v1/operations", params={"limit": 7, "cursor": cursor})
        found += msgspec.convert(page, shapes.Operations).data
        cursor = page["next_cursor"]

    assert [one.name for one in found] == list(small.app.station.registry.served)


async def test_an_operation_has_the_models_and_prices_of_what_it_counts(caller):
    video = await caller.json("/v1/operations/kling.text2video")
    image = await caller.json("/v1/operations/kling.image")
    chat = await caller.json("/v1/operations/openai.chat")

    assert {price["unit"] for price in video["price"]} == {"second"}
    assert {price["unit"] for price in image["price"]} == {"image"}
    assert {price["unit"] for price in chat["price"]} >= {"token_in", "token_out"}
    assert "gpt-4o" in chat["models"]
    assert "kling-v1" in video["models"]
    assert {"sku": "kling-v1:std", "unit": "second", "per": 1, "amount": "0.028"} in video["price"]


async def test_prices_are_those_of_the_accounts_group(small, caller):
    await small.app.station.pricing.set_multiplier("partner", 500_000, author="test")
    account = await small.app.station.apikeys.get_account(caller.account_id)
    await small.app.station.apikeys.update_account(
        type(account)(account.id, account.name, account.status, "partner", account.parallel_max, account.open_tasks_max)
    )

    video = await caller.json("/v1/operations/kling.text2video")

    assert {"sku": "kling-v1:std", "unit": "second", "per": 1, "amount": "0.014"} in video["price"]


async def test_queries_cost_nothing(small, caller):
    for one in (await caller.json("/v1/operations"))["data"]:
        if one["mode"] == Mode.QUERY:
            assert (one["models"], one["price"]) == ([], [])


async def test_one_operation_has_its_schemas(small, caller):
    for name in small.app.station.registry.served:
        one = msgspec.convert(await caller.json(f"/v1/operations/{name}"), shapes.OperationWithSchema)
        assert one.name == name
        assert one.schema.request

    assert (await caller.json("/v1/operations/openai.chat"))["schema"]["response"]


async def test_an_unknown_operation_is_not_found(caller):
    assert (await caller.get("/v1/operations/kling.none")).json()["error"]["code"] == "not_found"


async def test_an_operation_that_is_switched_off_says_so(small, caller):
    await small.app.station.switches.set("operation:kling.image", enabled=False, author="test")

    assert (await caller.json("/v1/operations/kling.image"))["enabled"] is False


@pytest.mark.parametrize(
    ("header", "path"), [("zh-CN,zh;q=0.9,en;q=0.8", "/docs/zh#"), ("de", "/docs#"), ("", "/docs#")]
)
async def test_docs_are_in_the_callers_language(caller, header, path):
    one = (await caller.json("/v1/operations", headers={"accept-language": header}))["data"][0]

    assert path in one["docs_url"]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("zh", "zh"),
        ("fr, zh-TW;q=0.5", "zh"),
        ("en;q=0.1, zh;q=0.2", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=nan", "en"),
        ("*", "en"),
        ("," * 9000, "en"),
    ],
)
def test_the_language_that_is_wanted_most(header, language):
    assert preferred(header) == language


# Quotes


async def quoted(caller, operation, request):
    return await caller.client.post("/v1/quotes", json={"operation": operation, "request": request})


async def test_a_quote_says_what_would_be_held(caller):
    answer = await quoted(caller, "kling.text2video", {"prompt": "a cat", "duration": "10"})

    assert msgspec.convert(answer.json(), shapes.Quote)
    assert answer.json() == {
        "object": "quote",
        "operation": "kling.text2video",
        "model": "kling-v1",
        "amount": "0.28",
        "currency": "USD",
        "parts": [
            {
                "sku": "kling-v1:std",
                "unit": "second",
                "quantity": 10,
                "unit_price": "0.028",
                "per": 1,
                "amount": "0.28",
            }
        ],
    }


async def test_a_quote_charges_nothing(caller):
    await quoted(caller, "kling.text2video", {"prompt": "a cat"})

    account = await caller.json("/v1/account")
    assert (account["balance"], account["held"]) == ("10", "0")
    assert (await caller.json("/v1/requests"))["data"] == []


async def test_every_operation_that_costs_can_be_quoted(small, caller):
    from yiapi.api.samples import sample_of

    for name, served in small.app.station.registry.served.items():
        if served.operation.usage is None:
            continue
        models = (await caller.json(f"/v1/operations/{name}"))["models"]
        answer = await quoted(caller, name, sample_of(served.operation, models[0]))
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json()["parts"], name


async def test_fields_of_a_flat_form_may_be_text(caller):
    answer = await quoted(caller, "ideogram.edit", {"model": "V_2", "num_images": "2"})

    assert answer.json()["parts"][0]["quantity"] == 2


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"operation": "none.none", "request": {}}, 404, "not_found", "operation"),
        ({"operation": "kling.text2video.get", "request": {}}, 404, "not_found", "operation"),
        ({"operation": 7, "request": {}}, 400, "invalid_request", "operation"),
        ({"operation": "kling.image"}, 400, "invalid_request", "request"),
        ({"operation": "kling.image", "request": {}}, 400, "invalid_request", "request.prompt"),
        ({"operation": "kling.image", "request": None}, 400, "invalid_request", "request"),
        ({"operation": "kling.image", "request": {"prompt": "x", "n": -1}}, 400, "invalid_request", "request.n"),
        ({"operation": "kling.image", "request": {"prompt": "x", "n": 1e9}}, 400, "invalid_request", "request.n"),
        (
            {"operation": "ideogram.generate", "request": {"image_request": {"prompt": 7}}},
            400,
            "invalid_request",
            "request.image_request.prompt",
        ),
        (
            {"operation": "kling.image", "request": {"prompt": "x", "model_name": "none"}},
            404,
            "model_not_found",
            "model",
        ),
        ([], 400, "invalid_request", None),
    ],
)
async def test_a_bad_quote_names_the_field(caller, body, status, code, param):
    answer = await caller.client.post("/v1/quotes", json=body)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)


BODIES = {
    "empty": (b"", 400),
    "cut": (b'{"operation": "kling.', 400),
    "more behind": (b"{}{}", 400),
    "not a number": (b'{"operation": "kling.image", "request": {"n": NaN}}', 400),
    "lone surrogate": (b'{"operation": "\\ud800", "request": {}}', 400),
    "no UTF-8": (b'{"operation": "\xff"}', 400),
    "deep": (b'{"operation": "kling.image", "request": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400),
    "deep elsewhere": (b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400),
    "large": (b'"' + b"a" * (11 * 1024 * 1024) + b'"', 413),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES.keys())
async def test_a_broken_body_is_refused(caller, body, status):
    answer = await caller.client.post("/v1/quotes", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == status


async def test_a_large_body_is_refused_without_a_length_too(caller):
    async def pieces():
        for _ in range(11):
            yield b" " * 1024 * 1024

    assert (await caller.client.post("/v1/quotes", content=pieces())).status_code == 413


@pytest.mark.parametrize("headers", [{"content-type": "text/plain"}, {"content-encoding": "gzip"}])
async def test_a_body_of_another_type_is_415(caller, headers):
    assert (await caller.client.post("/v1/quotes", content=b"{}", headers=headers)).status_code == 415
