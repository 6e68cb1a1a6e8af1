"""``yiapi sandbox``: plays every vendor on one port, each below its own name."""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
from collections.abc import Generator, Sequence
from pathlib import Path

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from yiapi_sandbox import registry
from yiapi_sandbox.books import Books
from yiapi_sandbox.callbacks import Callbacks
from yiapi_sandbox.clock import Clock, WallClock
from yiapi_sandbox.memory import MemoryBooks
from yiapi_sandbox.sandbox import Sandbox
from yiapi_sandbox.server import Station, tell
from yiapi_sandbox.shelf import Shelf

STOP_S = 1


class Protocol(HttpToolsProtocol):
    """HTTP that also hands the connection to the application, so that it can be broken on demand."""

    def on_headers_complete(self) -> None:
        """Add the connection to the request's own state."""
        self.scope["state"] = {**self.scope.get("state", {}), "connection": self.transport}
        super().on_headers_complete()


def build(
    data: Path | None, *, key: str, task_seconds: float, clock: Clock | None = None, limits: bool = False
) -> Station:
    """Build the application; without a folder everything stays in memory."""
    clock = clock or WallClock()
    if data:
        data.mkdir(parents=True, exist_ok=True)
    books = Books(data / "sandbox.db") if data else MemoryBooks()
    sandbox = Sandbox(key, task_seconds, clock, books, Shelf(books, clock), Callbacks(), limits)
    return Station(sandbox, registry.find())


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop."""
    options = _options(argv)
    given = os.environ.get("YIAPI_SANDBOX_KEY")
    key = given or secrets.token_urlsafe(24)
    station = build(
        None if options.memory else options.data, key=key, task_seconds=_task_seconds(), limits=options.limits
    )
    listener = _listener(options)
    host, port = listener.getsockname()[:2]
    ready = {"sandbox_url": f"http://{f'[{host}]' if ':' in host else host}:{port}"} | ({} if given else {"key": key})
    uvloop.run(_serve(station, listener, json.dumps(ready)))
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="yiapi sandbox", description="Plays every vendor over its own wire format.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8090, help="0 takes a free port")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that keeps sandbox.db")
    parser.add_argument("--memory", action="store_true", help="keep nothing, for benchmarks")
    parser.add_argument("--limits", action="store_true", help="take only as much at a time as the vendors do")
    parser.add_argument("--socket-fd", type=int, help="listen on this inherited socket")
    return parser.parse_args(argv)


def _task_seconds() -> float:
    seconds = float(os.environ.get("YIAPI_SANDBOX_TASK_SECONDS") or 2)
    if not 0 <= seconds < 86_400:
        raise SystemExit("YIAPI_SANDBOX_TASK_SECONDS must be from 0 to a day")
    return seconds


def _listener(options: argparse.Namespace) -> socket.socket:
    if options.socket_fd is not None:
        return socket.socket(fileno=options.socket_fd)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    return socket.create_server((options.host, options.port), family=family, backlog=2048)


class _Server(uvicorn.Server):
    """A server that says when it listens, stops by the event loop's own signals, and ends with status 0."""

    def __init__(self, config: uvicorn.Config, ready: str) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Print the one line that says where we listen."""
        await super().startup(sockets)
        print(self._ready, flush=True)  # noqa: T201

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the signals to us."""
        yield


async def _serve(station: Station, listener: socket.socket, ready: str) -> None:
    config = uvicorn.Config(
        station, http=Protocol, log_level="critical", access_log=False, lifespan="on", timeout_graceful_shutdown=STOP_S,
        server_header=False, ws="none", h11_max_incomplete_event_size=None,
    )  # fmt: skip
    server = _Server(config, ready)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, setattr, server, "should_exit", True)
    await server.serve(sockets=[listener])
    tell("stopped")


if __name__ == "__main__":
    raise SystemExit(main())
