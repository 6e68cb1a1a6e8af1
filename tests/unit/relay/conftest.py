"""What the tests of the relay share: requests that arrive in pieces, calls without a station, forms."""

import asyncio
import io
from types import SimpleNamespace

import pytest
from PIL import Image

from yiapi.apikeys import Account, Key
from yiapi.edge import Head, Inbound
from yiapi.providers.registry import Registry
from yiapi.relay.call import Call
from yiapi.relay.forms import FormReader

REGISTRY = Registry.discover()


class Line:
    """A connection without a socket."""

    unread_bytes_max = 1024 * 1024
    is_blocked = False

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.invitations = 0

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def invite(self) -> None:
        self.invitations += 1


@pytest.fixture
def inbound():
    """A request with these headers, whose body has arrived; with ``more`` the rest is still to come."""

    def make(body=b"", headers=None, *, path=b"/v1/chat/completions", more=False) -> Inbound:
        named = {name.lower().encode(): value.encode("latin-1") for name, value in (headers or {}).items()}
        head = Head("POST", path, list(named.items()), named, version="1.1", peer="192.0.2.1", keeps_connection=True)
        request = Inbound(Line(), head)
        if body:
            request.arrived(body)
        if not more:
            request.completed()
        return request

    return make


@pytest.fixture
def call(inbound):
    """A call of an operation with these headers."""

    def make(operation="openai.chat", **headers) -> Call:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Call(REGISTRY.served[operation], {}, inbound(headers=named), "req_1", began=0.0, created_at_ms=0)

    return make


@pytest.fixture
def station():
    settings = SimpleNamespace(total_s=600.0, total_stream_s=1800.0)
    return SimpleNamespace(settings=settings)


@pytest.fixture
def new_key() -> Key:
    return Key("key_1", Account("acct_1", "a", "active", "default", 10, 10), "live", "key", "")


@pytest.fixture(scope="session")
def png() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((32, 20)).convert("RGB").save(file, "PNG")
    return file.getvalue()


READERS: list[FormReader] = []


@pytest.fixture(autouse=True)
def closing():
    """Drop the files of every form that a test has read."""
    yield
    while READERS:
        READERS.pop().close()


def form_reader(content_type: str, memory_bytes: int = 1024) -> FormReader:
    READERS.append(FormReader(content_type.encode(), memory_bytes=memory_bytes))
    return READERS[-1]


def multipart(*parts, boundary="XX"):
    """Write a form: (name, content), or (name, content, filename, type), as clients do."""
    pieces = []
    for name, content, *file in parts:
        head = f'content-disposition: form-data; name="{name}"'
        if file:
            head += f'; filename="{file[0]}"\r\ncontent-type: {file[1]}'
        pieces += [f"--{boundary}\r\n{head}\r\n\r\n".encode("utf-8", "surrogateescape"), content, b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


FORM_TYPE = "multipart/form-data; boundary=XX"
