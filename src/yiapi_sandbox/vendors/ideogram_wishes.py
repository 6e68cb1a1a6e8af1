"""What Ideogram can be asked for, read strictly. Contract: contracts/ideogram.md, sections 2 and 3."""

import re
import secrets
from dataclasses import dataclass

import anyio

from yiapi_sandbox.checks import Fields, parsed, picture
from yiapi_sandbox.contract import Call, Invalid, Upload
from yiapi_sandbox.recipes import Scene
from yiapi_sandbox.vendors import ideogram_lists as lists

LINK_S = 86_400
SEED_MAX = 2_147_483_647
_HEX = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_STYLE_CODE = re.compile(r"[0-9a-fA-F]{8}")
_MODEL_URI = re.compile(r"model/[^/]+/version/[^/]+")
Size = tuple[int, int]


@dataclass(frozen=True)
class Wish:
    """What one request asks for, once it was found to be good."""

    prompt: str
    seed: int
    count: int
    size: Size
    style: str | None
    negative: str = ""
    colors: tuple[str, ...] = ()

    def scene(self, number: int) -> Scene:
        """Return the scene of one of the pictures; each has the next seed."""
        seed = (self.seed + number) % (SEED_MAX + 1)
        return Scene(self.prompt, seed, *self.size, self.negative, self.colors)


def image_request(call: Call, *, required: bool) -> Fields:
    """Read the JSON text in a form."""
    text = call.form.text("image_request")
    if text is None and required:
        raise Invalid("image_request", "missing", "image_request is required")
    return Fields(parsed(text, "image_request") if text is not None else {})


def legacy_wish(fields: Fields) -> tuple[Wish, str]:
    """Read a request of the legacy operations, and its model."""
    model = fields.choice("model", lists.LEGACY_MODELS, "V_2")
    ratio = fields.text("aspect_ratio", choices=lists.LEGACY_RATIOS)
    resolution = fields.text("resolution", choices=lists.LEGACY_RESOLUTIONS)
    if ratio and resolution:
        raise fields.wrong("resolution", "conflict", "aspect_ratio and resolution cannot be used together")
    if resolution and model not in {"V_2", "V_2_TURBO"}:
        raise fields.wrong("resolution", "conflict", f"resolution is not supported by {model}")
    style = fields.text("style_type", choices=lists.LEGACY_STYLES)
    if style and model in {"V_1", "V_1_TURBO"}:
        raise fields.wrong("style_type", "conflict", f"style_type is not supported by {model}")
    negative = fields.text("negative_prompt") or ""
    if negative and model not in {"V_1", "V_1_TURBO", "V_2", "V_2_TURBO"}:
        raise fields.wrong("negative_prompt", "conflict", f"negative_prompt is not supported by {model}")
    colors = _colors(fields.object("color_palette"))
    if colors and model not in {"V_2", "V_2_TURBO"}:
        raise fields.wrong("color_palette", "conflict", f"color_palette is not supported by {model}")
    size = lists.LEGACY_RESOLUTIONS[resolution] if resolution else lists.LEGACY_RATIOS[ratio or "ASPECT_1_1"]
    prompt = enhanced(fields.needed("prompt"), magic_of(fields))
    return Wish(prompt, seed_of(fields), count_of(fields), size_of(size), style or "GENERAL", negative, colors), model


def v3_size(fields: Fields) -> Size:
    """Read the size that a version 3 request asks for."""
    resolution = fields.text("resolution", choices=lists.V3_RESOLUTIONS)
    ratio = fields.text("aspect_ratio", choices=lists.RATIO_SIZES)
    if ratio and resolution:
        raise fields.wrong("resolution", "conflict", "aspect_ratio and resolution cannot be used together")
    return size_of(resolution or lists.RATIO_SIZES[ratio or "1x1"])


