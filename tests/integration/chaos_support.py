"""What chaos needs: a station as processes, a vendor that keeps its own bill, and the sum of both afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from tests_support import Got, Vendor, answer

from yiapi.apikeys import insert_account, insert_key
from yiapi.app import open_app
from yiapi.channels import Routing
from yiapi.db import Database, Transaction, migrate
from yiapi.db.sql import query_of
from yiapi.ledger import balance, open_wallet, top_up, wallet_of
from yiapi.ledger.check import check
from yiapi.money import Money
from yiapi.pricing import price_of
from yiapi.settings import load_settings

FINAL = {"succeeded", "failed", "cancelled", "expired"}
PATH = "/v1/images/generations"
LEASE_S = 3.0
USUAL_S = 0.3
READY_S = 60.0
END_S = 90.0

TASKS = query_of("tasks", "SELECT * FROM tasks ORDER BY id")
OPEN_HOLDS = query_of("open", "SELECT count(*) AS count FROM holds WHERE is_open = 1")
OWNERS = query_of("owners", "SELECT owner, count(*) AS count FROM task_buckets GROUP BY owner")
FIVE_MINUTES = query_of(
    "minutes",
    "UPDATE tasks SET started_at = started_at - 400000, created_at = created_at - 400000, next_look_at = now_ms()"
    " WHERE status = 'unknown'",
)


@dataclass
class Order:
    """A task as the vendor has it."""

    id: str
    reference: str
    ready_at: float


class Maker(Vendor):
    """Makes pictures in Kling's format, and remembers every submission, so that nobody can submit twice unseen."""

    def __init__(self, seconds: float = USUAL_S) -> None:
        super().__init__()
        self.seconds = seconds
        self.orders: dict[str, Order] = {}
        self.submitted: list[str] = []
        self.otherwise = self.serve
        self.asked: Counter[str] = Counter()
        self.hold_answers: asyncio.Event | None = None
        self.held = asyncio.Event()
        file = io.BytesIO()
        Image.linear_gradient("L").resize((16, 16)).save(file, "PNG")
        self.picture = file.getvalue()

    async def serve(self, _: Vendor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Got) -> None:
        act = self._told(got)
        if got.method == "GET" and got.path.startswith(PATH) and self.hold_answers is not None:
            self.held.set()
            await self.hold_answers.wait()
        with contextlib.suppress(ConnectionError):
            await act(self, reader, writer, got)

    def _told(self, got: Got) -> Any:
        if got.path.startswith("/file/"):
            return answer(200, raw=self.picture, headers={"content-type": "image/png"})
        if got.method == "POST":
            reference = got.json["external_task_id"]
            self.submitted.append(reference)
            order = Order(f"k-{len(self.submitted)}", reference, time.monotonic() + self.seconds)
            self.orders[order.id] = self.orders[reference] = order
            return answer(200, self._shown(order, is_ready=False))
        name = got.path.rpartition("/")[2]
        self.asked[name] += 1
        order = self.orders.get(name)
        if order is None:
            return answer(404, {"code": 1203, "message": "unknown task"})
        return answer(200, self._shown(order, is_ready=time.monotonic() >= order.ready_at))

    def _shown(self, order: Order, *, is_ready: bool) -> Any:
        task: dict[str, Any] = {"task_id": order.id, "task_status": "succeed" if is_ready else "processing"}
        if is_ready:
            task["task_result"] = {"images": [{"index": 0, "url": f"{self.url}/file/{order.id}.png"}]}
        return {"code": 0, "message": "SUCCEED", "request_id": "r", "data": task}


