"""The cheapest question to a vendor: is it there, and does it take the credential?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import msgspec

from yiapi.channels import Channel
from yiapi.cli.desk import Desk
from yiapi.dispatch import AttemptFailed, Errand, Exchange
from yiapi.dispatch.exchange import failed_by
from yiapi.errors import InvalidRequest, NotFound
from yiapi.ids import new_id
from yiapi.pricing import PriceFilter
from yiapi.providers.contract import Fault, Operation, Unit
from yiapi.upstream import AddressGuard, Client, Limits, UpstreamError

CHAT = "/v1/chat/completions"
LIMITS = Limits(first_byte_s=20.0, total_s=30.0)


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, and of whom."""

    errand: Errand
    channel: Channel
    operation: Operation
    model: str | None


async def probe(desk: Desk, channel: Channel, model: str | None) -> dict[str, Any]:
    """Ask, and tell how long it took and which fault it met. Raises NotFound, InvalidRequest."""
    question = await _question(desk, channel, model)
    client = Client(AddressGuard(desk.settings.permits))
    said: dict[str, Any] = {"channel": channel.id, "asked": "chat" if question.model else "address"}
    began = time.monotonic()
    try:
        said |= await (_chat(client, question) if question.model else _knock(client, question))
    except AttemptFailed as failed:
        words = failed.words.message if failed.words else None
        said |= {"status": failed.status, "fault": failed.fault.value, "message": words or _cause(failed)}
    finally:
        await client.aclose()
    return said | {"latency_ms": round((time.monotonic() - began) * 1000)}


async def _question(desk: Desk, channel: Channel, model: str | None) -> _Question:
    provider = desk.registry.providers.get(channel.provider)
    if provider is None:
        raise NotFound(f"no provider is named {channel.provider}")
    chat = next((one for one in provider.operations if one.path == CHAT), None)
    if model is not None and chat is None:
        raise InvalidRequest(f"{provider.title} has no chat, so no model can be named")
    errand = Errand(
        provider=provider,
        operation=chat or provider.operations[0],
        mode=channel.mode,
        price_group="default",
        model=model or "",
        request_id=new_id("req"),
        kind="chat",
        deadline_at=time.monotonic() + LIMITS.total_s,
    )
    if chat is not None and not channel.credentials:
        raise InvalidRequest("no credential of this channel is in use: yiapi channel enable")
    return _Question(errand, channel, errand.operation, (model or await _cheapest(desk, channel)) if chat else None)


async def _cheapest(desk: Desk, channel: Channel) -> str | None:
    """Return the model whose words cost least, among those that the channel serves and whose names are no patterns."""
    await desk.pricing.import_files(desk.registry)
    entries = await desk.pricing.list_prices(PriceFilter(provider=channel.provider))
    matcher = channel.models_matcher
    words = [
        (entry.row.sell, entry.row.sku)
        for entry in entries
        if entry.row.unit is Unit.TOKEN_OUT and not set(entry.row.sku) & set("*?:")
    ]
    return next((sku for _, sku in sorted(words) if matcher is None or matcher.match(sku)), None)


async def _chat(client: Client, question: _Question) -> dict[str, Any]:
    """Have one token said; newer models know another word for the limit, and want a few. Raises AttemptFailed."""
    try:
        return await _say(client, question, {"max_tokens": 1})
    except AttemptFailed as failed:
        if failed.fault is not Fault.INVALID_REQUEST:
            raise
        return await _say(client, question, {"max_completion_tokens": 16})


async def _say(client: Client, question: _Question, limit: dict[str, int]) -> dict[str, Any]:
    channel, errand, exchange = question.channel, question.errand, Exchange(client)
    model = channel.model_names.get(question.model or "", question.model)
    response = await exchange.send(
        errand,
        channel,
        channel.credentials[0],
        method="POST",
        path=question.operation.vendor_path,
        headers=[(b"content-type", b"application/json")],
        body=msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "Hi"}], **limit}),
        limits=LIMITS,
    )
    await exchange.read(errand, channel, response)
    return {"model": question.model, "status": response.status, "fault": None}


async def _knock(client: Client, question: _Question) -> dict[str, Any]:
    """Have any answer at all: name, TLS and HTTP work. The credential is not shown. Raises AttemptFailed."""
    headers = [(b"user-agent", b"yiapi")]
    try:
        response = await client.send(question.channel.target, "GET", "/", headers, b"", LIMITS)
    except UpstreamError as error:
        raise failed_by(error, question.errand) from error
    response.close()
    return {"status": response.status, "fault": None}


def _cause(failed: AttemptFailed) -> str:
    return str(failed.__cause__ or "the vendor said nothing more")
