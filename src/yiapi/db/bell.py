"""A bell between processes: PostgreSQL's NOTIFY, heard by a thread. Nothing may depend on hearing it.

SQLite has none: whoever waits there looks again after a moment.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import psycopg
from psycopg import sql

CONNECT_TIMEOUT_S = 2
LOOK_UP_S = 0.5
AGAIN_S = 1.0


class Bell:
    """Calls ``rung`` on the loop that made it, whenever somebody rings."""

    def __init__(self, url: str, name: str, rung: Callable[[], object]) -> None:
        self._url = url
        self._name = name
        self._rung = rung
        self._loop = asyncio.get_running_loop()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="db-bell", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._closed.set()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen_once()
            except psycopg.Error:
                self._closed.wait(AGAIN_S)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _listen_once(self) -> None:
        with psycopg.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="yiapi bell"
        ) as connection:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._name)))
            while not self._closed.is_set():
                for _ in connection.notifies(timeout=LOOK_UP_S, stop_after=1):
                    self._loop.call_soon_threadsafe(self._rung)
