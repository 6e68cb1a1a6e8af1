"""Several gateways on one machine: each has its journal and settler, and together they tell one truth about money."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from decimal import Decimal

import httpx
import pytest
from stations import Station

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(params=["sqlite", "postgres"])
async def station(request, tmp_path) -> AsyncIterator[Station]:
    url = request.getfixturevalue("postgres")() if request.param == "postgres" else None
    station = Station(tmp_path, url, options=("--workers", "2"))
    await station.start()
    yield station
    station.stop()


def fresh() -> httpx.Limits:
    """Make a new connection for each call, which any gateway may take."""
    return httpx.Limits(max_keepalive_connections=0)


async def account(client: httpx.AsyncClient) -> dict[str, Decimal]:
    said = (await client.get("/v1/account")).json()
    return {name: Decimal(said[name]) for name in ("balance", "held", "available", "spent_total")}


async def test_what_an_answer_cost_is_in_the_account_right_after_it(station):
    async with station.client(limits=fresh()) as client:
        before = await account(client)
        for _ in range(25):
            answer = await client.post("/v1/chat/completions", json=BODY)
            charge = Decimal(answer.headers["x-yiapi-charge"])
            after = await account(client)
            record = (await client.get(f"/v1/requests/{answer.headers['x-request-id']}")).json()

            assert charge > 0
            assert after["balance"] == before["balance"] - charge
            assert after["held"] == 0
            assert after["available"] == after["balance"]
            assert Decimal(record["charge"]) == charge
            before = after
    assert len({line["pid"] for line in station.events("process_started") if "gateway" in str(line["name"])}) == 2


async def test_a_call_under_way_is_held_whichever_gateway_is_asked(station):
    slow = BODY | {"messages": [{"role": "user", "content": "hello #delay=4"}]}
    async with station.client(limits=fresh()) as client:
        calling = asyncio.ensure_future(client.post("/v1/chat/completions", json=slow))
        in_a_row = 0
        async with asyncio.timeout(20):
            while in_a_row < 6:
                assert not calling.done()
                in_a_row = in_a_row + 1 if (await account(client))["held"] > 0 else 0
                await asyncio.sleep(0.02)  # sleep: the other gateway is told
        assert (await calling).status_code == 200
        assert (await account(client))["held"] == 0


async def test_each_gateway_has_its_own_journal_and_none_is_left_behind(station):
    async with station.client(limits=fresh()) as client:
        await asyncio.gather(*[client.post("/v1/chat/completions", json=BODY) for _ in range(40)])
    folder = station.folder / "journal"
    expected, owners = {"gateway-0", "gateway-1", "worker"}, set[str]()
    async with asyncio.timeout(20):  # one gateway is enough for the station to be ready
        while owners != expected or len(station.settlers()) < 2:
            owners = {path.name.rsplit(".", 2)[0].partition("@")[0] for path in folder.glob("*.lock")}
            await asyncio.sleep(0.02)  # sleep: another process makes the file

    assert len(station.settlers()) == 2

    station.stop()

    assert [path.name for path in folder.iterdir()] == []
    assert station.settlers() == []


async def test_one_gateway_dies_and_the_other_serves_on(station):
    async with station.client(limits=fresh()) as client:
        await asyncio.gather(*[client.post("/v1/chat/completions", json=BODY) for _ in range(20)])
        os.kill(station.gateway(1), signal.SIGKILL)
        served = 0
        async with asyncio.timeout(60):
            while served < 20:
                try:
                    answer = await client.post("/v1/chat/completions", json=BODY)
                except httpx.HTTPError:  # it was on the one that died
                    continue
                served += answer.status_code == 200
        now = await account(client)
    await station.until_nothing_is_held()
    await station.assert_sound()
    assert now["available"] == now["balance"] - now["held"]
