"""The supervisor: starts the processes of a station, starts again what dies, and ends them all when it ends.

Listening sockets belong to the supervisor and are inherited, so a gateway that dies never loses its port: connections
wait in the socket's queue until the next gateway takes them, and several gateways share one socket. The processes get
signals from the supervisor alone, and on Linux the kernel kills them when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from yiapi.logs import get_logger

BACKLOG = 2048
END_S = 45.0
RESTART_PAUSE_S = 1.0
SAME_SIGNAL_S = 0.5  # some senders, timeout(1) among them, signal the process and then its group: that is one wish
PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>
PROGRAM = (sys.executable, "-m", "yiapi")

log = get_logger()


class PortTaken(OSError):
    """Another program listens on this address; the text is one line for the operator."""


class NotReady(TimeoutError):
    """A process did not become ready in time."""


@dataclass(frozen=True, slots=True, eq=False)
class ProcessSpec:
    """One process to keep running."""

    name: str
    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)  # besides the supervisor's own environment
    pass_fds: tuple[int, ...] = ()
    ends_last: bool = False  # told to end when the others have ended, because they still need it while they drain


def bind_socket(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes a free one (``getsockname()[1]`` tells it). Raises PortTaken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


def wait_ready(url: str, timeout_s: float) -> None:
    """Wait until an address answers 200. Raises NotReady."""
    end = time.monotonic() + timeout_s
    while True:
        with suppress(OSError), _DIRECT.open(url, timeout=min(5.0, timeout_s)):
            return
        if time.monotonic() >= end:
            raise NotReady(f"{url} was not ready within {timeout_s:g} s")
        time.sleep(0.05)


# Whatever proxy the machine uses for the world, our own processes are beside us.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def run_supervised(
    specs: Sequence[ProcessSpec],
    *,
    sockets: Sequence[socket.socket] = (),
    announce: Callable[[], object] | None = None,
    program: Sequence[str] = PROGRAM,
    end_s: float = END_S,
) -> int:
    """Keep the processes running, started in this order, until SIGTERM or SIGINT; return the exit status.

    ``sockets`` are closed here when the end begins, so that nobody connects to a port that no process serves any more.
    ``announce`` runs in a thread of its own once all are started. A second signal, and 45 s, end all at once.
    """
    return asyncio.run(_Supervisor(specs, sockets, program, end_s).run(announce))


class _Supervisor:
    def __init__(
        self, specs: Sequence[ProcessSpec], sockets: Sequence[socket.socket], program: Sequence[str], end_s: float
    ) -> None:
        self._specs = specs
        self._sockets = sockets
        self._program = program
        self._end_s = end_s
        self._running: dict[ProcessSpec, Process] = {}
        self._ending = asyncio.Event()
        self._told_to_end = 0.0
        self._killed = False

    async def run(self, announce: Callable[[], object] | None) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._take_signal, number)
        keepers = []
        try:
            for spec in self._specs:
                await self._start(spec)
                keepers.append(asyncio.create_task(self._keep(spec)))
            if announce is not None:
                threading.Thread(target=announce, name="announce", daemon=True).start()
            await self._ending.wait()
            await self._end()
        finally:
            self._ending.set()
            self._kill()
            await asyncio.gather(*keepers)
        log.info("station_ended", clean=not self._killed)
        return 1 if self._killed else 0

    async def _start(self, spec: ProcessSpec) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._program,
            *spec.args,
            env={**os.environ, **spec.env},
            stdin=DEVNULL,
            pass_fds=spec.pass_fds,
            start_new_session=True,  # else the terminal's Ctrl-C reaches them too, and two signals mean: at once
            preexec_fn=_die_with(os.getpid()),
        )
        self._running[spec] = process
        log.info("process_started", name=spec.name, pid=process.pid)
        if self._ending.is_set():
            self._kill()

    async def _keep(self, spec: ProcessSpec) -> None:
        while True:
            started = time.monotonic()
            status = await self._running[spec].wait()
            if self._ending.is_set():
                return
            log.warning("process_died", name=spec.name, status=_told(status))
            if await self._ends_within(started + RESTART_PAUSE_S - time.monotonic()):
                return
            while not await self._started_again(spec):
                if await self._ends_within(RESTART_PAUSE_S):
                    return

    async def _started_again(self, spec: ProcessSpec) -> bool:
        try:
            await self._start(spec)
        except OSError as error:  # no memory, no process left: that may pass
            log.warning("process_not_started", name=spec.name, reason=str(error))
            return False
        return True

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), max(0.0, seconds))
        return self._ending.is_set()

    def _take_signal(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if not self._ending.is_set():
            log.info("station_ending", signal=number.name)
            self._told_to_end = now
            self._ending.set()
        elif now - self._told_to_end > SAME_SIGNAL_S:
            log.warning("station_ending_at_once", signal=number.name)
            self._kill()

    async def _end(self) -> None:
        for listener in self._sockets:
            listener.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._end_s):
                for last in (False, True):
                    group = [process for spec, process in self._running.items() if spec.ends_last == last]
                    for process in group:
                        with suppress(ProcessLookupError):
                            process.terminate()
                    await asyncio.gather(*(process.wait() for process in group))

    def _kill(self) -> None:
        for spec, process in self._running.items():
            if process.returncode is None:
                self._killed = True
                log.warning("process_killed", name=spec.name)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


def _told(status: int) -> str:
    return f"exit {status}" if status >= 0 else signal.Signals(-status).name


def _die_with(supervisor: int) -> Callable[[], None] | None:
    """Return what a process does before it becomes its program, so that it ends with the supervisor whatever happens.

    SIGKILL, because a gateway that drained for half a minute would keep the port from the next station.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def die_with() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(1)

    return die_with
