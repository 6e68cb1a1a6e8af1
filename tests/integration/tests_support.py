"""A vendor that fails as it is told: it takes a script per request, records what it got, and keeps its own bill."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

SO_LINGER_RESET = struct.pack("ii", 1, 0)
Act = Callable[["Vendor", asyncio.StreamReader, asyncio.StreamWriter, "Got"], Awaitable[None]]


@dataclass
class Got:
    """One request as the vendor saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def answer(
    status: int = 200, body: Any = None, *, headers: dict[str, str] | None = None, raw: bytes | None = None
) -> Act:
    """Answer whole."""

    async def act(vendor: Vendor, _: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Got) -> None:
        del vendor, got
        data = json.dumps(body).encode() if raw is None else raw
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(data)}"]
        given = {"content-type": "application/json"} | (headers or {})
        lines += [f"{name}: {value}" for name, value in given.items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        await writer.drain()

    return act


def bytes_of(raw: bytes, *, then: str = "close") -> Act:
    """Send exactly these bytes; then ``close``, ``reset``, or ``hang`` until the peer leaves."""

    async def act(vendor: Vendor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Got) -> None:
        writer.write(raw)
        await writer.drain()
        await vendor.ends[then](reader, writer, got)

    return act


def reset() -> Act:
    """Break the connection before any byte."""
    return bytes_of(b"", then="reset")


def hang() -> Act:
    """Say nothing until the peer leaves."""
    return bytes_of(b"", then="hang")


def sse(*events: str, then: str = "end", gate: asyncio.Event | None = None) -> Act:
    """Stream events; then ``end`` cleanly, ``close`` in the middle, ``reset``, or ``hang``.

    ``gate`` holds the third event and what follows back.
    """

    async def act(vendor: Vendor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Got) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for number, event in enumerate(events):
            if gate is not None and number == 2:
                await gate.wait()
            data = f"data: {event}\n\n".encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        if then == "end":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        else:
            await vendor.ends[then](reader, writer, got)

    return act


class Vendor:
    """Plays ``script`` in order, then ``otherwise`` for ever."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.script: list[Act] = []
        self.otherwise: Act = answer(200, chat())
        self.server: asyncio.Server | None = None
        self.ends = {"close": self._close, "reset": self._reset, "hang": self._hang}
        self.arrived = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**26)

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        self.server.close_clients() if hasattr(self.server, "close_clients") else None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                got = await self._read(reader)
                self.got.append(got)
                self.arrived.set()
                act = self.script.pop(0) if self.script else self.otherwise
                await act(self, reader, writer, got)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Got:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Got(method, path, headers, body)

    async def _close(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Got) -> None:
        del reader, got
        writer.close()

    async def _reset(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Got) -> None:
        import socket

        del reader, got
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, SO_LINGER_RESET)
        writer.transport.abort()

    async def _hang(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Got) -> None:
        await reader.read()
        got.left.set()
        writer.close()


def chat(text: str = "Hello!", *, usage: bool = True) -> dict[str, Any]:
    """An answer of a chat: 1,000 tokens read and 100 written."""
    message = {"role": "assistant", "content": text}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1744012345,
        "model": "gpt-4o",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    if usage:
        body["usage"] = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    return body


def chunk(text: str | None = None, *, finish: str | None = None, role: str | None = None) -> str:
    """One event of a streamed chat."""
    delta: dict[str, Any] = {}
    if role:
        delta["role"] = role
    if text is not None:
        delta["content"] = text
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": 1744012345,
            "model": "gpt-4o",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }
    )


USAGE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1744012345,
        "model": "gpt-4o",
        "choices": [],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
    }
)
