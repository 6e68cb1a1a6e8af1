"""The benchmark's vendor: takes tasks and says of each that it runs, from memory, as fast as it can.

``python -m bench.task_vendor FD`` serves a listening socket. ``GET /counts`` tells what was asked, ``POST /reset``
begins a new count.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from itertools import count

import httptools
import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
ITEM = b'{"id":"%s","status":"running","progress":40,"prompt":"a red fox in the snow, evening light","files":[]}'
INTERVALS_MAX = 200_000


class Memory:
    """What the vendor remembers."""

    def __init__(self) -> None:
        self.ids = count(1)
        self.reset()

    def reset(self) -> None:
        """Begin a new count."""
        self.submissions = self.queries = self.looks = 0
        self.since = time.monotonic()
        self.last: dict[str, float] = {}
        self.intervals: list[float] = []

    def looked(self, ids: list[str]) -> None:
        """Note when tasks were asked for."""
        now = time.monotonic()
        self.looks += len(ids)
        for one in ids:
            before = self.last.get(one)
            if before is not None and len(self.intervals) < INTERVALS_MAX:
                self.intervals.append(now - before)
            self.last[one] = now

    def counts(self) -> dict[str, float]:
        """Return the figures since the last reset."""
        intervals = sorted(self.intervals)
        return {
            "seconds": time.monotonic() - self.since,
            "submissions": self.submissions,
            "queries": self.queries,
            "looks": self.looks,
            "tasks_seen": len(self.last),
            "interval_p50_s": intervals[len(intervals) // 2] if intervals else 0.0,
            "interval_p99_s": intervals[len(intervals) * 99 // 100] if intervals else 0.0,
        }


class Connection(asyncio.Protocol):
    """One connection of the station."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a stream

    def data_received(self, data: bytes) -> None:
        """Parse requests."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url, self._body = b"", b""

    def on_url(self, url: bytes) -> None:
        """Take the path."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Take the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer a request."""
        body = self._answer(self._parser.get_method(), self._url)
        self._transport.write(HEAD % (len(body), body))

    def _answer(self, method: bytes, url: bytes) -> bytes:
        memory = self._memory
        if method == b"GET" and url.startswith(b"/v1/jobs/"):
            memory.queries += 1
            memory.looked([url[9:].decode()])
            return ITEM % url[9:]
        if url == b"/v1/query":
            ids = json.loads(self._body)["ids"]
            memory.queries += 1
            memory.looked(ids)
            return b'{"items":[' + b",".join([ITEM % one.encode() for one in ids]) + b"]}"
        if url == b"/v1/jobs":
            memory.submissions += 1
            return b'{"id":"job-%d","status":"queued"}' % next(memory.ids)
        if url == b"/reset":
            memory.reset()
            return b"{}"
        return json.dumps(memory.counts()).encode()


async def serve(listener: socket.socket) -> None:
    """Serve until the process ends."""
    memory = Memory()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(memory), sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(socket.socket(fileno=int(sys.argv[1]))))
