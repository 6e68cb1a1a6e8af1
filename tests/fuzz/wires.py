"""The edge without a socket: bytes go in as packets, and what a caller would read comes out."""

import asyncio
from dataclasses import dataclass, field

from yiapi.edge import CallerGone, Edge, EdgeLimits, Inbound
from yiapi.edge.connection import Connection

TURNS_MAX = 20_000  # of the event loop: who needs more of them hangs


class Hung(Exception):
    """Something waits for what never comes."""


class Wire(asyncio.Transport):
    """A transport that keeps what is written, as long as one may write."""

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        self.said = bytearray()
        self.is_reading = True
        self.has_ended = False
        self.is_closed = False
        self.is_lost = False

    def write(self, data) -> None:
        assert not self.has_ended, "written after the end"
        if not self.is_closed:
            self.said += data

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._loop.call_soon(self._lose)

    abort = close

    def _lose(self) -> None:
        self.is_lost = True
        self._protocol.connection_lost(None)

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def get_write_buffer_size(self) -> int:
        return 0


@dataclass(frozen=True)
class Request:
    """One request as somebody read it, without what is only for the next hop."""

    method: str
    target: bytes
    pairs: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @classmethod
    def of(cls, method: str, target: bytes, pairs: list[tuple[bytes, bytes]], body: bytes) -> "Request":
        return cls(method, target, tuple(plain(*pair) for pair in pairs if pair[0].lower() != b"upgrade"), body)


def plain(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Spell a header as every reader may spell it."""
    name, value = name.lower(), value.strip(b" \t")
    return name, value.lower() if name == b"transfer-encoding" else value


@dataclass
class Outcome:
    """What became of the bytes of one connection."""

    asked: list[str] = field(default_factory=list)  # the methods of requests whose handling began
    served: list[Request] = field(default_factory=list)
    cut: int = 0  # requests whose body broke off
    said: bytes = b""
    was_closed: bool = False  # before the caller ended its side


async def exchange(pieces: list[bytes], *, limits: EdgeLimits | None = None) -> Outcome:
    """Send packets to an echo, end, and return what became of them. Raises Hung."""
    outcome = Outcome()

    async def echo(inbound: Inbound) -> None:
        parts = []
        outcome.asked.append(inbound.method)
        try:
            while part := await inbound.chunk():
                parts.append(part)
        except CallerGone:
            outcome.cut += 1
            raise
        target = inbound.path + (b"?" + inbound.query if inbound.query else b"")
        body = b"".join(parts)
        outcome.served.append(Request.of(inbound.method, target, inbound.pairs, body))
        inbound.answer(200, b"", body)

    loop = asyncio.get_running_loop()
    connection = Connection(Edge(echo, limits), loop)
    wire = Wire(loop, connection)
    connection.connection_made(wire)
    for piece in pieces:
        await turns_until(lambda: wire.is_reading or wire.is_closed)
        if wire.is_closed or wire.has_ended:
            break
        connection.data_received(piece)
        await asyncio.sleep(0)
    await turns_until(lambda: wire.is_reading or wire.is_closed)
    outcome.was_closed = wire.is_closed or wire.has_ended
    if not wire.is_closed and not connection.eof_received():
        wire.close()
    await turns_until(lambda: wire.is_lost and (connection._task is None or connection._task.done()))
    outcome.said = bytes(wire.said)
    return outcome


async def turns_until(condition) -> None:
    for _ in range(TURNS_MAX):
        if condition():
            return
        await asyncio.sleep(0)
    raise Hung
