"""A peer that does on its socket exactly what a test tells it, and a client that may talk to it."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

import pytest

from yiapi.upstream import AddressGuard, Client, Limits, Response, Target, target_of


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


class Talk:
    """One connection, seen from the peer's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def request(self) -> bytes:
        head = await self.head()
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        size = int(lengths[0].split(b":")[1]) if lengths else 0
        return head + await self.reader.readexactly(size)

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.001)  # so that each piece is a packet of its own

    def reset(self) -> None:
        stream = self.writer.transport.get_extra_info("socket")
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def silence(self) -> None:
        """Say nothing until the other side has gone."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Script = Callable[[Talk], Awaitable[None]]


@dataclass
class Peer:
    port: int
    seen: list[bytes] = field(default_factory=list)
    talks: int = 0
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)


async def listen(script: Script, stack: AsyncExitStack, tls: ssl.SSLContext | None = None) -> Peer:
    """Serve a script to every connection until the stack unwinds."""
    peer = Peer(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.talks += 1
        peer.tasks.add(task := asyncio.current_task())
        try:
            await script(Talk(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            peer.tasks.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def stop() -> None:
        server.close()
        tasks = list(peer.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    stack.push_async_callback(stop)
    return peer


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: AsyncExitStack):
    async def start(script: Script, tls: ssl.SSLContext | None = None) -> Peer:
        return await listen(script, stack, tls)

    return start


@pytest.fixture
def answers(serve):
    """A peer that gives these answers, one to each request on a connection, and then hangs up."""

    async def start(*replies: bytes | tuple[bytes, ...]) -> Peer:
        async def script(talk: Talk) -> None:
            for reply in replies:
                peer.seen.append(await talk.request())
                await talk.send(*([reply] if isinstance(reply, bytes) else reply))

        peer = await serve(script)
        return peer

    return start


@pytest.fixture(scope="session")
def tls_context() -> ssl.SSLContext:
    """The system's trust, read once."""
    return ssl.create_default_context()


@pytest.fixture
def make_client(stack: AsyncExitStack, tls_context: ssl.SSLContext):
    def make(**options: object) -> Client:
        client = Client(AddressGuard(["127.0.0.1", "localhost"]), tls_context=tls_context, **options)
        stack.push_async_callback(client.aclose)
        return client

    return make


@pytest.fixture
def client(make_client) -> Client:
    return make_client()


@pytest.fixture
def call(client: Client):
    """Post a few bytes to a peer."""

    async def post(peer: Peer, *, method: str = "POST", body: object = b"{}", **limits: float) -> Response:
        return await client.send(to(peer), method, "/x", [], body, Limits(**limits))

    return post


def to(peer: Peer, scheme: str = "http", host: str = "127.0.0.1", **options: object) -> Target:
    return target_of(f"{scheme}://{host}:{peer.port}", **options)


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop run until something has happened."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for is not ours to signal
            await asyncio.sleep(0.001)


@pytest.fixture
def until():
    return eventually


@pytest.fixture
def target():
    return to


@pytest.fixture
def ok() -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
