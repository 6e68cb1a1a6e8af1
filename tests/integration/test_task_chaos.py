"""Chaos for tasks, in short form; ``--chaos-full`` runs the full one and prints a table.

Numbers are those of the chaos programme. After each: the checker, and the vendor's own bill.
"""

import asyncio
import os
import random
import signal
import time
from contextlib import suppress

import pytest
from chaos_support import LEASE_S, OWNERS, READY_S, TASKS, Maker, end, furnished
from chaos_told import OUTCOMES

from yiapi.db.sql import query_of

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

POINTS = {
    "gateway-0": ("task.created", "task.sending", "task.answered", "task.accepted"),
    "worker": (
        "task.taken_up",
        "task.succeeded",
        "task.copied",
        "task.ending",
        "task.ended",
        "buckets.renew",
        "buckets.renewed",
        "buckets.taken",
    ),
}


@pytest.fixture
def is_full(request) -> bool:
    return request.config.getoption("--chaos-full")


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path) -> str:
    if request.param == "postgres":
        return request.getfixturevalue("postgres")()
    return f"sqlite:///{tmp_path / 'data' / 'yiapi.db'}"


@pytest.fixture
def postgres_url(postgres) -> str:
    return postgres()


@pytest.fixture
async def maker():
    maker = Maker()
    await maker.start()
    yield maker
    if maker.hold_answers is not None:
        maker.hold_answers.set()
    await maker.stop()


async def begun(tmp_path, url, maker):
    (tmp_path / "data").mkdir()
    station = await furnished(tmp_path / "data", url, maker)
    await station.start()
    return station


async def finished(station, name, request, **options):
    await station.until_ended(**options)
    outcome = await station.outcome()
    request.config.stash.setdefault(OUTCOMES, []).append(outcome.row(name))
    outcome.assert_clean()
    return outcome


async def test_c1_kills_at_random_instants(tmp_path, url, maker, request, is_full):
    station = await begun(tmp_path, url, maker)
    try:
        async with station.callers(4):
            for number in range(500 if is_full else 4):
                await asyncio.sleep(random.uniform(0.2, 1.0))  # sleep: the instant is a random one
                await station.kill("gateway-0" if number % 2 else "worker")
        outcome = await finished(station, f"C1 {url.partition(':')[0]}", request, hurry_unknown=True)
    finally:
        await asyncio.to_thread(station.stop)

    assert outcome.statuses["succeeded"] > 0
    assert len(station.accepted) > 0


async def test_c2_kills_at_each_crash_point(tmp_path, url, maker, request, is_full):
    station = await begun(tmp_path, url, maker)
    try:
        async with station.callers(3, pause_s=0.2):
            for _ in range(25 if is_full else 1):
                for name, points in POINTS.items():
                    for point in points:
                        await crash(station, name, point)
        await finished(station, f"C2 {url.partition(':')[0]}", request, hurry_unknown=True)
    finally:
        await asyncio.to_thread(station.stop)


async def crash(station, name, point):
    """Let the next process that comes by a point die there; what takes a bucket comes by only after a start."""
    armed = station.crashes / point
    armed.touch()
    if point == "buckets.taken":
        await station.kill("worker")
    async with asyncio.timeout(READY_S):
        while armed.exists():  # noqa: ASYNC110 - another process removes it
            await asyncio.sleep(0.05)  # sleep: another process comes by
    station.kills += 1
    if name == "gateway-0":
        await station.until_ready()


async def test_c9_of_two_workers_one_is_killed(tmp_path, url, maker, request, is_full):
    maker.seconds = 1.5
    station = await begun(tmp_path, url, maker)
    other = await station.worker("other")
    try:
        async with station.callers(4):
            for _ in range(50 if is_full else 1):
                await until_shared(station, 2)
                await asyncio.sleep(0.5)  # sleep: some tasks are on their way
                other.kill()
                other.wait()
                station.kills += 1
                began = time.monotonic()
                await until_shared(station, 1)
                assert time.monotonic() - began < 60
                other = await station.worker("other")
        await finished(station, f"C9 {url.partition(':')[0]}", request)
    finally:
        await asyncio.to_thread(end, [other])
        await asyncio.to_thread(station.stop)


