"""What the tests of the command line share: a data folder, commands on it, and a vendor on a real socket."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from yiapi.__main__ import app

Run = Callable[..., Result]
Ask = Callable[..., Any]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("YIAPI_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def run(data: Path) -> Run:
    """Run one command on the data folder."""
    return lambda *args, **options: CliRunner().invoke(app, [str(arg) for arg in args], **options)


@pytest.fixture
def ask(run: Run) -> Ask:
    """Run one command that works, and return what it says to programs."""

    def asked(*args: object, **options: Any) -> Any:
        result = run(*args, "--json", **options)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return asked


@dataclass
class Vendor:
    """A vendor that answers everything alike and remembers what it was asked."""

    url: str = ""
    status: int = 200
    answer: Any = field(default_factory=lambda: {"id": "c", "choices": [{"message": {"content": "Hi"}}]})
    asked: list[tuple[str, str, str | None, Any]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    vendor = Vendor()

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            shown = self.headers.get("authorization") or self.headers.get("api-key")
            vendor.asked.append((self.command, self.path, shown, json.loads(body) if body else None))
            told = json.dumps(vendor.answer).encode()
            self.send_response(vendor.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_POST = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    vendor.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield vendor
    server.shutdown()
    thread.join()
    server.server_close()