@dataclass
class Outcome:
    """What a run came to; everything but the first two has to be 0."""

    kills: int
    tasks: int
    lost: int
    double_submissions: int
    double_charges: int
    holds_open: int
    violations: int
    ready_s: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def assert_clean(self) -> None:
        assert (self.lost, self.double_submissions, self.double_charges) == (0, 0, 0), self
        assert (self.holds_open, self.violations) == (0, 0), self

    def row(self, name: str) -> tuple[str | int, ...]:
        """Return a row of the table at the end."""
        counts = (self.kills, self.tasks, self.lost, self.double_submissions, self.double_charges, self.violations)
        return (name, *counts, f"{self.ready_p95_s:.1f}")

    @property
    def ready_p95_s(self) -> float:
        found = sorted(self.ready_s)
        return found[min(len(found) * 95 // 100, len(found) - 1)] if found else 0.0


@dataclass
class Station:
    """A station under a supervisor, with workers of its own beside it."""

    folder: Path
    database_url: str
    maker: Maker
    key: str
    account_id: str
    process: subprocess.Popen[bytes] | None = None
    base_url: str = ""
    accepted: list[str] = field(default_factory=list)
    kills: int = 0
    ready_s: list[float] = field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        return os.environ | {
            "YIAPI_DATA": str(self.folder),
            "YIAPI_DATABASE": self.database_url,
            "YIAPI_PERMIT_HOST": "127.0.0.1",
            "YIAPI_LEASE_S": str(LEASE_S),
            "YIAPI_LEASE_RENEW_S": "1",
            "YIAPI_DRAIN_LISTEN_S": "0",
            "YIAPI_DRAIN_S": "5",
            "YIAPI_SANDBOX": "false",
            "STATION_CRASH_FOLDER": str(self.crashes),
        }

    @property
    def crashes(self) -> Path:
        return self.folder / "crashes"

    async def start(self) -> None:
        self.crashes.mkdir(exist_ok=True)
        log = (self.folder / "log").open("w")
        command = [sys.executable, "-m", "yiapi", "serve", "--port", "0", "--no-sandbox"]
        self.process = subprocess.Popen(command, env=self.env, stderr=log, stdout=subprocess.PIPE)  # noqa: ASYNC220 - once
        log.close()
        assert self.process.stdout is not None
        line = await asyncio.to_thread(self.process.stdout.readline)
        self.base_url = line.decode().split()[-1]
        await self.until_ready()

    async def worker(self, name: str, database_url: str | None = None) -> subprocess.Popen[bytes]:
        """Start a worker that nobody supervises, and wait until it is ready."""
        path = self.folder / f"{name}.log"
        env = self.env | ({"YIAPI_DATABASE": database_url} if database_url else {})
        with path.open("w") as log:
            command = [sys.executable, "-m", "yiapi", "worker", "--name", name]
            started = subprocess.Popen(command, env=env, stderr=log, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - once
        async with asyncio.timeout(READY_S):
            while '"worker_ready"' not in path.read_text():
                assert started.poll() is None, path.read_text()
                await asyncio.sleep(0.05)  # sleep: another process gets ready
        return started

    def pid(self, name: str) -> int:
        """Return the process id of the newest start of a supervised process."""
        lines = [
            json.loads(line) for line in (self.folder / "log").read_text().splitlines() if '"process_started"' in line
        ]
        return next(line["pid"] for line in reversed(lines) if line["name"] == name)

    async def kill(self, name: str) -> None:
        """Kill a supervised process; a gateway is waited for."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid(name), signal.SIGKILL)
        self.kills += 1
        if name.startswith("gateway"):
            began = time.monotonic()
            await self.until_ready()
            self.ready_s.append(time.monotonic() - began)

    async def until_ready(self) -> None:
        async with asyncio.timeout(READY_S), httpx.AsyncClient(base_url=self.base_url, timeout=5) as client:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.05)  # sleep: another process gets ready

    async def submit(self, client: httpx.AsyncClient) -> str | None:
        """Submit one task; what is not acknowledged was not promised."""
        with contextlib.suppress(httpx.HTTPError):
            said = await client.post(f"/kling{PATH}", json={"prompt": "a fox", "model_name": "kling-v1"})
            if said.status_code == 200:
                self.accepted.append(said.json()["data"]["task_id"])
                return self.accepted[-1]
        return None

    @contextlib.asynccontextmanager
    async def callers(self, count: int, pause_s: float = 0.05) -> AsyncIterator[None]:
        """Have callers submit for as long as the block lasts."""
        headers = {"authorization": f"Bearer {self.key}"}
        stop = asyncio.Event()

        async def call(client: httpx.AsyncClient) -> None:
            while not stop.is_set():
                await self.submit(client)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # sleep: callers come when they like

        async with httpx.AsyncClient(base_url=self.base_url, headers=headers, timeout=20) as client:
            running = [asyncio.create_task(call(client)) for _ in range(count)]
            try:
                yield
            finally:
                stop.set()
                await asyncio.gather(*running)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Database]:
        database = Database(self.database_url)
        try:
            yield database
        finally:
            database.close()

    async def rows(self, query: Any) -> list[Any]:
        async with self.reading() as database:
            return await database.read(lambda tx: tx.all(query))

    async def until_ended(self, *, hurry_unknown: bool = False) -> None:
        """Wait until every task has ended and nothing is held; ``hurry_unknown`` lets five minutes pass for some."""
        async with asyncio.timeout(END_S), self.reading() as database:
            while True:
                open_tasks = [
                    row for row in await database.read(lambda tx: tx.all(TASKS)) if row["status"] not in FINAL
                ]
                held = (await database.read(lambda tx: tx.one(OPEN_HOLDS)))["count"]
                if not open_tasks and not held:
                    return
                if hurry_unknown and any(row["status"] == "unknown" for row in open_tasks):
                    await database.write(lambda tx: tx.run(FIVE_MINUTES))
                await asyncio.sleep(0.2)

    async def outcome(self) -> Outcome:
        """Compare the rows, the books and the vendor's own bill."""
        async with self.reading() as database:
            rows = {row["id"]: row for row in await database.read(lambda tx: tx.all(TASKS))}
            held = (await database.read(lambda tx: tx.one(OPEN_HOLDS)))["count"]
            wallet = await database.read(lambda tx: balance(tx, wallet_of(self.account_id, "live")))
            report = await check(database, price_of=partial(price_of, books={}))
        succeeded = [row for row in rows.values() if row["status"] == "succeeded"]
        assert {row["id"] for row in succeeded} <= set(self.maker.submitted)
        charged = wallet.spent_total.nano - sum(row["held"] for row in succeeded)
        return Outcome(
            kills=self.kills,
            tasks=len(rows),
            lost=sum(one not in rows or rows[one]["status"] not in FINAL for one in self.accepted),
            double_submissions=sum(count > 1 for count in Counter(self.maker.submitted).values()),
            double_charges=abs(charged),
            holds_open=held,
            violations=len(report.violations),
            ready_s=self.ready_s,
            statuses=Counter(row["status"] for row in rows.values()),
        )

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()


async def furnished(folder: Path, database_url: str, maker: Maker) -> Station:
    """Prepare a station whose only live channel leads to the maker."""
    settings = load_settings(
        data=folder,
        database=database_url,
        sandbox=False,
        port=1,
        permit_host=("127.0.0.1",),
        lease_s=LEASE_S,
        lease_renew_s=1,
    )
    migrate(database_url)
    async with open_app(settings, "furnish") as app:
        apikeys = app.station.apikeys

        def make(tx: Transaction) -> tuple[str, str]:
            account = insert_account(tx, "customer")
            for mode in ("live", "test"):
                open_wallet(tx, account.id, mode)
            top_up(tx, "start", wallet_of(account.id, "live"), Money.parse("1000"))
            new, text = apikeys.new_key(account.id, "live", name="key")
            insert_key(tx, new)
            return account.id, text

        account_id, key = await app.database.write(make)
        routing = Routing(settings={"usual_s": USUAL_S})
        await app.channels.create_channel("kling", "maker", maker.url, ["access|secret-of-the-maker"], routing=routing)
    return Station(folder, database_url, maker, key, account_id)


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what is still there."""
    for process in processes:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(60)
