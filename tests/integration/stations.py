"""A station as its operator has it: a supervisor and its processes, which tests start, kill and start again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx

from yiapi.db import Database
from yiapi.db.sql import query_of
from yiapi.ledger.check import check
from yiapi.pricing import price_of

OPEN_HOLDS = query_of(
    "open", "SELECT count(*) AS count FROM holds WHERE id NOT IN (SELECT hold_id FROM hold_resolutions)"
)
READY_S = 80  # four processes that may share two busy processors


class Station:
    """A station of its own: supervisor, gateways, worker and sandbox as processes."""

    def __init__(self, folder: Path, database: str | None, *, options: tuple[str, ...] = (), **env: str) -> None:
        self.folder = folder
        self.database = database
        self.options = options
        self.env = {
            "YIAPI_DRAIN_LISTEN_S": "0",
            "YIAPI_SANDBOX_TASK_SECONDS": "0.3",
            "YIAPI_LEASE_S": "3",
            "YIAPI_LEASE_RENEW_S": "1",
        } | env
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.database or f"sqlite:///{self.folder / 'yiapi.db'}"

    async def start(self) -> None:
        command = [sys.executable, "-m", "yiapi", "serve", "--data", self.folder, "--port", "0", "--sandbox-port", "0"]
        command += ["--permit-host", "127.0.0.1"]
        command += ["--database", self.database] if self.database else []
        with self.log.open("a") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - started once
                [*map(str, command), *self.options], env=os.environ | self.env, stderr=log, stdout=subprocess.PIPE
            )
        too_late = threading.Timer(READY_S, self.process.kill)
        too_late.start()
        said = await asyncio.to_thread(self._announced)
        too_late.cancel()
        self.said = json.loads((self.folder / "first-run.json").read_text())
        self.base_url = said
        await self.ready()

    def _announced(self) -> str:
        """Wait for the line that says where the station is."""
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if b"ready at " in line:
                return line.split(b"ready at ")[1].strip().decode()
        raise AssertionError(self.log.read_text()[-3000:])

    async def ready(self) -> None:
        async with asyncio.timeout(READY_S), httpx.AsyncClient(base_url=self.base_url) as client:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.05)  # sleep: another process gets ready

    def client(self, **options: object) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.said['api_key']}"}
        return httpx.AsyncClient(base_url=self.base_url, headers=headers, timeout=30, **options)  # type: ignore[arg-type]

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the log lines of one kind."""
        lines = [line for line in self.log.read_text().splitlines() if f'"event":"{name}"' in line]
        return [json.loads(line) for line in lines]

    def pids(self, name: str) -> list[int]:
        """Return the processes that the supervisor started under a name, oldest first."""
        return [int(str(line["pid"])) for line in self.events("process_started") if line["name"] == name]

    def gateway(self, number: int = 0) -> int:
        """Return the process id of the newest gateway."""
        return self.pids(f"gateway-{number}")[-1]

    def settlers(self) -> list[int]:
        """Return the settlers of this station that run."""
        found = []
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                with contextlib.suppress(OSError):
                    words = (path / "cmdline").read_bytes().split(b"\0")
                    if b"yiapi.calls" in words and str(self.folder / "journal").encode() in words:
                        found.append(int(path.name))
        return found

    def kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill the supervisor, with which its processes die, and the settlers, which would outlive it."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)
        self._close()
        for pid in self.settlers():
            self.kill(pid)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0
        self._close()

    def _close(self) -> None:
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    @contextlib.contextmanager
    def books(self) -> Iterator[Database]:
        """Open the station's database beside it."""
        database = Database(self.url, readers=1)
        try:
            yield database
        finally:
            database.close()

    async def until_nothing_is_held(self, *, seconds: float = 90) -> None:
        with self.books() as database:
            async with asyncio.timeout(seconds):
                while (await database.read(lambda tx: tx.one(OPEN_HOLDS)))["count"]:  # type: ignore[index]  # noqa: ASYNC110 - others work
                    await asyncio.sleep(0.1)  # sleep: other processes take over what the dead one left

    async def assert_sound(self) -> None:
        with self.books() as database:
            report = await check(database, price_of=partial(price_of, books={}))
        assert report.is_clean, report.lines()
