"""Ideogram: pictures, synchronously. Contract: contracts/ideogram.md, sections 2, 3 and 5."""

import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import anyio
from starlette.responses import JSONResponse, Response

from yiapi_sandbox import looking
from yiapi_sandbox.books import NANO, Usage
from yiapi_sandbox.checks import Fields
from yiapi_sandbox.contract import Call, Invalid, Operation, Refusal, Vendor, Word
from yiapi_sandbox.recipes import Backdrop, Edit, Recipe, Reframe, Remix, Upscale
from yiapi_sandbox.vendors import ideogram_lists as lists
from yiapi_sandbox.vendors import ideogram_wishes as wishes

UPSCALE_PIXELS_MAX = 16_000_000


# Legacy operations


async def generate(call: Call) -> Response:
    """POST /generate."""
    request = Fields(call.json).object("image_request")
    if request is None:
        raise Invalid("image_request", "missing", "image_request is required")
    wish, model = wishes.legacy_wish(request)
    return _pictures(call, wish, _legacy_usage(model, wish.count), wish.scene)


async def remix(call: Call) -> Response:
    """POST /remix."""
    request = wishes.image_request(call, required=True)
    wish, model = wishes.legacy_wish(request)
    weight = request.whole("image_weight", 1, 100) or 50
    source, _ = await wishes.source(call, "image_file")
    return _pictures(call, wish, _legacy_usage(model, wish.count), lambda n: Remix(wish.scene(n), source, weight))


async def upscale(call: Call) -> Response:
    """POST /upscale: always twice the size."""
    request = wishes.image_request(call, required=False)
    request.whole("resemblance", 1, 100)
    request.whole("detail", 1, 100)
    wishes.magic_of(request)
    source, size = await wishes.source(call, "image_file")
    if size[0] * size[1] > UPSCALE_PIXELS_MAX:
        raise Invalid("image_file", "size", "image_file is too large to upscale")
    wish = wishes.Wish(request.text("prompt") or "", wishes.seed_of(request), wishes.count_of(request), size, None)
    usage = _usage("upscale", wish.count, lists.UPSCALE_PRICE)
    large = f"{size[0] * 2}x{size[1] * 2}"
    return _pictures(call, wish, usage, lambda _: Upscale(source, 2), upscaled_resolution=large)


async def describe(call: Call) -> Response:
    """POST /describe."""
    Fields.of_form(call.form).text("describe_model_version", choices=("V_2", "V_3", "CUSTOM"))
    upload, _ = await wishes.uploaded(call, "image_file")
    text = await anyio.to_thread.run_sync(looking.describe, upload.content)
    call.sandbox.books.bill("ideogram", _usage("describe", 1, lists.DESCRIBE_PRICE, unit="call"))
    return JSONResponse({"descriptions": [{"text": text}]})


async def edit(call: Call) -> Response:
    """POST /edit: flat form fields; the mask is black where the picture changes."""
    fields = Fields.of_form(call.form)
    prompt = fields.needed("prompt")
    model = fields.needed("model", choices=("V_2", "V_2_TURBO"))
    style = fields.text("style_type", choices=lists.LEGACY_STYLES)
    return await _edited(call, fields, "image_file", (prompt, style), lambda count: _legacy_usage(model, count))


async def reframe(call: Call) -> Response:
    """POST /reframe: continues a picture to another size."""
    fields = Fields.of_form(call.form)
    model = fields.needed("model", choices=lists.LEGACY_MODELS)
    size = wishes.size_of(lists.LEGACY_RESOLUTIONS[fields.needed("resolution", choices=lists.LEGACY_RESOLUTIONS)])
    style = fields.text("style_type", choices=lists.LEGACY_STYLES)
    wish = wishes.Wish("", wishes.seed_of(fields), wishes.count_of(fields), size, style)
    source, _ = await wishes.source(call, "image_file")
    return _pictures(call, wish, _legacy_usage(model, wish.count), lambda _: Reframe(source, *size))


# Version 3


