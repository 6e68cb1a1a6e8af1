"""What Kling can be asked for, read strictly. Contract: contracts/kling.md, the field tables and the price.

The sandbox fetches nothing: a picture that is named by a link lends its link to the drawing, not its looks.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from yiapi_sandbox.books import NANO, Usage
from yiapi_sandbox.checks import Fields, picture
from yiapi_sandbox.contract import Call, Invalid
from yiapi_sandbox.dice import Dice
from yiapi_sandbox.recipes import Film, Recipe, Remix, Scene, TryOn

KEEP_S = 30 * 86_400
UNIT_NANO = 14 * NANO // 100
EXTENSION_S = 5
TOTAL_S_MAX = 180

IMAGE_MODELS = ("kling-v1", "kling-v1-5", "kling-v2", "kling-v2-new", "kling-v2-1", "kling-v3")
TEXT_MODELS = ("kling-v1", "kling-v1-6", "kling-v2-master", "kling-v2-1-master", "kling-v2-5-turbo", "kling-v2-6",
               "kling-v3")  # fmt: skip
PICTURE_MODELS = (*TEXT_MODELS, "kling-v1-5", "kling-v2-1")
TRY_ON_MODELS = ("kolors-virtual-try-on-v1", "kolors-virtual-try-on-v1-5")
SOUND_MODELS = ("kling-v2-6", "kling-v3")

UNITS_PER_FIVE_SECONDS: Mapping[str, tuple[float, float]] = {
    "kling-v1": (1, 3.5), "kling-v1-5": (2, 3.5), "kling-v1-6": (2, 3.5), "kling-v2-master": (10, 10),
    "kling-v2-1": (2, 3.5), "kling-v2-1-master": (10, 10), "kling-v2-5-turbo": (1.5, 2.5), "kling-v2-6": (1.5, 2.5),
    "kling-v3": (3, 4),
}  # fmt: skip
"""In modes ``std`` and ``pro``."""

IMAGE_SIZES = {
    "16:9": (1360, 768), "9:16": (768, 1360), "1:1": (1024, 1024), "4:3": (1152, 864), "3:4": (864, 1152),
    "3:2": (1248, 832), "2:3": (832, 1248), "21:9": (1536, 656),
}  # fmt: skip
FILM_SIZES = {"16:9": (640, 360), "9:16": (360, 640), "1:1": (480, 480)}
CAMERA_MOVES: Mapping[str, Mapping[str, float]] = {
    "down_back": {"tilt": -5, "zoom": -6},
    "forward_up": {"tilt": 5, "zoom": 6},
    "right_turn_forward": {"pan": 7, "zoom": 5},
    "left_turn_forward": {"pan": -7, "zoom": 5},
}
CAMERA_AXES = ("horizontal", "vertical", "pan", "tilt", "roll", "zoom")


@dataclass(frozen=True)
class Order:
    """A good request: what to make, and what it costs."""

    recipes: Sequence[Recipe]
    form: str
    usage: Usage
    units: float
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sent:
    """A picture that came with a request: its digest and size, or only its link."""

    digest: str | None
    size: tuple[int, int] | None
    link: str = ""


async def image(call: Call) -> Order:
    """Read POST /v1/images/generations."""
    fields = Fields(call.json)
    model = _model(fields, IMAGE_MODELS, "kling-v1")
    prompt = fields.needed("prompt", longest=2500)
    negative = fields.text("negative_prompt", longest=2500) or ""
    sent = await _sent(call, fields, "image")
    if sent and negative:
        raise fields.wrong("negative_prompt", "conflict", "negative_prompt is not supported together with image")
    reference = fields.text("image_reference", choices=("subject", "face"))
    if reference and model != "kling-v1-5":
        raise fields.wrong("image_reference", "conflict", f"image_reference is not supported by {model}")
    if sent and model == "kling-v1-5" and not reference:
        raise fields.wrong("image_reference", "missing", "image_reference is required together with image")
    fidelity = fields.number("image_fidelity", 0, 1)
    fields.number("human_fidelity", 0, 1)
    count = fields.whole("n", 1, 9) or 1
    times = 2 if fields.choice("resolution", ("1k", "2k"), "1k") == "2k" else 1
    width, height = IMAGE_SIZES[fields.choice("aspect_ratio", IMAGE_SIZES, "16:9")]
    seed = _seed(prompt, sent)
    recipes: list[Recipe] = []
    for number in range(count):
        scene = Scene(prompt, seed + number, width * times, height * times, negative)
        weight = round(100 * (0.5 if fidelity is None else fidelity))
        recipes.append(Remix(scene, sent.digest, weight) if sent and sent.digest else scene)
    each = 0.2 if reference else 0.025 if model in {"kling-v1", "kling-v1-5"} else 0.1
    return _order(recipes, "png", Usage(model, "image", count, 0), each * count)


async def text2video(call: Call) -> Order:
    """Read POST /v1/videos/text2video."""
    fields = Fields(call.json)
    model = _model(fields, TEXT_MODELS, "kling-v1")
    seconds = _seconds(fields, model)
    prompt = _shots(fields, model, seconds) or fields.needed("prompt", longest=2500)
    size = FILM_SIZES[fields.choice("aspect_ratio", FILM_SIZES, "16:9")]
    negative = _video_words(fields, model)
    film = Film(Scene(prompt, _seed(prompt), *size, negative), seconds, _camera(fields))
    return _film_order(fields, model, film)


async def image2video(call: Call) -> Order:
    """Read POST /v1/videos/image2video."""
    fields = Fields(call.json)
    model = _model(fields, PICTURE_MODELS, "kling-v1")
    first, last = await _sent(call, fields, "image"), await _sent(call, fields, "image_tail")
    if not first and not last:
        raise fields.wrong("image", "missing", "image and image_tail must not both be empty")
    seconds = _seconds(fields, model)
    prompt = _shots(fields, model, seconds) or fields.text("prompt", longest=2500) or ""
    fields.choice("aspect_ratio", FILM_SIZES, "16:9")
    camera, masked = _camera(fields), await _masks(call, fields)
    if bool(last) + bool(camera) + masked > 1:
        raise fields.wrong("image_tail", "conflict", "image_tail, masks and camera_control exclude each other")
    _voices(fields)
    negative = _video_words(fields, model)
    links = " ".join(sent.link for sent in (first, last) if sent and sent.link)
    size = _film_size(first or last)
    scene = Scene(f"{prompt} {links}".strip(), _seed(prompt, first or last), *size, negative)
    film = Film(scene, seconds, camera, first.digest if first else None, last.digest if last else None)
    return _film_order(fields, model, film)


async def extend(call: Call) -> Order:
    """Read POST /v1/videos/video-extend: a film of ours goes on."""
    fields = Fields(call.json)
    video_id = fields.needed("video_id", longest=100)
    fields.text("prompt", longest=2500)
    fields.text("negative_prompt", longest=2500)
    fields.number("cfg_scale", 0, 1)
    known = call.sandbox.shelf.look_up(video_id)
    if known is None or not isinstance(known.recipe, Film):
        raise fields.wrong("video_id", "not_found", "video_id does not exist")
    old = known.recipe
    seconds = old.seconds + EXTENSION_S
    if seconds > TOTAL_S_MAX:
        raise fields.wrong("video_id", "range", f"the video would be longer than {TOTAL_S_MAX} seconds")
    film = Film(old.scene, seconds, old.camera, old.source, old.last)
    parent = {"id": video_id, "duration": f"{old.seconds:g}"}
    usage = Usage("video-extend", "second", EXTENSION_S, 0)
    return _order([film], "mp4", usage, 1.0, {"parent": parent, "duration": f"{seconds:g}"})


async def try_on(call: Call) -> Order:
    """Read POST /v1/images/kolors-virtual-try-on."""
    fields = Fields(call.json)
    model = _model(fields, TRY_ON_MODELS, TRY_ON_MODELS[0])
    person, cloth = await _sent(call, fields, "human_image"), await _sent(call, fields, "cloth_image")
    for name, sent in (("human_image", person), ("cloth_image", cloth)):
        if not sent:
            raise fields.wrong(name, "missing", f"{name} is required")
    usage = Usage(model, "image", 1, 0)
    if person and cloth and person.digest and cloth.digest:
        return _order([TryOn(person.digest, cloth.digest)], "png", usage, 0.5)
    links = " ".join(sent.link for sent in (person, cloth) if sent)
    return _order([Scene(f"a person {links}", _seed(links), 768, 1024)], "png", usage, 0.5)


# Parts


def _model(fields: Fields, models: Sequence[str], default: str) -> str:
    model = fields.text("model_name", longest=100) or default
    if model not in models:
        raise fields.wrong("model_name", "not_found", f"model {model} not found")
    return model


def _seconds(fields: Fields, model: str) -> int:
    allowed = [str(number) for number in range(3, 16)] if model == "kling-v3" else ["5", "10"]
    return int(fields.choice("duration", allowed, "5"))


def _shots(fields: Fields, model: str, seconds: int) -> str | None:
    """Read the shots of a film that is told shot by shot, and return their prompts as one."""
    if not fields.flag("multi_shot"):
        return None
    if model != "kling-v3":
        raise fields.wrong("multi_shot", "conflict", f"multi_shot is not supported by {model}")
    if fields.choice("shot_type", ("customize", "intelligence"), "intelligence") == "intelligence":
        return None
    prompts, total = [], 0
    for number, shot in enumerate(fields.list("multi_prompt", 6) or ()):
        if not isinstance(shot, dict):
            raise fields.wrong("multi_prompt", "type", "multi_prompt must be an array of objects")
        part = Fields(shot, within=f"multi_prompt[{number}].")
        part.whole("index", 0, 6)
        prompts.append(part.needed("prompt", longest=512))
        total += int(part.needed("duration", choices=[str(number) for number in range(1, 16)]))
    if not prompts or total != seconds:
        raise fields.wrong("multi_prompt", "value", "the durations of multi_prompt must sum to duration")
    return " ".join(prompts)


def _video_words(fields: Fields, model: str) -> str:
    """Read what all films share, and return the negative prompt."""
    fields.number("cfg_scale", 0, 1)
    if fields.choice("sound", ("on", "off"), "off") == "on" and model not in SOUND_MODELS:
        raise fields.wrong("sound", "conflict", f"sound is not supported by {model}")
    if watermark := fields.object("watermark_info"):
        watermark.flag("enabled")
    return fields.text("negative_prompt", longest=2500) or ""


def _camera(fields: Fields) -> Mapping[str, float]:
    control = fields.object("camera_control")
    if control is None:
        return {}
    kind, config = control.needed("type", choices=("simple", *CAMERA_MOVES)), control.object("config")
    if kind != "simple":
        if config is not None:
            raise control.wrong("config", "conflict", "config must be empty unless type is simple")
        return CAMERA_MOVES[kind]
    if config is None:
        raise control.wrong("config", "missing", "config is required when type is simple")
    moves = {axis: config.number(axis, -10, 10) or 0.0 for axis in CAMERA_AXES}
    moves = {axis: amount for axis, amount in moves.items() if amount}
    if len(moves) != 1:
        raise control.wrong("config", "value", "exactly one value of config must be other than 0")
    return moves


async def _masks(call: Call, fields: Fields) -> bool:
    masked = bool(await _sent(call, fields, "static_mask", plain=True))
    for number, mask in enumerate(fields.list("dynamic_masks", 6) or ()):
        if not isinstance(mask, dict):
            raise fields.wrong("dynamic_masks", "type", "dynamic_masks must be an array of objects")
        part = Fields(mask, within=f"dynamic_masks[{number}].")
        await _sent(call, part, "mask", plain=True)
        path = part.list("trajectories", 77) or []
        if len(path) < 2 or not all(
            isinstance(p, dict) and _is_whole(p.get("x")) and _is_whole(p.get("y")) for p in path
        ):
            raise part.wrong("trajectories", "value", "trajectories must be 2 to 77 points with x and y")
        masked = True
    return masked


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _voices(fields: Fields) -> None:
    for voice in fields.list("voice_list", 2) or ():
        if not isinstance(voice, dict) or not isinstance(voice.get("voice_id"), str):
            raise fields.wrong("voice_list", "value", "voice_list must be an array of objects with a voice_id")


async def _sent(call: Call, fields: Fields, name: str, *, plain: bool = False) -> Sent | None:
    """Read a picture given by link or as raw Base64; a plain one (a mask) may have any size."""
    text = fields.text(name)
    if not text:
        return None
    if text.startswith(("http://", "https://")):
        return Sent(None, None, text[:2000])
    if text.startswith("data:"):
        raise fields.wrong(name, "value", f"{name} must be raw Base64 without a data: prefix")
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise fields.wrong(name, "value", f"{name} is neither a URL nor valid Base64") from None
    size = await anyio.to_thread.run_sync(lambda: picture(content, name, forms=("PNG", "JPEG")))
    if not plain:
        _check_size(name, size)
    return Sent(call.sandbox.shelf.put_source(content, keep_s=KEEP_S), size)


def _check_size(name: str, size: tuple[int, int]) -> None:
    if min(size) < 300:
        raise Invalid(name, "size", f"{name} must be at least 300 px on each side")
    if max(size) > 2.5 * min(size):
        raise Invalid(name, "size", f"{name} must have a ratio from 1:2.5 to 2.5:1")


def _film_size(sent: Sent | None) -> tuple[int, int]:
    """Return a size of the picture's own ratio, with even sides as films need them."""
    if sent is None or sent.size is None:
        return FILM_SIZES["16:9"]
    width, height = sent.size
    scale = (640 * 360 / (width * height)) ** 0.5
    return round(width * scale / 2) * 2, round(height * scale / 2) * 2


def _seed(prompt: str, sent: Sent | None = None) -> int:
    return Dice("kling", prompt, (sent.digest or sent.link) if sent else "").whole(0, 2**31 - 1)


def _film_order(fields: Fields, model: str, film: Film) -> Order:
    mode = fields.choice("mode", ("std", "pro"), "std")
    units = UNITS_PER_FIVE_SECONDS[model][mode == "pro"] * film.seconds / 5
    usage = Usage(f"{model}:{mode}", "second", film.seconds, 0)
    return _order([film], "mp4", usage, units, {"duration": f"{film.seconds:g}"})


def _order(
    recipes: Sequence[Recipe], form: str, usage: Usage, units: float, detail: dict[str, Any] | None = None
) -> Order:
    billed = Usage(usage.sku, usage.unit, usage.quantity, round(units * UNIT_NANO))
    return Order(recipes, form, billed, units, detail or {})