async def until_shared(station, count):
    """Wait until so many workers own all buckets between them."""
    async with asyncio.timeout(READY_S):
        while True:
            owners = [row for row in await station.rows(OWNERS) if row["owner"] is not None]
            living = await station.rows(LIVING)
            shares = [row["count"] for row in owners if row["owner"] in {row["id"] for row in living}]
            if len(shares) == count and sum(shares) == 256 and max(shares) - min(shares) <= 1:
                return
            await asyncio.sleep(0.1)


LIVING = query_of("living", "SELECT id, name FROM nodes WHERE lease_until >= now_ms()")


async def test_c12_a_paused_worker_writes_nothing_when_it_wakes(tmp_path, url, maker, request, is_full):
    station = await begun(tmp_path, url, maker)
    sleeper = await station.worker("sleeper")
    try:
        for _ in range(5 if is_full else 1):
            await until_shared(station, 2)
            maker.hold_answers, maker.seconds = asyncio.Event(), 0.0
            maker.held.clear()
            async with station.callers(4, pause_s=0.02):
                await maker.held.wait()
                await asyncio.sleep(1.0)  # sleep: both workers have asked
            os.kill(sleeper.pid, signal.SIGSTOP)
            station.kills += 1
            maker.hold_answers.set()  # the sleeper's answers wait in its sockets
            maker.hold_answers = None
            await until_shared(station, 1)
            await station.until_ended()
            os.kill(sleeper.pid, signal.SIGCONT)
            await until_shared(station, 2)
        await finished(station, f"C12 {url.partition(':')[0]}", request)
    finally:
        await asyncio.to_thread(end, [sleeper])
        await asyncio.to_thread(station.stop)

    said = (station.folder / "sleeper.log").read_text()
    assert '"write_refused"' in said
    rows = await station.rows(TASKS)
    assert {row["status"] for row in rows} == {"succeeded"}


async def test_c10_a_worker_that_is_cut_off_from_the_database(tmp_path, postgres_url, maker, request, is_full):
    wire = Wire(postgres_url)
    await wire.start()
    station = await begun(tmp_path, postgres_url, maker)
    cut = await station.worker("cut-off", wire.url)
    try:
        for _ in range(5 if is_full else 1):
            await until_shared(station, 2)
            async with station.callers(4):
                await asyncio.sleep(0.5)  # sleep: some tasks are on their way
                wire.is_cut.clear()
                station.kills += 1
                await until_shared(station, 1)
                await asyncio.sleep(LEASE_S)  # sleep: it is cut off for longer than its lease
                wire.is_cut.set()
            await until_shared(station, 2)
        outcome = await finished(station, "C10 postgresql", request)
    finally:
        wire.is_cut.set()
        await asyncio.to_thread(end, [cut])
        await asyncio.to_thread(station.stop)
        await wire.stop()

    assert outcome.statuses.keys() == {"succeeded"}


class Wire:
    """A way to the database that can be cut: bytes wait until it is mended."""

    def __init__(self, url: str) -> None:
        folder = url.partition("host=")[2]
        self._path = f"{folder}/.s.PGSQL.5432"
        self._database = url.partition("://")[2].partition("/")[2].partition("?")[0]
        self.is_cut = asyncio.Event()
        self.is_cut.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://postgres@127.0.0.1:{port}/{self._database}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers = [writer]
        try:
            there_reader, there_writer = await asyncio.open_unix_connection(self._path)
            writers.append(there_writer)
            await asyncio.gather(self._carry(reader, there_writer), self._carry(there_reader, writer))
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            for one in writers:
                one.transport.abort()
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.is_cut.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
