"""Every provider is whole: contract page, twin, examples, titles, and a price for whatever can be used."""

import io
import json
import re
from functools import cache
from pathlib import Path

import msgspec
import pytest
from fake_vendor import FILE, file_of

from yiapi.pricing import MULTIPLIER_ONE, PriceBook
from yiapi.pricing.files import read_prices
from yiapi.providers.contract import Mode, Unit, Usage
from yiapi.providers.registry import Registry
from yiapi.relay.app import Table
from yiapi.relay.bodies import decode
from yiapi.relay.forms import Form, Part
from yiapi_sandbox import registry as twins

ROOT = Path(__file__).parents[3]
REGISTRY = Registry.discover()
TABLE = Table(REGISTRY)
CHARGED = [served for served in REGISTRY.served.values() if served.operation.mode is not Mode.QUERY]


@cache
def book(slug: str) -> PriceBook:
    return PriceBook(1, read_prices(slug))


@cache
def steps() -> dict[str, list[dict]]:
    """What the examples send to each operation."""
    found: dict[str, list[dict]] = {name: [] for name in REGISTRY.served}
    for path in sorted((ROOT / "tests/cases").glob("*.json")):
        for case in json.loads(path.read_text())["cases"]:
            for step in case["steps"]:
                sends = step.get("caller_sends")
                match = TABLE.find(sends["path"].replace("$TASK", "1").encode()) if sends else None
                served = match and match[0].get(sends["method"])
                if served:
                    found[served.name].append(step)
    return found


def body_of(sends: dict) -> bytes | Form | None:
    """Return the body of an example as the relay has it."""
    if "json" in sends:
        return json.dumps(sends["json"]).encode()
    if "form" not in sends:
        return None
    parts = []
    for part in sends["form"]:
        text = part.get("value", part.get("content", ""))
        mark = FILE.fullmatch(text)
        content = file_of(mark[1]) if mark else text.encode()
        parts.append(
            Part(part["name"], "filename" in part, part.get("content_type"), io.BytesIO(content), len(content))
        )
    return Form(parts)


def taken(served):
    """Return the requests of the examples that the vendor took, each with the vendor's answers."""
    for step in steps()[served.name]:
        body = body_of(step["caller_sends"])
        exchanges = step.get("exchanges", [])
        if body is not None and exchanges and step["caller_gets"]["status"] == 200:
            yield decode(served.operation, body), [one["upstream_answers"] for one in exchanges]


def lines(usage: Usage | list[Usage]) -> list[Usage]:
    return [usage] if isinstance(usage, Usage) else list(usage)


@pytest.mark.parametrize("slug", sorted(REGISTRY.providers))
def test_every_provider_has_a_contract_page(slug):
    provider = REGISTRY.providers[slug]

    assert provider.contract == f"contracts/{slug}.md"
    page = (ROOT / provider.contract).read_text()
    assert page.startswith("# ")
    assert provider.title in page


@pytest.mark.parametrize("slug", sorted(REGISTRY.providers))
def test_every_provider_has_a_twin_in_the_sandbox(slug):
    assert slug in twins.find()


@pytest.mark.parametrize("slug", sorted(REGISTRY.providers))
def test_every_provider_has_prices(slug):
    assert book(slug).rows


@pytest.mark.parametrize("served", CHARGED, ids=lambda served: served.name)
def test_every_operation_has_an_example(served):
    assert steps()[served.name]


@pytest.mark.parametrize("slug", sorted(REGISTRY.providers))
def test_every_kind_of_query_has_an_example(slug):
    queries = [one for one in REGISTRY.served.values() if one.provider.slug == slug and one.operation.query]
    shown = {one.operation.query.render_list is None for one in queries if steps()[one.name]}

    assert shown == {one.operation.query.render_list is None for one in queries}


@pytest.mark.parametrize("served", REGISTRY.served.values(), ids=lambda served: served.name)
def test_every_operation_has_a_title_in_both_languages(served):
    title = served.operation.title

    assert re.search(r"[\u4e00-\u9fff]", title.zh)
    assert title.en
    assert not re.search(r"[\u4e00-\u9fff]", title.en)


@pytest.mark.parametrize("served", CHARGED, ids=lambda served: served.name)
def test_whatever_an_operation_can_use_has_a_price(served):
    slug, operation = served.provider.slug, served.operation
    requests = list(taken(served))
    assert requests, "an example that the vendor takes is needed to see what is used"

    for request, answers in requests:
        quoted = lines(operation.usage(request))
        assert book(slug).knows(slug, quoted[0].model)
        assert book(slug).quote(slug, quoted, MULTIPLIER_ONE).parts
        book(slug).cost(slug, [Usage(one.sku, one.unit, min(one.quantity, 1000)) for one in quoted])
        if operation.counted is not None:
            book(slug).price(slug, operation.counted(request, 10, 10), MULTIPLIER_ONE)
        for used in filter(None, (measured(operation, request, answer) for answer in answers)):
            book(slug).price(slug, used, MULTIPLIER_ONE)


def measured(operation, request, answer) -> list[Usage] | None:
    """Return what the vendor's answer says was used."""
    shape = operation.answer
    if shape is None or shape.usage is None or "json" not in answer or answer["status"] != 200:
        return None
    decoded = msgspec.convert(answer["json"], shape.decode, strict=False)
    used = shape.usage(request, decoded)
    return None if used is None else list(used)


@pytest.mark.parametrize("slug", sorted(REGISTRY.providers))
def test_no_price_is_for_what_nothing_can_use(slug):
    """A unit that no operation counts is a slip in the price file."""
    used = {
        one.unit
        for served in CHARGED
        if served.provider.slug == slug
        for request, _ in taken(served)
        for one in lines(served.operation.usage(request))
    }
    counted = used | ({Unit.TOKEN_IN_CACHED} if Unit.TOKEN_IN in used else set())
    ahead = AHEAD.get(slug, set())

    assert {row.unit for row in book(slug).rows} - counted - ahead == set()


AHEAD = {"openai": {Unit.IMAGE, Unit.CHARACTER, Unit.SECOND}}
"""Units of operations that have their prices already and are not served yet."""


@pytest.mark.parametrize("slug", sorted(REGISTRY.providers))
def test_every_code_of_a_vendor_leads_to_a_fault_that_the_examples_or_the_contract_name(slug):
    page = (ROOT / REGISTRY.providers[slug].contract).read_text()
    cases = (ROOT / f"tests/cases/{slug}.json").read_text()
    faults = REGISTRY.providers[slug].faults

    unnamed = [code for code in (*faults.codes, *faults.types) if str(code) not in page and str(code) not in cases]

    assert unnamed == []
