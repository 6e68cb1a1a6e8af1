"""A sandbox with a clock that tests turn, and a client for each vendor."""

import base64
import hashlib
import hmac
import json
from contextlib import asynccontextmanager
from io import BytesIO

import httpx
import pytest
from PIL import Image, ImageDraw

from yiapi_sandbox.__main__ import build
from yiapi_sandbox.clock import TurnableClock

KEY = "test-key"


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def clock():
    return TurnableClock()


@pytest.fixture
def station(clock):
    station = build(None, key=KEY, task_seconds=2, clock=clock)
    yield station
    station.sandbox.books.close()


def client_for(station, slug, headers):
    transport = httpx.ASGITransport(app=station)
    return httpx.AsyncClient(transport=transport, base_url=f"http://sandbox.test/{slug}", headers=headers)


@pytest.fixture
async def stranger(station):
    """Has no key."""
    async with client_for(station, "", {}) as client:
        yield client


@pytest.fixture
async def openai(station):
    async with client_for(station, "openai", {"authorization": f"Bearer {KEY}"}) as client:
        yield client


@pytest.fixture
async def ideogram(station):
    async with client_for(station, "ideogram", {"api-key": KEY}) as client:
        yield client


@pytest.fixture
def jwt(clock):
    """Sign a token as Kling's callers do; each argument replaces a part."""

    def sign(*, key=KEY, alg="HS256", **claims):
        head = {"alg": alg, "typ": "JWT"}
        body = {"iss": "sandbox", "exp": int(clock.now()) + 1800, "nbf": int(clock.now()) - 5} | claims
        parts = ".".join(_url(json.dumps(part).encode()) for part in (head, body))
        return f"{parts}.{_url(hmac.new(key.encode(), parts.encode(), hashlib.sha256).digest())}"

    return sign


def _url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture
async def kling(station, jwt):
    async with client_for(station, "kling", {"authorization": f"Bearer {jwt(exp=4_000_000_000)}"}) as client:
        yield client


@pytest.fixture
async def midjourney(station):
    async with client_for(station, "midjourney", {"mj-api-secret": KEY}) as client:
        yield client


@pytest.fixture
def proxy(midjourney, clock, stranger):
    return Proxy(midjourney, clock, stranger)


@pytest.fixture
def started(clock):
    """Start a sandbox with a Midjourney proxy in it, which ends with the block."""

    @asynccontextmanager
    async def start(data=None, **options):
        station = build(data, key=KEY, task_seconds=2, clock=clock, **options)
        headers = {"mj-api-secret": KEY}
        async with client_for(station, "midjourney", headers) as client, client_for(station, "", {}) as anyone:
            proxy = Proxy(client, clock, anyone)
            proxy.station = station
            yield proxy
        station.sandbox.callbacks.stop()
        station.sandbox.books.close()

    return start


class Proxy:
    """What callers do with a Midjourney proxy: submit, wait, press, look."""

    def __init__(self, client, clock, stranger):
        self.client, self.clock, self.stranger = client, clock, stranger

    async def post(self, path, **body):
        return (await self.client.post(f"/mj/{path}", json=body)).json()

    async def task(self, task_id):
        return (await self.client.get(f"/mj/task/{task_id}/fetch")).json()

    async def done(self, path, **body):
        """Submit, let the time pass, and return the task, which must have succeeded."""
        answer = await self.post(path, **body)
        assert answer["code"] == 1, answer
        self.clock.turn(2)
        task = await self.task(answer["result"])
        assert task["status"] == "SUCCESS", task
        return task

    def button(self, task, text):
        return next(button["customId"] for button in task["buttons"] if text in button["customId"])

    async def press(self, task, text, **body):
        return await self.post("submit/action", taskId=task["id"], customId=self.button(task, text), **body)

    async def pressed(self, task, text, **body):
        return await self.done("submit/action", taskId=task["id"], customId=self.button(task, text), **body)

    async def file(self, url):
        answer = await self.stranger.get(url)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def picture(self, task):
        return Image.open(BytesIO(await self.file(task["imageUrl"]))).convert("RGB")


def data_url(picture):
    """Write a picture, or its bytes, as the data URL that JSON carries it in."""
    if not isinstance(picture, bytes):
        file = BytesIO()
        picture.save(file, "PNG")
        picture = file.getvalue()
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


@pytest.fixture(name="data_url")
def data_url_fixture():
    return data_url


@pytest.fixture
def chat(openai):
    """Ask one question."""

    async def ask(text="Say hello.", headers=None, **body):
        messages = [{"role": "user", "content": text}]
        return await openai.post(
            "/v1/chat/completions", json={"model": "gpt-4o", "messages": messages} | body, headers=headers
        )

    return ask


@pytest.fixture
def draw(ideogram):
    """Ask for pictures with the legacy operation."""

    async def ask(prompt="a boat", headers=None, **request):
        return await ideogram.post("/generate", json={"image_request": {"prompt": prompt} | request}, headers=headers)

    return ask


@pytest.fixture
def png():
    """Draw a small picture: a red disc on white, or a plain colour."""

    def make(width=320, height=320, color=None, form="PNG"):
        image = Image.new("RGB", (width, height), color or "white")
        if color is None:
            ImageDraw.Draw(image).ellipse(
                (width // 4, height // 4, width * 3 // 4, height * 3 // 4), fill=(220, 40, 40)
            )
        file = BytesIO()
        image.save(file, form)
        return file.getvalue()

    return make


@pytest.fixture
def opened():
    return lambda content: Image.open(BytesIO(content))
