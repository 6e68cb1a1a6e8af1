"""Every example of every provider, against the whole station and a fake vendor on a real socket.

``tests/cases/validate.py`` checks the form of the examples. One whose path the station does not serve yet is left out
by that one rule, and counted at the end; with ``YIAPI_CASES_ALL`` set, leaving out is a failure.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import shutil
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from cases_told import COUNTS
from fake_vendor import FILE, TYPES, FakeVendor, Sent, file_of
from matching import ABSENT, Marks, differences, stream_differences

from yiapi.apikeys import insert_account, insert_key
from yiapi.app import App, open_app
from yiapi.db import Transaction, migrate
from yiapi.db.sql import query_of
from yiapi.ledger import open_wallet, top_up, wallet_of
from yiapi.ledger.check import check
from yiapi.money import Money
from yiapi.pricing import price_of
from yiapi.providers.contract import JwtHS256, Unit
from yiapi.providers.registry import Registry
from yiapi.relay.table import Table
from yiapi.serving import edge_of
from yiapi.settings import load_settings
from yiapi.upstream import AddressGuard

pytestmark = pytest.mark.anyio

CHANNEL_KEY = "channel-key-0f3b91c2d7a64e58"
KEY_HEADERS = {"authorization", "api-key", "x-api-key", "x-goog-api-key", "mj-api-secret", "x-key"}
OWN_PATHS = ("/v1/models",)
LACKING = {
    "openai: gpt-4-all: the picture in the Markdown becomes our link, the download link too": "pictures in a text",
    "openai: gpt-4-all: streamed, the picture's link is ours when it passes by": "pictures in a text",
}
"""Examples on a served path that need what the station cannot do yet."""

DUE = query_of("due", "UPDATE tasks SET next_look_at = now_ms() WHERE bucket IS NOT NULL AND finished_at IS NULL")
REQUESTS = query_of("requests", "SELECT * FROM requests ORDER BY created_at")
ATTEMPTS = query_of("attempts", "SELECT * FROM attempts ORDER BY started_at, number")
VENDOR_IDS = query_of("ids", "SELECT vendor_task_id FROM tasks WHERE vendor_task_id IS NOT NULL")
REGISTRY = Registry.discover()
TABLE = Table(REGISTRY)


def is_served(step: dict[str, Any]) -> bool:
    path = step["caller_sends"]["path"] if "caller_sends" in step else "/v1/models"
    return TABLE.find(path.encode()) is not None or path.startswith(OWN_PATHS)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    chosen, left_out = [], 0
    for path in sorted(Path(metafunc.config.getoption("cases")).glob("*.json")):
        document = json.loads(path.read_text())
        for case in document["cases"]:
            name = f"{document['provider']}: {case['name']}"
            is_known = document["provider"] in REGISTRY.providers and name not in LACKING
            if not is_known or not all(map(is_served, case["steps"])):
                left_out += 1
            else:
                chosen.append(pytest.param((document["provider"], case), id=name))
    metafunc.config.stash[COUNTS] = (len(chosen), left_out)
    if left_out and os.environ.get("YIAPI_CASES_ALL"):
        pytest.fail(f"{left_out} examples are not served", pytrace=False)
    metafunc.parametrize("case", chosen)


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A database that is migrated and knows the prices, to be copied for each example."""
    folder = tmp_path_factory.mktemp("template")
    settings = load_settings(data=folder, sandbox=False)
    migrate(settings.database_url)

    async def fill() -> None:
        async with open_app(settings, "template"):
            pass

    asyncio.run(fill())
    return folder


@pytest.fixture
async def vendor() -> AsyncIterator[FakeVendor]:
    vendor = FakeVendor(channel_key=CHANNEL_KEY)
    await vendor.start()
    yield vendor
    await vendor.stop()


