"""What the tests of the asset room share: databases, files, small real media, and a caller that speaks raw ASGI."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest
from PIL import Image
from small_s3 import SmallS3
from starlette.applications import Starlette
from starlette.responses import JSONResponse

from yiapi.assets import Assets, KeptFile, Links, asset_routes, files_at
from yiapi.clock import ManualClock
from yiapi.db import Database, migrate
from yiapi.db.sql import query_of
from yiapi.errors import InvalidApiKey
from yiapi.ids import new_id

BASE_URL = "https://station.example"
AWS = {"ACCESS_KEY_ID": "a" * 20, "SECRET_ACCESS_KEY": "b" * 40, "REGION": "eu-west-1"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# Databases


@pytest.fixture(scope="session")
def postgres(postgres_server) -> Callable[[], str]:
    """Make a new migrated database at each call."""
    return postgres_server.template(migrate)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'station.db'}"
    migrate(url)
    return url


@pytest.fixture
async def database(sqlite_url: str, clock: ManualClock) -> AsyncIterator[Database]:
    """An SQLite database with two accounts."""
    database = Database(sqlite_url, clock=clock)
    await add_accounts(database)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def either_database(request, clock: ManualClock) -> AsyncIterator[Database]:
    """The same on both databases."""
    url = request.getfixturevalue("sqlite_url") if request.param == "sqlite" else request.getfixturevalue("postgres")()
    database = Database(url, clock=clock)
    await add_accounts(database)
    yield database
    database.close()


async def add_accounts(database: Database) -> None:
    account = query_of(
        "account",
        "INSERT INTO accounts (id, name, status, price_group, parallel_max, open_tasks_max, created_at, version)"
        " VALUES (:id, 'a', 'active', 'default', 1, 1, now_ms(), 1)",
    )
    await database.write(lambda tx: tx.run_many(account, [{"id": "acct_a"}, {"id": "acct_b"}]))


# Media


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Draw a small picture."""

    def draw(kind: str = "PNG", width: int = 32, height: int = 20) -> bytes:
        file = io.BytesIO()
        Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, kind)
        return file.getvalue()

    return draw


@pytest.fixture(scope="session")
def film() -> Callable[..., bytes]:
    """Encode a second of film."""

    def encode(container: str = "mp4", codec: str = "mpeg4") -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            stream = out.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(10):
                frame = av.VideoFrame(64, 48, "yuv420p")
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def sound() -> Callable[..., bytes]:
    """Encode a second of silence."""

    def encode(container: str = "wav", codec: str = "pcm_s16le", sample_format: str = "s16") -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format=container) as out:
            stream = out.add_stream(codec, rate=48000, layout="mono")
            samples = stream.codec_context.frame_size or 960
            for at in range(0, 48000, samples):
                frame = av.AudioFrame(sample_format, "mono", min(samples, 48000 - at))
                frame.planes[0].update(bytes(frame.planes[0].buffer_size))
                frame.sample_rate, frame.pts = 48000, at
                out.mux(stream.encode(frame))
            out.mux(stream.encode())
        return file.getvalue()

    return encode


# The room


@dataclass
class FakeFetcher:
    """Serves what each address has, one answer after the other; an answer is content or what is raised."""

    answers: dict[str, list[bytes | Exception]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    permitted: list[frozenset[str]] = field(default_factory=list)

    async def download(self, url, *, bytes_max, timeout_s, permitted, sink) -> None:
        self.asked.append(url)
        self.permitted.append(permitted)
        answers = self.answers[url]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        for at in range(0, len(answer), 1000):
            await sink(answer[at : at + 1000])


@dataclass
class Pauses:
    """A pause that does not wait."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def fetcher() -> FakeFetcher:
    return FakeFetcher()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def links(clock: ManualClock) -> Links:
    return Links(BASE_URL, bytes(range(32)), clock=clock)


@pytest.fixture
def s3(monkeypatch) -> Iterator[SmallS3]:
    """A bucket beside us."""
    s3 = SmallS3()
    for name, value in (AWS | {"ENDPOINT_URL": s3.url}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    yield s3
    s3.stop()


@pytest.fixture(params=["folder", "memory", "s3"])
def files(request, tmp_path: Path):
    if request.param == "s3":
        request.getfixturevalue("s3")
    url = {"folder": None, "memory": "memory:", "s3": "s3://bucket/prefix"}[request.param]
    files = files_at(url, folder=tmp_path / "assets")
    yield files
    files.close()


@pytest.fixture
def folder_files(tmp_path: Path):
    files = files_at(None, folder=tmp_path / "assets")
    yield files
    files.close()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch):
    """A bucket that nobody connects to."""
    for name, value in AWS.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return files_at("s3://bucket/prefix", folder=tmp_path / "s3")


@pytest.fixture
def assets(database, folder_files, fetcher, links, clock, pauses) -> Iterator[Assets]:
    assets = Assets(database, folder_files, fetcher, links, clock=clock, pause=pauses)
    yield assets
    assets.close()


@pytest.fixture
def make(assets: Assets, database: Database, picture):
    """Keep a file and write its row."""

    async def asset(content: bytes | None = None, *, account_id: str = "acct_a", mode: str = "test", task_id=None):
        kept = await assets.keep_bytes(account_id, mode, content or picture())
        return await database.write(lambda tx: assets.record(tx, kept, request_id="req_1", task_id=task_id))

    return asset


@pytest.fixture
def kept() -> Callable[..., KeptFile]:
    """Describe a kept file without keeping one."""

    def describe(account_id: str = "acct_a", mode: str = "test", **facts) -> KeptFile:
        values = {"type": "image", "content_type": "image/png", "size_bytes": 10, "sha256": "ab" * 32} | facts
        return KeptFile(id=new_id("asset"), account_id=account_id, mode=mode, **values)

    return describe


# A caller


@dataclass(frozen=True)
class Caller:
    """A tenant, and an answer to who asks."""

    account_id: str
    mode: str


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture
def app(assets: Assets) -> Starlette:
    """The routes alone; a key is written ``account.mode``."""

    async def authenticate(request):
        if "x-key" not in request.headers:
            raise InvalidApiKey("no key")
        return Caller(*request.headers["x-key"].split("."))

    def render_error(request, error):
        return JSONResponse(
            {"error": {"message": error.message, "code": error.code, "param": error.param}}, error.status
        )

    return Starlette(routes=asset_routes(assets, authenticate=authenticate, render_error=render_error))


@pytest.fixture
def ask(app: Starlette):
    """Send a request by raw ASGI, so that path and query arrive as they are written."""

    async def send_request(target: str, *, method: str = "GET", key: str | None = None, headers=None) -> Answer:
        sent: list[dict] = []

        async def send(message) -> None:
            sent.append(message)

        await app(scope_of(target, method=method, key=key, headers=headers), never_leaves, send)
        start, body = sent[0], b"".join(message.get("body", b"") for message in sent[1:])
        names = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], names, body)

    return send_request


@pytest.fixture
def scope():
    return scope_of


async def never_leaves():
    await asyncio.Event().wait()


def scope_of(target: str, *, method: str = "GET", key: str | None = None, headers=None) -> dict:
    path, _, query = target.removeprefix(BASE_URL).partition("?")
    pairs = list((headers or {}).items()) + ([("x-key", key)] if key else [])
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in pairs],
        "server": ("station", 80),
        "client": ("127.0.0.1", 1),
    }
