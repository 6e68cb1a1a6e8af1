"""Lines: bounded, in batches, and patient with channels that fail."""

import asyncio

import pytest
from waiting_support import waiting

from yiapi.clock import ManualClock, SystemClock
from yiapi.providers.contract import Batch
from yiapi.tasks.line import Line

pytestmark = pytest.mark.anyio

BATCH = Batch(path="/many", body=list, items="items", id="id", size_max=10)


class Looks:
    """Looks that take as long as the test says."""

    def __init__(self):
        self.begun: list[list[str]] = []
        self.gate = asyncio.Event()

    async def look(self, line, tasks):
        self.begun.append([task.id for task in tasks])
        await self.gate.wait()


class Bench:
    def __init__(self, *, batch=None, at_once=None):
        self.clock, self.looks, self.may_look = ManualClock(), Looks(), True
        self.line = Line(("chan", "cred", batch), self.clock, self.looks.look, lambda: self.may_look, at_once=at_once)

    def push(self, count, at=-1.0):
        for number in range(count):
            self.line.push(waiting(f"task-{number}", at + number / 1e6))

    async def start(self):
        self.line.start_due()
        await asyncio.sleep(0)
        return [len(tasks) for tasks in self.looks.begun]

    async def end(self):
        self.looks.gate.set()
        while self.line.queries:
            await asyncio.wait(self.line.queries)
        self.looks.gate.clear()


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_channel_gets_a_bounded_number_of_queries_at_once():
    bench = Bench(at_once=5)
    bench.push(20)

    assert await bench.start() == [1] * 5
    await bench.end()
    assert await bench.start() == [1] * 10
    await bench.end()


async def test_what_is_due_together_is_asked_for_together():
    bench = Bench(batch=BATCH)
    bench.push(25)

    assert await bench.start() == [10, 10, 5]
    await bench.end()


async def test_a_batch_takes_along_what_is_nearly_due_and_nothing_else():
    bench = Bench(batch=BATCH)
    bench.push(2)
    bench.line.push(waiting("soon", 0.2))
    bench.line.push(waiting("later", 0.4))

    await bench.start()

    assert list(map(sorted, bench.looks.begun)) == [["soon", "task-0", "task-1"]]
    await bench.end()


async def test_a_batch_does_not_begin_before_something_is_due():
    bench = Bench(batch=BATCH)
    bench.push(3, at=0.1)

    assert await bench.start() == []


async def test_a_worker_that_may_not_look_does_not():
    bench = Bench()
    bench.push(3)
    bench.may_look = False

    assert await bench.start() == []


async def test_a_channel_that_fails_is_asked_less_and_less_by_one_query_at_a_time():
    bench = Bench()
    bench.push(100)
    pauses = []
    for _ in range(3):
        bench.line.failed(None)
    for _ in range(8):
        bench.looks.begun.clear()
        assert await bench.start() == []
        while not await bench.start():
            bench.clock.turn(0.25)
            pauses.append(0.25)
        assert await bench.start() == [1]
        await bench.end()
        bench.line.failed(None)

    assert 30 < sum(pauses) < 8 * 60
    bench.line.answered()
    bench.clock.turn(60)
    bench.looks.begun.clear()
    assert len(await bench.start()) == 32
    await bench.end()


async def test_one_failure_among_others_delays_nothing():
    bench = Bench()
    bench.push(3)

    bench.line.failed(None)

    assert await bench.start() == [1] * 3
    await bench.end()


async def test_a_stated_wait_is_kept():
    bench = Bench()
    bench.push(1)
    bench.line.failed(7.0)

    bench.clock.turn(6.9)
    assert await bench.start() == []
    bench.clock.turn(0.2)
    assert await bench.start() == [1]
    await bench.end()


async def test_a_running_line_looks_by_itself_when_something_is_due():
    looked = asyncio.Event()

    async def look(line, tasks):
        looked.set()

    clock = SystemClock()
    line = Line(("chan", "cred", None), clock, look, lambda: True, at_once=None)
    line.run()
    line.push(waiting(look_at=clock.monotonic() + 3600))
    line.push(waiting("sooner", look_at=clock.monotonic() + 0.01))

    await asyncio.wait_for(looked.wait(), 5)

    line.stop()


async def test_however_many_queries_have_ended_one_timer_is_set(monkeypatch):
    loop, timers = asyncio.get_running_loop(), []
    plain = loop.call_later

    def noted(*arguments):
        timers.append(plain(*arguments))
        return timers[-1]

    monkeypatch.setattr(loop, "call_later", noted)
    bench = Bench(at_once=3)
    bench.line.run()
    bench.line.push(waiting("later", 1000.0))
    for _ in range(5):
        bench.push(3)
        assert await bench.start()
        await bench.end()
        await asyncio.sleep(0)

    assert [timer for timer in timers if not timer.cancelled() and timer.when() > loop.time()] == timers[-1:]
    bench.line.stop()