class Run:
    """One example on its way."""

    def __init__(self, app: App, client: httpx.AsyncClient, vendor: FakeVendor, key: str) -> None:
        self.app, self.client, self.vendor, self.key = app, client, vendor, key
        self.marks = Marks(vendor.url, CHANNEL_KEY)
        self.said: list[str] = []

    async def step(self, step: dict[str, Any]) -> None:
        exchanges = step.get("exchanges", [])
        self.vendor.answers = [exchange["upstream_answers"] for exchange in exchanges]
        self.vendor.got.clear()
        if step.get("poll"):
            await self.poll(len(exchanges))
        else:
            answer = await self.send(step["caller_sends"])
            self.said.append(answer.text)
            expect(answer, step["caller_gets"], self.marks)
            if len(self.vendor.got) < len(exchanges):  # what the worker does at once: a vendor is told of a cancel
                await self.work(len(exchanges))
        got = self.vendor.got
        assert [sent.path for sent in got] == [exchange["upstream_gets"]["path"] for exchange in exchanges]
        for exchange, sent in zip(exchanges, got, strict=True):
            expect_sent(sent, exchange["upstream_gets"], self.marks)
        await self.links()

    async def poll(self, count: int) -> None:
        while len(self.vendor.got) < count:
            before = len(self.vendor.got)
            await self.app.database.write(lambda tx: tx.run(DUE))
            await self.app.poller.look_once()
            await self.app.poller.finish()
            assert len(self.vendor.got) > before, "the poller asked nobody"

    async def work(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.vendor.got) < count:
                await self.app.poller.look_once()
                await self.app.poller.finish()

    async def send(self, sends: dict[str, Any]) -> httpx.Response:
        headers = {name: value for name, value in sends.get("headers", {}).items() if value != ABSENT}
        headers = {name: self.key if value == "$ANY" else value for name, value in headers.items()}
        if not KEY_HEADERS & {name.lower() for name in sends.get("headers", {})}:
            headers["authorization"] = f"Bearer {self.key}"
        body: dict[str, Any] = {}
        if "json" in sends:
            headers.setdefault("content-type", "application/json")
            body["content"] = self.marks.fill(json.dumps(sends["json"], ensure_ascii=False)).encode()
        elif "form" in sends:
            body["files"] = [_part(part) for part in sends["form"]]
        elif "text" in sends:
            body["content"] = sends["text"].encode()
        elif "bytes" in sends:
            body["content"] = file_of(sends["bytes"].removeprefix("$FILE:"))
        path = self.marks.fill(sends["path"])
        return await self.client.request(
            sends["method"], path, headers=headers, params=sends.get("query") or None, **body
        )

    async def links(self) -> None:
        """Every link that a caller was given is the station's, and serves a file."""
        for url in self.marks.urls:
            assert url.startswith(self.app.settings.public_url), url
            answer = await self.client.get(url.removeprefix(self.app.settings.public_url))
            assert answer.status_code == 200, url
            assert answer.content in {file_of(kind) for kind in TYPES}
        self.marks.urls.clear()