async def v3_generate(call: Call) -> Response:
    """POST /v1/ideogram-v3/generate, as JSON or as a form."""
    fields = Fields(call.json) if call.json else Fields.of_form(call.form)
    wish = wishes.v3_wish(call, fields, wishes.v3_size(fields), prompt=fields.needed("prompt"))
    await wishes.check_references(call)
    return _pictures(call, wish, _v3_usage(call, fields, wish.count), wish.scene)


async def v3_remix(call: Call) -> Response:
    """POST /v1/ideogram-v3/remix."""
    fields = Fields.of_form(call.form)
    wish = wishes.v3_wish(call, fields, wishes.v3_size(fields), prompt=fields.needed("prompt"))
    weight = fields.whole("image_weight", 1, 100) or 50
    source, _ = await wishes.source(call, "image")
    await wishes.check_references(call)
    usage = _v3_usage(call, fields, wish.count)
    return _pictures(call, wish, usage, lambda n: Remix(wish.scene(n), source, weight))


async def v3_edit(call: Call) -> Response:
    """POST /v1/ideogram-v3/edit."""
    fields = Fields.of_form(call.form)
    prompt = fields.needed("prompt")
    wish = wishes.v3_wish(call, fields, (1, 1), prompt=prompt)
    await wishes.check_references(call)
    return await _edited(call, fields, "image", (prompt, wish.style), lambda count: _v3_usage(call, fields, count))


async def v3_reframe(call: Call) -> Response:
    """POST /v1/ideogram-v3/reframe."""
    fields = Fields.of_form(call.form)
    size = wishes.size_of(fields.needed("resolution", choices=lists.V3_RESOLUTIONS))
    wish = wishes.v3_wish(call, fields, size, prompt="")
    source, _ = await wishes.source(call, "image")
    await wishes.check_references(call)
    return _pictures(call, wish, _v3_usage(call, fields, wish.count), lambda _: Reframe(source, *size))


async def v3_replace_background(call: Call) -> Response:
    """POST /v1/ideogram-v3/replace-background."""
    fields = Fields.of_form(call.form)
    prompt = fields.needed("prompt")
    source, size = await wishes.source(call, "image")
    wish = wishes.v3_wish(call, fields, size, prompt=prompt)
    await wishes.check_references(call)
    return _pictures(call, wish, _v3_usage(call, fields, wish.count), lambda n: Backdrop(wish.scene(n), source))


async def link(call: Call) -> Response:
    """GET a picture by its link."""
    return await call.sandbox.shelf.serve(call.request, call.parameters["name"].removesuffix(".png"))


# Answering


async def _edited(
    call: Call, fields: Fields, name: str, wanted: tuple[str, str | None], usage: Callable[[int], Usage]
) -> Response:
    source, size = await wishes.source(call, name)
    mask, mask_size = await wishes.source(call, "mask")
    if mask_size != size:
        raise Invalid("mask", "size", "mask must have the same size as the image")
    magic = fields.choice("magic_prompt_option" if name == "image_file" else "magic_prompt", lists.MAGIC, "AUTO")
    prompt, style = wanted
    wish = wishes.Wish(
        wishes.enhanced(prompt, magic), wishes.seed_of(fields), wishes.count_of(fields), size, style or "GENERAL"
    )
    return _pictures(call, wish, usage(wish.count), lambda n: Edit(wish.scene(n), source, mask))


def _pictures(call: Call, wish: wishes.Wish, usage: Usage, recipe: Callable[[int], Recipe], **more: str) -> Response:
    """Put the pictures on the shelf, bill them, and answer with their links."""
    call.sandbox.books.bill("ideogram", usage)
    items: list[dict[str, Any]] = []
    for number in range(wish.count):
        item: dict[str, Any] = {
            "url": _link(call, recipe(number)),
            "prompt": wish.prompt,
            "resolution": f"{wish.size[0]}x{wish.size[1]}",
            "is_image_safe": True,
            "seed": (wish.seed + number) % (wishes.SEED_MAX + 1),
        }
        items.append(item | more | ({"style_type": wish.style} if wish.style else {}))
    created = datetime.fromtimestamp(call.sandbox.clock.now(), UTC).isoformat(timespec="microseconds")
    return JSONResponse({"created": created, "data": items})


