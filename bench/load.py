"""What is sent: the body of a request, one bounded run of wrk, and one whole stream to see how long it is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.rig import MODEL, OTHER_CORE

SCRIPT = Path(__file__).with_name("post.lua")
SYSTEM_TEXT = ("You are a careful assistant. Answer briefly and cite your sources. " * 13)[:820]
EVENTS = 102
"""What the mock vendor sends in a stream of 100 tokens: with them the usage, and the end."""
STREAM = {"stream": True, "max_tokens": 100, "stream_options": {"include_usage": True}}
PACED = STREAM | {"seed": 5}
"""The same at one event in 5 ms; ``seed`` is what the mock vendor reads the pause from."""


@dataclass(frozen=True)
class Result:
    """What one run saw. Times are microseconds."""

    requests: int
    seconds: float
    bytes: int
    p50_us: float
    p99_us: float
    errors: int

    @property
    def per_second(self) -> float:
        """Return requests a second."""
        return self.requests / self.seconds


def run(
    url: str,
    body: Path,
    *,
    key: str,
    connections: int,
    seconds: int,
    pause_ms: float | None = None,
    headers: str = "",
) -> Result:
    """Send requests for some seconds, each after a pause if one is given, and return what came of it."""
    command = ["taskset", "-c", str(OTHER_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=10s"]
    paced = {} if pause_ms is None else {"PAUSE_MS": f"{pause_ms:.3f}"}
    done = subprocess.run(
        [*command, "-s", str(SCRIPT), url],
        env=os.environ | {"BODY": str(body), "KEY": key, "HDRS": headers} | paced,
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    told = json.loads(line.removeprefix("RESULT "))
    return Result(
        requests=told["requests"],
        seconds=told["duration_us"] / 1e6,
        bytes=told["bytes"],
        p50_us=told["p50"],
        p99_us=told["p99"],
        errors=sum(count for name, count in told.items() if name.startswith("err_")),
    )


def body(folder: Path, **fields: object) -> Path:
    """Write the request body of about a kilobyte."""
    messages = [
        {"role": "system", "content": SYSTEM_TEXT},
        {"role": "user", "content": "Say hello to the gateway benchmark."},
    ]
    path = folder / f"body-{len(list(folder.glob('body-*')))}.json"
    path.write_text(json.dumps({"model": MODEL, "messages": messages, "temperature": 0.7, **fields}))
    return path


def request(url: str, body: Path, key: str, *, keep_alive: bool = True) -> bytes:
    """Return a whole request as it goes over the wire."""
    parts, content = urlsplit(url), body.read_bytes()
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    )
    return (head + ("\r\n" if keep_alive else "Connection: close\r\n\r\n")).encode() + content


def event_bytes(url: str, body: Path, key: str) -> float:
    """Return how many bytes an event takes on the wire, by one whole stream from there: head and frames included."""
    parts, received = urlsplit(url), bytearray()
    with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=30) as one:
        one.sendall(request(url, body, key, keep_alive=False))
        while part := one.recv(65536):
            received += part
            if received.endswith(b"\r\n0\r\n\r\n"):
                break  # the mock vendor keeps every connection open
    if received.count(b"data: ") != EVENTS:
        raise SystemExit(f"bench: {url} sent no whole stream: {bytes(received[:200])!r}")
    return len(received) / EVENTS