def _part(part: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    if "filename" not in part:
        return part["name"], (None, part["value"])
    mark = FILE.fullmatch(part["content"])
    content = file_of(mark[1]) if mark else part["content"].encode()
    return part["name"], (part["filename"], content, part.get("content_type", "application/octet-stream"))


def expect(answer: httpx.Response, wanted: dict[str, Any], marks: Marks) -> None:
    faults = [] if answer.status_code == wanted["status"] else [f"status {answer.status_code}: {answer.text[:500]}"]
    faults += differences(wanted.get("headers", {}), dict(answer.headers), marks, "headers")
    if not faults and "json" in wanted:
        faults += differences(wanted["json"], answer.json(), marks)
    if not faults and "sse" in wanted:
        faults += stream_differences(wanted["sse"], answer.text, marks)
    if not faults and "text" in wanted:
        faults += differences(wanted["text"], answer.text, marks)
    if not faults and "bytes" in wanted and answer.content != file_of(wanted["bytes"].removeprefix("$FILE:")):
        faults.append("other bytes")
    assert not faults, "\n".join(faults)


def expect_sent(sent: Sent, wanted: dict[str, Any], marks: Marks) -> None:
    faults = [] if sent.method == wanted["method"] else [f"method {sent.method}"]
    faults += differences(wanted.get("headers", {}), sent.headers, marks, "headers")
    faults += differences(wanted.get("query", {}), sent.query, marks, "query")
    if "json" in wanted:
        faults += differences(wanted["json"], json.loads(sent.body), marks)
    if "form" in wanted:
        faults += _form_differences(wanted["form"], sent)
    assert not faults, "\n".join(faults)


def _form_differences(wanted: list[dict[str, Any]], sent: Sent) -> list[str]:
    left = sent.parts()
    faults = []
    for part in wanted:
        text = part.get("value", part.get("content", ""))
        mark = FILE.fullmatch(text)
        content = file_of(mark[1]) if mark else text.encode()
        found = next((one for one in left if one[0] == part["name"] and one[2] == content), None)
        if found is None:
            faults.append(f"form: no part {part['name']} with {text[:80]}")
        else:
            left.remove(found)
    return faults


class ToStation(httpx.AsyncHTTPTransport):
    """Leads every address to the station."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return await super().handle_async_request(request)


async def resolve(name: str, port: int) -> list[str]:
    """Let the names through that examples use for hosts of callers; nothing is sent there."""
    if name == "example.com" or name.endswith(".example.com"):
        return ["93.184.215.14"]
    raise OSError(f"{name} has no address here")


async def test_example(case, template, tmp_path, vendor):
    provider, example = case
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    settings = load_settings(data=tmp_path, sandbox=False, permit_host=("127.0.0.1",), base_url="http://station.test")
    guard = AddressGuard(settings.permits, resolve)
    async with open_app(settings, "gateway", attempts_max=1, guard=guard) as app:
        config = example.get("config") or {}
        key = await _prepare(app, provider, vendor, config)
        edge, _ = edge_of(app)
        listener = socket.create_server(("127.0.0.1", 0))
        await edge.listen(listener)
        transport = ToStation(listener.getsockname()[1])
        async with httpx.AsyncClient(transport=transport, base_url="http://station.test", timeout=30) as client:
            run = Run(app, client, vendor, key)
            for step in example["steps"]:
                await run.step(step)
        await edge.aclose()
        await _expect_books(app, provider, example, run)


async def _prepare(app: App, provider: str, vendor: FakeVendor, config: dict[str, Any]) -> str:
    apikeys = app.station.apikeys

    def make(tx: Transaction) -> str:
        account = insert_account(tx, "caller")
        for mode in ("live", "test"):
            open_wallet(tx, account.id, mode)
        top_up(tx, "start", wallet_of(account.id, "live"), Money.parse("100"))
        new, text = apikeys.new_key(account.id, "live", name="key")
        insert_key(tx, new)
        return text

    key = await app.database.write(make)
    declared = REGISTRY.providers[provider]
    credential = f"access|{CHANNEL_KEY}" if isinstance(declared.auth, JwtHS256) else CHANNEL_KEY
    from yiapi.channels import Routing

    routing = Routing(settings=config.get("channel", {}))
    await app.channels.create_channel(provider, "only", vendor.url, [credential], routing=routing)
    if "assets" in config:
        for name in REGISTRY.served:
            await app.station.switches.set(f"operation:{name}", enabled=True, message="", assets=config["assets"])
    await app.refresh()
    return key


async def _expect_books(app: App, provider: str, example: dict[str, Any], run: Run) -> None:
    await app.station.calls.settled()
    requests = await app.database.read(lambda tx: tx.all(REQUESTS))
    attempts = await app.database.read(lambda tx: tx.all(ATTEMPTS))
    if "usage" in example:
        wanted = example["usage"] if isinstance(example["usage"], list) else [example["usage"]]
        used: dict[str, int] = {}
        for line in (line for row in requests for line in json.loads(row["usage"])):
            unit = Unit(line["unit"]).counts_as.value
            used[unit] = used.get(unit, 0) + line["quantity"]
        assert used == {part["unit"]: part["quantity"] for part in wanted}
    if "charged" in example:
        assert (sum(row["charge"] for row in requests) > 0) is example["charged"]
    if "fault" in example:
        assert attempts[-1]["fault"] == example["fault"]
    ids = [row["vendor_task_id"] for row in await app.database.read(lambda tx: tx.all(VENDOR_IDS))]
    for text in run.said:
        for secret in (CHANNEL_KEY, run.vendor.url, *ids):
            assert secret not in text
    if isinstance(REGISTRY.providers[provider].auth, JwtHS256):
        for sent in run.vendor.got:
            _expect_signature(sent.headers["authorization"].removeprefix("Bearer "))
    report = await check(app.database, price_of=partial(price_of, books={}))
    assert report.is_clean, report.lines()


def _expect_signature(token: str) -> None:
    signed, _, signature = token.rpartition(".")
    expected = base64.urlsafe_b64encode(hmac.digest(CHANNEL_KEY.encode(), signed.encode(), "sha256")).rstrip(b"=")
    assert signature.encode() == expected
    claims = json.loads(base64.urlsafe_b64decode(signed.split(".")[1] + "=="))
    assert claims["iss"] == "access"
    assert claims["exp"] > claims["nbf"]