def _link(call: Call, recipe: Recipe) -> str:
    shelf = call.sandbox.shelf
    file_id = shelf.put(recipe, keep_s=wishes.LINK_S)
    expires = int(call.sandbox.clock.now()) + wishes.LINK_S
    return f"{call.base_url}/api/images/ephemeral/{file_id}.png?exp={expires}&sig={shelf.sign(file_id, expires)}"


def _usage(sku: str, count: int, price: str, unit: str = "image") -> Usage:
    return Usage(sku, unit, count, int(Decimal(price) * NANO) * count)


def _legacy_usage(model: str, count: int) -> Usage:
    return _usage(model, count, lists.LEGACY_PRICES[model])


def _v3_usage(call: Call, fields: Fields, count: int) -> Usage:
    speed = fields.choice("rendering_speed", lists.SPEEDS, "DEFAULT")
    if "character_reference_images" in call.form.files:
        return _usage(f"V_3:{speed}:character", count, lists.V3_CHARACTER_PRICES[speed])
    return _usage(f"V_3:{speed}", count, lists.V3_PRICES[speed])


# Keys and refusals


def authenticate(call: Call) -> None:
    """Check ``Api-Key``; remix and upscale say 403 where the others say 401."""
    given = call.request.headers.get("api-key", "")
    if not hmac.compare_digest(given.encode(), call.sandbox.key.encode()):
        raise refuse("auth", call)


def refuse(word: Word, call: Call) -> Refusal:
    """Say what a steering word asks for in Ideogram's words."""
    match word:
        case "content":
            return Refusal(422, {"error": "Prompt or provided image failed the safety checks"})
        case "invalid":
            return Refusal(400, {"error": "Invalid request: prompt is invalid"})
        case "rate":
            busy = {"reject_reason": "inflight_limit", "max_inflight_requests": 10}
            return Refusal(429, {"error": "Too many requests in flight"} | busy)
        case "credit":
            return Refusal(402, {"error": "Insufficient funds", "reject_reason": "insufficient_funds"})
        case "auth":
            status = 403 if call.operation.path in {"/remix", "/upscale"} else 401
            return Refusal(status, {"error": "Invalid API key"})
    return Refusal(500, {"error": "Internal server error"})


def invalid(fault: Invalid, call: Call) -> Refusal:  # noqa: ARG001 - every operation words it alike
    """Word a bad request."""
    return Refusal(413 if fault.problem == "size" and fault.field is None else 400, {"error": fault.message})


def unknown_path(method: str, path: str, other_method: bool) -> Refusal:  # noqa: ARG001
    """Answer a path that is not there."""
    return Refusal(405, {"error": "Method not allowed"}) if other_method else Refusal(404, {"error": "Not found"})


def _operations() -> Sequence[Operation]:
    forms = {"/remix": remix, "/upscale": upscale, "/describe": describe, "/edit": edit, "/reframe": reframe}
    v3 = {"remix": v3_remix, "edit": v3_edit, "reframe": v3_reframe, "replace-background": v3_replace_background}
    return (
        Operation("POST", "/generate", generate, body="json"),
        *(Operation("POST", path, handler, body="form") for path, handler in forms.items()),
        Operation("POST", "/v1/ideogram-v3/generate", v3_generate, body="either"),
        *(Operation("POST", f"/v1/ideogram-v3/{name}", handler, body="form") for name, handler in v3.items()),
        Operation("GET", "/api/images/ephemeral/{name}", link, kind="link"),
    )


VENDOR = Vendor(
    slug="ideogram",
    title="Ideogram",
    operations=_operations(),
    authenticate=authenticate,
    refuse=refuse,
    invalid=invalid,
    unknown_path=unknown_path,
)
