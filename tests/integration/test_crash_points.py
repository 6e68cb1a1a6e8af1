"""A process is killed at every named point of the way of money: nothing acknowledged is lost, nothing is charged twice.

What callers saw is compared with the records: each answer that arrived whole has its record with the charge that it
carried, and no call of a caller is charged in two records. The points are in ``crashing/sitecustomize.py``; the
ordinary run kills once at each, ``CRASHES=1,3,10,40,150`` at each of these passings. ``--long`` runs every test on both
databases.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from stations import Station

from yiapi.db.sql import query_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

CLIENTS = 8
COUNTS = [int(count) for count in os.environ.get("CRASHES", "3").split(",")]
ROWS = query_of("rows", "SELECT id, client_request_id, charge, loss, status FROM requests")
SPENT = query_of("spent", "SELECT captured FROM ledger_accounts WHERE kind = 'wallet' AND captured > 0")
POINTS = {
    "gateway": [
        "after_draw",
        "after_refill",
        "before_append",
        "inside_append",
        "after_append",
        "before_answer",
        "after_answer",
        "after_chunk",
        "before_last",
        "after_last",
    ],
    "settler": ["before_write", "before_commit", "after_commit"],
}
AT_START = ["before_replay", "after_replay", "before_clean", "after_clean"]


@dataclass
class Seen:
    """What callers saw: for each call that they made its answer's id and charge, if it came whole."""

    asked: int = 0
    answered: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass
class Crashing:
    """A station whose processes crash where the plan says so."""

    station: Station
    plan: Path
    seen: Seen = field(default_factory=Seen)

    async def run_into(self, process: str, point: str, count: int) -> None:
        """Make calls until a process is gone at a point."""
        self.plan.write_text(f"{process} {point} {count}")
        async with asyncio.timeout(150):
            await self.calls(until=lambda: not self.plan.exists())

    async def calls(self, number: int = 10**6, *, until=lambda: False) -> None:
        """Make calls from some places at once."""
        numbers = iter(range(number))

        async with self.station.client(limits=httpx.Limits(max_connections=CLIENTS)) as client:

            async def caller() -> None:
                for _ in numbers:
                    if until():
                        return
                    await self.call(client)

            await asyncio.gather(*[caller() for _ in range(CLIENTS)])

    async def call(self, client: httpx.AsyncClient) -> None:
        """Make one call, every second one a stream; what a crash takes away is not repeated."""
        self.seen.asked += 1
        name = f"call-{self.seen.asked}"
        is_stream = self.seen.asked % 2 == 0
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": name}], "stream": is_stream}
        with contextlib.suppress(httpx.HTTPError):
            answer = await client.post("/v1/chat/completions", json=body, headers={"x-client-request-id": name})
            charge = charge_of(answer, is_stream=is_stream)
            if charge is not None:
                self.seen.answered[name] = (answer.headers["x-request-id"], charge)

    async def verify(self) -> None:
        """Compare what callers saw with the records, and the records with the books."""
        await self.station.ready()
        await self.calls(2 * CLIENTS)
        await self.station.until_nothing_is_held()
        with self.station.books() as database:
            rows = await database.read(lambda tx: tx.all(ROWS))
            spent = await database.read(lambda tx: tx.all(SPENT))
        records = {row["id"]: row for row in rows}
        for name, (request_id, charge) in self.seen.answered.items():
            assert request_id in records, f"{name} was answered and is not recorded"
            assert nano(charge) == records[request_id]["charge"], name
            assert records[request_id]["client_request_id"] == name
        charged = [row["client_request_id"] for row in rows if row["charge"]]
        assert len(charged) == len(set(charged)), "a call was charged twice"
        assert {row["loss"] for row in rows} <= {0}, "an acknowledged charge was lost"
        assert sum(row["charge"] for row in rows) == sum(row["captured"] for row in spent)
        await self.station.assert_sound()


def charge_of(answer: httpx.Response, *, is_stream: bool) -> str | None:
    """Return what a whole answer says it costs; a stream says so in its last line."""
    if answer.status_code != 200:
        return None
    if not is_stream:
        return answer.headers.get("x-yiapi-charge")
    last = answer.text.rstrip().rpartition("\n")[2]
    return last.removeprefix(": x-yiapi-charge: ") if last.startswith(": x-yiapi-charge: ") else None


def nano(text: str) -> int:
    whole, _, rest = text.partition(".")
    return int(whole) * 10**9 + int(rest.ljust(9, "0") or 0)


def on(often: str, seldom: str) -> pytest.MarkDecorator:
    """Run a test on one database, and on the other in the long form."""
    return pytest.mark.parametrize(
        "crashing", [often, pytest.param(seldom, marks=pytest.mark.long)], indirect=["crashing"]
    )


ON_SQLITE, ON_POSTGRES = on("sqlite", "postgres"), on("postgres", "sqlite")


@pytest.fixture
async def crashing(request, tmp_path) -> AsyncIterator[Crashing]:
    """A station on a database, such as ``sqlite``; ``sqlite, 2`` has two gateways."""
    kind, _, gateways = request.param.partition(", ")
    url = request.getfixturevalue("postgres")() if kind == "postgres" else None
    plan = tmp_path / "plan"
    folder = os.pathsep.join([str(Path(__file__).with_name("crashing")), os.environ.get("PYTHONPATH", "")])
    options = ("--workers", gateways or "1")
    station = Station(tmp_path, url, options=options, CRASH_PLAN=str(plan), PYTHONPATH=folder)
    await station.start()
    yield Crashing(station, plan)
    station.stop()
    for pid in station.settlers():
        station.kill(pid)


