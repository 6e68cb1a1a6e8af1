"""A caller that sends exactly the bytes a test tells it, and an edge on a socket that serves it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from time import monotonic

import pytest

from yiapi.edge import CallerGone, Edge, EdgeLimits, Inbound
from yiapi.logs import configure_logs, flush_logs, write_to_stderr

Handler = Callable[[Inbound], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@dataclass
class Said:
    """One answer as the caller read it."""

    status: int
    headers: dict[str, str]
    body: bytes
    head: bytes


class Caller:
    """One connection, seen from the caller's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.001)  # so that each piece is a packet of its own

    async def ask(self, *pieces: bytes, is_head: bool = False) -> Said:
        await self.send(*pieces)
        return await self.answer(is_head=is_head)

    async def answer(self, *, is_head: bool = False) -> Said:
        """Read one answer, strictly; interim ones count."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
            version, status, _ = first.split(" ", 2)
            assert version == "HTTP/1.1"
            pairs = [line.split(": ", 1) for line in lines]
            headers = dict(pairs)
            assert len(headers) == len(pairs), f"a header comes twice: {lines}"
            body = b"" if is_head else await self._body(int(status), headers)
            return Said(int(status), headers, body, head)

    async def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status < 200 or status in {204, 304}:
            return b""
        if "content-length" in headers:
            assert "transfer-encoding" not in headers
            return await self.reader.readexactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            return b"".join([chunk async for chunk in self._chunks()])
        assert headers["connection"] == "close"
        return await self.reader.read()

    async def _chunks(self) -> AsyncIterator[bytes]:
        size = -1
        while size:
            size = int((await self.reader.readuntil(b"\r\n")).removesuffix(b"\r\n"), 16)
            yield await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"

    async def rest(self) -> bytes:
        """Return what comes until the edge closes; what it had sent before a reset counts."""
        said = bytearray()
        async with asyncio.timeout(10):
            with suppress(ConnectionResetError):
                while piece := await self.reader.read(65536):
                    said += piece
        return bytes(said)

    def end(self) -> None:
        """Send no more, and listen on."""
        self.writer.write_eof()

    def leave(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        stream = self.writer.transport.get_extra_info("socket")
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Seen:
    """One request as its handler read it."""

    method: str
    path: bytes
    query: bytes
    pairs: list[tuple[bytes, bytes]]
    body: bytes
    version: str


@dataclass
class Place:
    """An edge that listens, and what its handlers saw."""

    edge: Edge
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    cut: int = 0  # requests that broke off while their bodies were read

    def later(self, seconds: float) -> None:
        """Let the edge look at its connections as if this time had passed."""
        self.edge.sweep(monotonic() + seconds)

    async def read(self, inbound: Inbound) -> bytes:
        """Read the whole body and note the request."""
        pieces = []
        try:
            while piece := await inbound.chunk():
                pieces.append(piece)
        except CallerGone:
            self.cut += 1
            raise
        body = b"".join(pieces)
        self.seen.append(Seen(inbound.method, inbound.path, inbound.query, inbound.pairs, body, inbound.version))
        return body

    async def echo(self, inbound: Inbound) -> None:
        """Answer with the body, and with the path as a header."""
        body = await self.read(inbound)
        inbound.answer(200, b"x-path: " + inbound.path + b"\r\n", body)


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[bytes]]:
    """Keep the log lines of a test to the test."""
    lines: list[bytes] = []
    configure_logs(write=lines.append)
    yield lines
    flush_logs()
    configure_logs(write=write_to_stderr)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: AsyncExitStack):
    """Serve a handler on a free port, by default the echo; what escapes to the event loop fails the test.

    ``buffer_bytes`` makes the kernel's buffers small, so that a caller that does not read is noticed soon.
    """

    async def start(handler: Handler | None = None, *, buffer_bytes: int = 0, **limits: float) -> Place:
        escaped: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))

        async def handle(inbound: Inbound) -> None:
            await (handler or place.echo)(inbound)

        place = Place(Edge(handle, EdgeLimits(**limits)))
        listener = socket.create_server(("127.0.0.1", 0))
        if buffer_bytes:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        place.port = listener.getsockname()[1]
        await place.edge.listen(listener)

        async def stop() -> None:
            await place.edge.aclose()
            await eventually(lambda: not place.edge.connections and not serving())
            assert not escaped

        stack.push_async_callback(stop)
        return place

    return start


def serving() -> list[asyncio.Task[object]]:
    """Return the tasks of connections that have not ended."""
    return [task for task in asyncio.all_tasks() if "_answer_all" in repr(task.get_coro())]


@pytest.fixture
def call(stack: AsyncExitStack):
    """Connect to a place."""

    async def connect(place: Place, *, buffer_bytes: int = 0) -> Caller:
        stream = socket.socket()
        if buffer_bytes:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        stream.setblocking(False)
        stack.callback(stream.close)
        await asyncio.get_running_loop().sock_connect(stream, ("127.0.0.1", place.port))
        reader, writer = await asyncio.open_connection(sock=stream, limit=buffer_bytes or 2**20)

        async def leave() -> None:
            writer.transport.abort()
            await asyncio.sleep(0)

        stack.push_async_callback(leave)
        return Caller(reader, writer)

    return connect


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop run until something has happened."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.001)


@pytest.fixture
def until():
    return eventually
