"""Telling a caller of a change: one try, five seconds, and no more ado when it fails."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

Post = Callable[[str, bytes], Awaitable[None]]
TIMEOUT_S = 5


async def post(url: str, body: bytes) -> None:
    """Send one callback."""
    # Here, because most sandboxes never call anybody; and first beside the loop, because it takes a second or two.
    await asyncio.to_thread(importlib.import_module, "aiohttp")
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=body, headers={"content-type": "application/json"}, allow_redirects=False),
    ):
        pass


class Callbacks:
    """The callbacks that are on their way."""

    def __init__(self, send: Post = post) -> None:
        self._send = send
        self._under_way: set[asyncio.Task[None]] = set()
        self._named: dict[str, asyncio.Task[None]] = {}

    def start(self, story: Coroutine[Any, Any, None], name: str | None = None) -> None:
        """Let a story of changes run beside everything else; one with a name takes the place of the one before."""
        task = asyncio.create_task(story)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        if name is not None:
            if before := self._named.get(name):
                before.cancel()
            self._named[name] = task
            task.add_done_callback(lambda done: self._forget(name, done))

    def _forget(self, name: str, task: asyncio.Task[None]) -> None:
        if self._named.get(name) is task:
            del self._named[name]

    async def tell(self, url: str, body: dict[str, Any]) -> None:
        """Call back once; nobody learns of a failure."""
        try:
            await self._send(url, msgspec.json.encode(body))
        except Exception:  # noqa: BLE001 - a receiver may fail in any way, and it is the receiver's trouble
            return

    def stop(self) -> None:
        """Give up what is under way."""
        for task in self._under_way:
            task.cancel()