@pytest.mark.parametrize("crashing", ["sqlite", "postgres", "sqlite, 2", "postgres, 2"], indirect=["crashing"])
async def test_a_kill_at_any_point_of_a_call_loses_no_acknowledged_charge(crashing):
    for count in COUNTS:
        for process, points in POINTS.items():
            for point in points:
                await crashing.run_into(process, point, 1 if point == "after_refill" else count)
                await crashing.verify()

    assert len(crashing.seen.answered) > 100


@ON_POSTGRES
async def test_a_kill_of_gateway_and_settler_and_another_in_the_middle_of_the_replay(crashing):
    station = crashing.station
    for point in AT_START:
        calling = asyncio.ensure_future(crashing.calls(60))
        while len(crashing.seen.answered) % 20 < 10:  # noqa: ASYNC110 - the callers tell nobody
            await asyncio.sleep(0.005)  # sleep: some of the calls are answered
        for pid in station.settlers():
            os.kill(pid, signal.SIGSTOP)  # what is written from now on is for the replay
        for _ in range(20):
            await asyncio.sleep(0.005)  # sleep: and a few more
        crashing.plan.write_text(f"gateway|worker {point} 1")  # whoever finds the journal first
        station.kill(station.gateway())
        for pid in station.settlers():
            station.kill(pid)
        await calling
        async with asyncio.timeout(150):
            while crashing.plan.exists():  # noqa: ASYNC110 - another process deletes it
                await asyncio.sleep(0.05)  # sleep: the next gateway starts, and is gone
        await crashing.verify()


@ON_SQLITE
async def test_a_kill_in_the_middle_of_taking_over(crashing):
    station = crashing.station
    for process in ("gateway", "worker"):
        for point in ("before_release", "after_release"):
            await crashing.calls(20)
            crashing.plan.write_text(f"{process} {point} 1")
            station.kill(station.gateway())
            async with asyncio.timeout(150):
                while crashing.plan.exists():  # noqa: ASYNC110 - another process deletes it
                    await asyncio.sleep(0.05)  # sleep: it takes over in its own time
            await crashing.verify()


@ON_SQLITE
async def test_a_kill_of_everything_is_made_good_at_the_next_start(crashing):
    """The machine's processes die at once, and nobody is back before the leases are over."""
    station = crashing.station
    calling = asyncio.ensure_future(crashing.calls(until=lambda: station.process.poll() is not None))
    while len(crashing.seen.answered) < 40:  # noqa: ASYNC110 - the callers tell nobody
        await asyncio.sleep(0.005)  # sleep: some of the calls are answered
    station.kill_all()
    await calling
    await asyncio.sleep(4.5)  # sleep: the leases of 3 s are over, so that anybody may end them

    await station.start()

    await crashing.verify()
    assert len(crashing.seen.answered) > 40


@ON_POSTGRES
async def test_a_killed_settler_is_started_again_and_nobody_notices(crashing):
    station = crashing.station
    calling = asyncio.ensure_future(crashing.calls(150))
    for _ in range(3):
        async with asyncio.timeout(90):
            while not station.settlers():  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(0.01)  # sleep: the gateway starts the next one
        [settler] = station.settlers()
        station.kill(settler)
        async with asyncio.timeout(90):
            while settler in station.settlers():  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(0.01)  # sleep: it dies
    await calling

    assert len(crashing.seen.answered) == 150
    await crashing.verify()


@ON_POSTGRES
async def test_a_gateway_that_was_stopped_for_longer_than_its_lease_charges_nothing_wrongly(crashing):
    """Others end its lease and release what it held; its late calls are our loss, and it serves again.

    A call that is stopped between the look at the lease and the journal tells its caller of a charge that is not made.
    """
    station = crashing.station
    await crashing.calls(20)
    calling = asyncio.ensure_future(crashing.calls(60))
    while len(crashing.seen.answered) < 30:  # noqa: ASYNC110 - the callers tell nobody
        await asyncio.sleep(0.005)  # sleep: some of the calls are answered
    os.kill(station.gateway(), signal.SIGSTOP)
    async with asyncio.timeout(150):
        while not station.events("leases_ended"):  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.1)  # sleep: its lease runs out
    os.kill(station.gateway(), signal.SIGCONT)
    await calling

    await station.until_nothing_is_held()
    before = set(crashing.seen.answered)
    await crashing.calls(20)
    await station.until_nothing_is_held()
    with station.books() as database:
        rows = {row["id"]: row for row in await database.read(lambda tx: tx.all(ROWS))}
    for name, (request_id, charge) in crashing.seen.answered.items():
        made, lost = rows[request_id]["charge"], rows[request_id]["loss"]
        assert (made, lost) == (nano(charge), 0) or name in before, f"{name}: the last calls are charged again"
        assert made + lost == nano(charge) or (made, nano(charge)) == (0, 0), name
    await station.assert_sound()
