"""What a gathered file is and measures, by its content. It blocks: run it in a thread.

Libraries that decode are given files whose kind and size were tested before, and are told the kind, so that none of
them guesses: a play list in the place of a film would make a decoder open other addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.stream import Disposition
from PIL import AvifImagePlugin, GifImagePlugin, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from yiapi.assets.inspect import PIXELS_MAX, Size, image_size
from yiapi.assets.kinds import AVIF, GIF, HEAD_BYTES, JPEG, PNG, SOUND_ONLY, SVG, TXT, WEBP, Kind, kind_of
from yiapi.assets.models import AssetType

OPEN_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 10.0
PROBED_BYTES = 8 * 1024 * 1024
DURATION_MAX_S = 24 * 3600.0

# The decoder's own class reads the header only; ``Image.open`` would warn about sizes that are already tested.
_DECODERS: dict[Kind, type[ImageFile.ImageFile]] = {
    PNG: PngImagePlugin.PngImageFile,
    JPEG: JpegImagePlugin.JpegImageFile,
    WEBP: WebPImagePlugin.WebPImageFile,
    GIF: GifImagePlugin.GifImageFile,
    AVIF: AvifImagePlugin.AvifImageFile,
}
_SVG_TAG = re.compile(r"<svg\b([^>]*)>", re.DOTALL)
_SVG_VALUE = r"""\b{}\s*=\s*["']([^"']+)["']"""
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:px)?\s*")


class NotMedia(Exception):
    """The file is not what a result may be; the message says why."""


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What was found."""

    kind: Kind
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


def probe(path: Path, type_hint: AssetType | None = None) -> MediaFacts:
    """Tell kind and measures of a file. Raises NotMedia.

    A hint of ``image``, ``video`` or ``audio`` takes any of the three and nothing else; ``text`` takes any text, as
    plain text; without a hint every known kind is taken.
    """
    with path.open("rb") as file:
        kind = _kind(file.read(HEAD_BYTES), type_hint)
        file.seek(0)
        if kind in _DECODERS:
            return _picture(file, kind)
        if kind.container is not None:
            return _film_or_sound(file, kind)
        if kind == SVG:
            return _drawing(file)
        return MediaFacts(kind)


def _kind(head: bytes, type_hint: AssetType | None) -> Kind:
    kind = kind_of(head)
    if type_hint == "text":
        if kind in {TXT, SVG} or (kind is None and _is_text(head)):
            return TXT
        raise NotMedia("the result is not text")
    if kind is None:
        raise NotMedia("the result is a web page or of an unknown kind")
    if type_hint in {"image", "video", "audio"} and kind.type not in {"image", "video", "audio"}:
        raise NotMedia(f"the result is {kind.name}, not media")
    return kind


def _is_text(head: bytes) -> bool:
    """Markup is text too, where text was asked for."""
    return kind_of(b"-" + head[: HEAD_BYTES - 1]) == TXT and bool(head.strip())


def _picture(file: BinaryIO, kind: Kind) -> MediaFacts:
    size = image_size(file, kind)
    if size is None:
        raise NotMedia(f"the result begins like {kind.name} and has no such header")
    _check_pixels(size)
    file.seek(0)
    try:
        picture = _DECODERS[kind](file)
    except (SyntaxError, ValueError, OSError, RuntimeError) as error:
        raise NotMedia(f"the result begins like {kind.name} and cannot be read") from error
    _check_pixels(picture.size)
    return MediaFacts(kind, *picture.size)


def _check_pixels(size: Size) -> None:
    if size[0] * size[1] > PIXELS_MAX:
        raise NotMedia(f"the result has {size[0]} x {size[1]} pixels; {PIXELS_MAX} are allowed")


def _film_or_sound(file: BinaryIO, kind: Kind) -> MediaFacts:
    try:
        with av.open(
            file,
            "r",
            format=kind.container,
            timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
            container_options={
                "protocol_whitelist": "",  # a file that names other files gets none of them
                "probesize": str(PROBED_BYTES),
            },
        ) as container:
            return _streams(container, kind)
    except (av.FFmpegError, ValueError, OSError) as error:
        raise NotMedia(f"the result begins like {kind.name} and cannot be read") from error


def _streams(container: InputContainer, kind: Kind) -> MediaFacts:
    if kind in SOUND_ONLY:
        for film in container.streams.video:
            size = (film.width, film.height)
            if min(size) > 0 and not film.disposition & Disposition.attached_pic:  # a record's cover is not a film
                _check_pixels(size)
                return MediaFacts(kind, *size, duration_s=_duration_s(container))
    if not any(sound.sample_rate for sound in container.streams.audio):
        raise NotMedia(f"the result begins like {kind.name} and has neither pictures nor sound")
    return MediaFacts(SOUND_ONLY.get(kind, kind), duration_s=_duration_s(container))


def _duration_s(container: InputContainer) -> float | None:
    """Return what the header says, where the size of the file does not contradict it.

    A sound that was written as it was made has no length in its header, or the largest.
    """
    seconds = (container.duration or 0) / av.time_base
    raw = [sound.bit_rate for sound in container.streams.audio if sound.codec_context.name.startswith("pcm_")]
    if raw and raw[0]:
        seconds = min(seconds, container.size * 8 / raw[0]) if seconds > 0 else container.size * 8 / raw[0]
    return round(seconds, 3) if 0 < seconds <= DURATION_MAX_S else None


def _drawing(file: BinaryIO) -> MediaFacts:
    """Take the size of a drawing from its root: width and height where they are plain numbers, else the view box."""
    tag = _SVG_TAG.search(file.read(HEAD_BYTES).decode("utf-8", "ignore"))
    if tag is None:
        return MediaFacts(SVG)
    sides = [_number(tag[1], name) for name in ("width", "height")]
    if None in sides:
        box = re.search(_SVG_VALUE.format("viewBox"), tag[1])
        parts = re.split(r"[\s,]+", box[1].strip()) if box else []
        sides = [_whole(part) for part in parts[2:4]] if len(parts) == 4 else []
    width, height = sides if len(sides) == 2 and None not in sides else (None, None)
    return MediaFacts(SVG, width, height)


def _number(attributes: str, name: str) -> int | None:
    value = re.search(_SVG_VALUE.format(name), attributes)
    return _whole(value[1]) if value else None


def _whole(text: str) -> int | None:
    number = _NUMBER.fullmatch(text.strip())
    value = round(float(number[1])) if number else 0
    return value if 0 < value < 2**31 else None
