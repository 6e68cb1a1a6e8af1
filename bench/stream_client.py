"""A caller with many streams: ``python -m bench.stream_client URL BODY COUNT RATE``, with the key in ``KEY``.

It opens them at that rate a second, tells in a line of JSON how many were answered, reads what comes until its input
ends, tells how many broke meanwhile, and leaves all of them.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.load import request

CONNECT_S = 10.0
ANSWER_S = 30.0
PART_BYTES = 65536
END = b"\r\n0\r\n\r\n"


class Caller:
    """Many streams in one thread."""

    def __init__(self, address: tuple[str, int], wanted: bytes) -> None:
        self._address = address
        self._wanted = wanted
        self._selector = selectors.DefaultSelector()
        self._unanswered: set[socket.socket] = set()
        self._is_told_to_end = False
        self.begun = 0
        self.opened = 0
        self.refused = 0
        self.broken = 0
        self.events = 0

    def open_all(self, count: int, rate: float) -> None:
        """Open so many streams, and wait until each was answered."""
        began = time.monotonic()
        while self.begun < count:
            due = min(count, 1 + int((time.monotonic() - began) * rate))
            for _ in range(due - self.begun):
                self._begin()
            self._turn(0.01)
        ends_at = time.monotonic() + ANSWER_S
        while self._unanswered and time.monotonic() < ends_at:
            self._turn(0.1)
        self.refused += len(self._unanswered)

    def read_until_told(self) -> None:
        """Read what comes until the input ends."""
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while not self._is_told_to_end:
            self._turn(1.0)

    def _begin(self) -> None:
        self.begun += 1
        try:
            one = socket.create_connection(self._address, timeout=CONNECT_S)
            one.sendall(self._wanted)
        except OSError:
            self.refused += 1
            return
        one.setblocking(False)
        self._unanswered.add(one)
        self._selector.register(one, selectors.EVENT_READ)

    def _turn(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.fileobj, socket.socket):
                self._read(key.fileobj)
            else:
                self._is_told_to_end = True

    def _read(self, one: socket.socket) -> None:
        try:
            part = one.recv(PART_BYTES)
        except OSError:
            part = b""
        self.events += part.count(b"data: ")
        if one in self._unanswered:
            self._unanswered.discard(one)
            if part.startswith(b"HTTP/1.1 200"):
                self.opened += 1
            else:
                self.refused += 1
                self._leave(one)
        elif not part or part.endswith(END):
            self.broken += 1
            self._leave(one)

    def _leave(self, one: socket.socket) -> None:
        self._selector.unregister(one)
        one.close()


def main() -> None:
    """Open, tell, read, tell."""
    url, body, count, rate = sys.argv[1:]
    parts = urlsplit(url)
    wanted = request(url, Path(body), os.environ["KEY"])
    caller = Caller((parts.hostname or "", parts.port or 80), wanted)
    caller.open_all(int(count), float(rate))
    _tell({"opened": caller.opened, "refused": caller.refused})
    caller.events, began = 0, time.monotonic()
    caller.read_until_told()
    _tell({"broken": caller.broken, "events/s": round(caller.events / (time.monotonic() - began))})


def _tell(what: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