def v3_wish(call: Call, fields: Fields, size: Size, *, prompt: str) -> Wish:
    """Read what all version 3 requests share."""
    fields.choice("rendering_speed", lists.SPEEDS, "DEFAULT")
    fields.text("style_preset", choices=lists.STYLE_PRESETS)
    style = fields.text("style_type", choices=lists.V3_STYLES)
    uri = fields.text("custom_model_uri")
    if uri is not None and not _MODEL_URI.fullmatch(uri):
        raise fields.wrong("custom_model_uri", "value", "custom_model_uri must be model/<name>/version/<version>")
    codes = call.json.get("style_codes") or list(call.form.fields.get("style_codes", ()))
    if codes and (style or "style_reference_images" in call.form.files):
        raise fields.wrong("style_codes", "conflict", "style_codes cannot be used with style_type or references")
    if not isinstance(codes, list) or not all(isinstance(c, str) and _STYLE_CODE.fullmatch(c) for c in codes):
        raise fields.wrong("style_codes", "value", "style_codes must be 8-character hexadecimal codes")
    palette = call.form.text("color_palette")
    colors = _colors(Fields(parsed(palette, "color_palette")) if palette else Fields(call.json).object("color_palette"))
    magic = fields.choice("magic_prompt", lists.MAGIC, "AUTO")
    negative = fields.text("negative_prompt") or ""
    wanted = enhanced(prompt, magic) if prompt else ""
    return Wish(wanted, seed_of(fields), count_of(fields), size, style or "GENERAL", negative, colors)


def _colors(palette: Fields | None) -> tuple[str, ...]:
    if palette is None:
        return ()
    members = palette.list("members", 8)
    name = palette.text("name", choices=lists.PALETTES)
    if (name is None) == (not members):
        raise Invalid("color_palette", "value", "color_palette needs either a name or 1 to 8 members")
    if name:
        return lists.PALETTES[name]
    colors, weights = [], 0
    for member in members or ():
        if not isinstance(member, dict):
            raise Invalid("color_palette", "type", "a member of color_palette must be an object")
        fields = Fields(member)
        color = fields.needed("color_hex")
        if not _HEX.fullmatch(color):
            raise fields.wrong("color_hex", "value", "color_hex must be #RGB or #RRGGBB")
        weights += fields.number("color_weight", 0.05, 1) is not None
        colors.append(color)
    if weights not in {0, len(colors)}:
        raise Invalid("color_palette", "value", "either all members have a color_weight or none")
    return tuple(colors)


def magic_of(fields: Fields) -> str:
    """Read whether the prompt may be rewritten."""
    fields.text("magic_prompt_version", choices=lists.MAGIC_VERSIONS)
    return fields.choice("magic_prompt_option", lists.MAGIC, "AUTO")


def enhanced(prompt: str, magic: str) -> str:
    """Rewrite a prompt when it was asked for."""
    return f"{prompt.rstrip('. ')}, soft light, fine detail, balanced composition" if magic == "ON" else prompt


def seed_of(fields: Fields) -> int:
    """Read the seed, or throw one."""
    seed = fields.whole("seed", 0, SEED_MAX)
    return secrets.randbelow(SEED_MAX) if seed is None else seed


def count_of(fields: Fields) -> int:
    """Read how many pictures are wanted."""
    return fields.whole("num_images", 1, 8) or 1


def size_of(text: str) -> Size:
    """Read a size such as ``1024x768``."""
    width, _, height = text.partition("x")
    return int(width), int(height)


async def uploaded(call: Call, name: str) -> tuple[Upload, Size]:
    """Return a picture of the form, checked, and its size."""
    upload = call.form.file(name)
    if upload is None:
        raise Invalid(name, "missing", f"{name} is required")
    return upload, await anyio.to_thread.run_sync(picture, upload.content, name)


async def source(call: Call, name: str) -> tuple[str, Size]:
    """Check a picture that was sent, keep it, and return its digest and size."""
    upload, size = await uploaded(call, name)
    return call.sandbox.shelf.put_source(upload.content, keep_s=LINK_S), size


async def check_references(call: Call) -> None:
    """Check the pictures that only lend their style or face."""
    if sum(len(file.content) for file in call.form.files.get("style_reference_images", ())) > 10 * 2**20:
        raise Invalid("style_reference_images", "size", "style_reference_images must be at most 10 MB in total")
    if len(call.form.files.get("character_reference_images", ())) > 1:
        raise Invalid("character_reference_images", "range", "only one character reference image is supported")
    for name in ("style_reference_images", "character_reference_images", "character_reference_images_mask"):
        for file in call.form.files.get(name, ()):
            await anyio.to_thread.run_sync(picture, file.content, name)
