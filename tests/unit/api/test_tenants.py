"""Who is let in (F022 to F024), and that tenants do not see each other (F025)."""

from ipaddress import ip_network

import pytest

from yiapi.apikeys.text import checksum
from yiapi.ids import new_id

GOOD_FORM = "sk-test-" + "A" * 32
UNKNOWN = GOOD_FORM + checksum(GOOD_FORM.encode()).decode()
BAD_KEYS = {
    "none": None,
    "wrong prefix": "pk-test-" + "A" * 38,
    "bad checksum": GOOD_FORM + "000000",
    "cut": UNKNOWN[:-1],
    "unknown": UNKNOWN,
    "quotes": "sk-test-'\"",
    "sql": "' OR 1=1 --",
    "8 KiB": "A" * 8192,
    "empty": "",
}


def refused(answer, status, code):
    error = answer.json()["error"]
    assert answer.status_code == status
    assert error["code"] == code
    assert error["message"]
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
async def test_f022_f024_a_bad_key_is_401(small, header):
    for key in BAD_KEYS.values():
        headers = {} if key is None else {header: f"Bearer {key}" if header == "authorization" else key}

        answer = await small.anonymous.get("/v1/account", headers=headers)

        refused(answer, 401, "invalid_api_key")


async def test_f022_bytes_that_are_no_text_are_401(small):
    answer = await small.anonymous.get("/v1/account", headers={b"x-api-key": b"sk-test-\xff\xfe"})

    refused(answer, 401, "invalid_api_key")


async def test_f022_a_bad_checksum_asks_no_database(small, monkeypatch):
    asked = []
    monkeypatch.setattr(small.app.database, "read", asked.append)

    await small.anonymous.get("/v1/account", headers={"x-api-key": GOOD_FORM + "000000"})

    assert asked == []


async def test_f022_a_refusal_is_counted(small):
    await small.anonymous.get("/v1/account")

    assert 'yiapi_refused_total{code="invalid_api_key"} 1.0' in (await small.anonymous.get("/metrics")).text


async def test_f023_a_revoked_key_is_refused_at_once(small):
    caller = await small.tenant()
    await caller.json("/v1/account")

    await small.app.station.apikeys.revoke_key(caller.key_id)

    refused(await caller.get("/v1/account"), 401, "invalid_api_key")


async def test_f023_a_suspended_account_is_refused_at_once(small):
    caller = await small.tenant()
    await caller.json("/v1/account")

    await small.app.station.apikeys.suspend_account(caller.account_id)

    refused(await caller.get("/v1/account"), 403, "permission_denied")


async def test_f023_an_address_out_of_range_is_refused(small):
    elsewhere = await small.key(await small.tenant(), ip_networks=(ip_network("10.0.0.0/8"),))

    refused(await elsewhere.get("/v1/account"), 403, "permission_denied")


async def test_a_key_for_a_few_operations_may_read_its_account(small):
    here = await small.key(
        await small.tenant(), ip_networks=(ip_network("127.0.0.0/8"),), operations=("kling",), models=("kling-v1",)
    )

    assert (await here.get("/v1/account")).status_code == 200


async def test_an_operators_key_has_no_account(small):
    _, text = await small.app.station.apikeys.create_key(None, "admin", name="operator")

    answer = await small.anonymous.get("/v1/account", headers={"authorization": f"Bearer {text}"})

    refused(answer, 403, "permission_denied")


@pytest.mark.parametrize("name", ["key", "api_key", "token"])
async def test_a_key_in_the_address_is_not_taken(small, name):
    caller = await small.tenant()

    refused(await small.anonymous.get("/v1/account", params={name: caller.key}), 401, "invalid_api_key")


async def test_a_key_may_come_in_either_header(small):
    caller = await small.tenant()

    answer = await small.anonymous.get("/v1/account", headers={"x-api-key": caller.key})

    assert answer.status_code == 200


@pytest.mark.parametrize(("mode", "said"), [("test", "test"), ("live", None)])
async def test_an_answer_to_a_test_key_says_so(small, mode, said):
    caller = await small.tenant(mode)

    for path in ("/v1/account", "/v1/requests/none", "/v1/assets/none", "/v1/tasks"):
        assert (await caller.get(path)).headers.get("x-yiapi-mode") == said


# Tenants

OF_A_TENANT = {
    "request": ("GET", "/v1/requests/{}"),
    "task": ("GET", "/v1/tasks/{}"),
    "cancel": ("POST", "/v1/tasks/{}/cancel"),
    "events": ("GET", "/v1/tasks/{}/events"),
    "asset": ("GET", "/v1/assets/{}"),
    "content": ("GET", "/v1/assets/{}/content"),
    "delete": ("DELETE", "/v1/assets/{}"),
}
MISSING = {"request": lambda: new_id("req"), "asset": lambda: new_id("asset"), "task": lambda: "7" * 18}


@pytest.fixture
async def owned(world):
    """Another tenant's things: the same account in the other mode is another tenant too."""
    owner = await world.tenant("live")
    task = await world.task(owner)
    return owner, {
        "request": await world.call(owner),
        "task": task,
        "asset": await world.asset(owner, b"some words", task),
    }


@pytest.mark.parametrize("stranger", ["account", "mode"])
async def test_f025_anothers_thing_answers_like_a_missing_one(world, owned, stranger):
    owner, things = owned
    if stranger == "account":
        other = await world.tenant("live")
    else:
        key, text = await world.app.station.apikeys.create_key(owner.account_id, "test", name="other")
        other = world.caller(owner.account_id, "test", key.id, text)

    for name, (method, path) in OF_A_TENANT.items():
        kind = name if name in things else "task" if "tasks" in path else "asset"
        theirs = await other.client.request(method, path.format(things[kind]))
        missing = await other.client.request(method, path.format(MISSING[kind]()))

        assert theirs.status_code == missing.status_code == 404, name
        one, another = theirs.json()["error"], missing.json()["error"]
        del one["request_id"], another["request_id"]
        assert one == another, name
        assert set(theirs.headers) == set(missing.headers), name


async def test_f025_anothers_things_are_in_no_list(world, owned, caller):
    for path in ("/v1/requests", "/v1/tasks", "/v1/usage"):
        assert (await caller.json(path))["data"] == []


async def test_f025_nothing_of_the_owners_changed(world, owned, caller):
    owner, things = owned

    await caller.client.post(f"/v1/tasks/{things['task']}/cancel")
    await caller.client.delete(f"/v1/assets/{things['asset']}")

    assert (await owner.json(f"/v1/tasks/{things['task']}"))["status"] == "running"
    assert (await owner.get(f"/v1/assets/{things['asset']}/content")).content == b"some words"
