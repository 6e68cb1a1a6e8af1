"""Pages for people and programs that read: every operation on one page in either language, and ``llms.txt``."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.metadata import version

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from yiapi.api.answers import Handler, answering
from yiapi.api.catalogue import docs_url, models_of, price_for, prices_of
from yiapi.api.languages import Language, language_of
from yiapi.api.openapi import document
from yiapi.api.routes import OWN
from yiapi.api.samples import curl
from yiapi.api.services import Node, Services
from yiapi.pricing import MULTIPLIER_ONE, PriceRow, units_per_price
from yiapi.providers.registry import Served

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "section{border-top:1px solid #ddd;margin-top:2rem}pre{background:#f6f6f6;padding:.8rem;overflow-x:auto}"
    "table{border-collapse:collapse}td,th{border-bottom:1px solid #ddd;padding:.2rem 1rem .2rem 0;text-align:left}"
    "code,pre{font-family:ui-monospace,monospace;font-size:.9em}"
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
PRICES_SHOWN_MAX = 12
WORDS: Mapping[Language, Mapping[str, str]] = {
    "en": {
        "title": "YIAPI: operations",
        "lead": "Point an existing client here: change its base address and its key.",
        "reference": "OpenAPI document",
        "other": "中文",
        "price": "Price (USD)",
        "per": "per",
        "more": "and more: /v1/operations",
    },
    "zh": {
        "title": "YIAPI 全球 AI 分发站:接口",
        "lead": "现有客户端只需更换地址和密钥即可使用。",
        "reference": "OpenAPI 文档",
        "other": "English",
        "price": "价格(美元)",
        "per": "每",
        "more": "更多价格见 /v1/operations",
    },
}


def openapi(services: Services) -> Handler:
    """``GET /openapi.json``; made once for each language."""
    made: dict[Language, bytes] = {}

    async def answer(request: Request) -> Response:
        language, node = language_of(request), services.node
        if language not in made:
            whole = document(node.registry, OWN, language, version("yiapi"), node.settings.public_url)
            made[language] = msgspec.json.encode(whole)
        return Response(made[language], media_type="application/json")

    return answering(answer)


def docs(services: Services) -> Handler:
    """``GET /docs`` and ``/docs/zh``; made anew when the prices change."""
    made: dict[Language, tuple[int, str]] = {}

    async def answer(request: Request) -> Response:
        language: Language = "zh" if request.scope["path"] == "/docs/zh" else language_of(request)
        book_version, text = made.get(language, (-1, ""))
        if book_version != services.node.pricing.book.version:
            text = _page(services.node, language)
            made[language] = services.node.pricing.book.version, text
        return HTMLResponse(text, headers={"content-security-policy": POLICY, "vary": "accept-language"})

    return answering(answer)


def _page(node: Node, language: Language) -> str:
    words = WORDS[language]
    other = "/docs?lang=en" if language == "zh" else "/docs/zh"
    sections = "".join(_section(node, served, language) for served in node.registry.served.values())
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8"><title>{words["title"]}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{words['title']}</h1><p>{words['lead']}</p>"
        f'<p><a href="/openapi.json?lang={language}">{words["reference"]}</a> · <a href="{other}">{words["other"]}</a>'
        f' · <a href="/llms.txt">llms.txt</a></p>{sections}</html>\n'
    )


def _section(node: Node, served: Served, language: Language) -> str:
    title = served.operation.title.zh if language == "zh" else served.operation.title.en
    rows = prices_of(node, served)
    model = next(iter(models_of(node, served, rows)), None)
    return (
        f'<section id="{escape(served.name)}"><h2>{escape(title)}</h2>'
        f"<p><code>{escape(served.name)}</code> · <code>{served.operation.method} {escape(served.path)}</code></p>"
        f"{_prices(rows, WORDS[language])}<pre>{escape(curl(served, node.settings.public_url, model))}</pre></section>"
    )


def _prices(rows: list[PriceRow], words: Mapping[str, str]) -> str:
    if not rows:
        return ""
    lines = "".join(
        f"<tr><td><code>{escape(row.sku)}</code><td>{_amount(row)} {words['per']} {_per(row)}"
        for row in rows[:PRICES_SHOWN_MAX]
    )
    more = f'<tr><td colspan="2">{words["more"]}' if len(rows) > PRICES_SHOWN_MAX else ""
    return f'<table><tr><th colspan="2">{words["price"]}{lines}{more}</table>'


def _amount(row: PriceRow) -> str:
    return str(price_for(row, units_per_price(row.unit), MULTIPLIER_ONE))


def _per(row: PriceRow) -> str:
    per = units_per_price(row.unit)
    return row.unit.value if per == 1 else f"{per:,} {row.unit.value}"


def llms(services: Services) -> Handler:
    """``GET /llms.txt``: the same for programs that read text."""
    node = services.node

    async def answer(request: Request) -> Response:
        del request
        lines = [_llms_line(node, served) for served in node.registry.served.values()]
        return PlainTextResponse("\n".join([*LLMS_HEAD, *lines, ""]))

    return answering(answer)


LLMS_HEAD = (
    "# YIAPI",
    "",
    "> One key, one bill, one task API for every generative-AI provider. Point an existing client of a provider here:",
    "> change its base address and its key.",
    "",
    "- The key goes into `Authorization: Bearer`.",
    "- [OpenAPI document](/openapi.json)",
    "",
    "## Operations",
    "",
)


def _llms_line(node: Node, served: Served) -> str:
    title = served.operation.title.en
    return f"- [{served.name}]({docs_url(node, served, 'en')}): {served.operation.method} {served.path}: {title}"
