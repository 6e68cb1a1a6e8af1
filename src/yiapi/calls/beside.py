"""Where a settler runs: a process beside its gateway, which outlives it to settle the rest, or a thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic

from yiapi.calls.journal import Journal
from yiapi.calls.settling import Settler
from yiapi.errors import StorageUnavailable
from yiapi.logs import get_logger

PROGRAM = (sys.executable, "-m", "yiapi.calls")
DATABASE = "YIAPI_SETTLER_DATABASE"
"""The variable with the database's address, which may hold a password and belongs into no list of processes."""
END_S = 10.0
RESTART_PAUSE_S = 1.0

log = get_logger()


class _Beside:
    """The pipe to a settler: a byte wakes it, its end tells it to settle the rest and go."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        journal.wake_with(self._wake)

    def _wake(self) -> None:
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._write_end, b".")

    def _hang_up(self) -> None:
        """No frame comes any more, and the settler hears so."""
        self.journal.wake_with(int)
        self.journal.close()
        os.close(self._write_end)


class SettlerThread(_Beside):
    """A settler in this process."""

    def __init__(self, journal: Journal, database_url: str) -> None:
        super().__init__(journal)
        self._settler = Settler(database_url, journal.folder, journal.name, journal.node_id)
        self._thread = threading.Thread(target=self._settler.run, args=(self._read_end,), name="settler", daemon=True)
        self._thread.start()

    def look_after(self) -> None:
        """Nothing: it lives as long as the process."""

    def end(self) -> None:
        """Let it settle the rest; what it cannot is left to the next start."""
        self._hang_up()
        self._thread.join(END_S)
        if self._thread.is_alive():
            log.warning("settler_still_runs")
            return
        os.close(self._read_end)
        with suppress(StorageUnavailable):
            self._settler.clean()


class SettlerProcess(_Beside):
    """A settler as a process of its own; one that dies is started again."""

    def __init__(self, journal: Journal, database_url: str, *, log_level: str = "info") -> None:
        super().__init__(journal)
        self._env = os.environ | {DATABASE: database_url}
        self._log_level = log_level
        self._start()

    def _start(self) -> None:
        self._started_at = monotonic()
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [*PROGRAM, *_arguments(self.journal), "--fd", str(self._read_end), "--log-level", self._log_level],
            env=self._env,
            pass_fds=(self._read_end,),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # what ends the gateway's group does not end it
        )

    def look_after(self) -> None:
        """Start it again if it has died."""
        status = self._process.poll()
        if status is not None and monotonic() - self._started_at > RESTART_PAUSE_S:
            log.warning("settler_died", status=status)
            self._start()

    def end(self) -> None:
        """Let it settle the rest; one that cannot is left to itself, and to the next start."""
        self._hang_up()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            log.warning("settler_still_runs", pid=self._process.pid)
        os.close(self._read_end)


def _arguments(journal: Journal) -> list[str]:
    return ["--folder", str(journal.folder), "--name", journal.name, "--node", journal.node_id]


AnySettler = SettlerThread | SettlerProcess


def journal_folder(data: Path) -> Path:
    """Return where the journals of a machine are."""
    return data / "journal"
