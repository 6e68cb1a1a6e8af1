"""The studio: makes the file of any recipe."""

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO

from PIL import Image

from yiapi_sandbox import continuing, drawing, faces, film, retouching
from yiapi_sandbox.recipes import (
    Backdrop,
    Blend,
    Drawn,
    Edit,
    Film,
    Grid,
    Outpaint,
    Photo,
    Preview,
    Recipe,
    Redraw,
    Reframe,
    Remix,
    Result,
    Scene,
    Shift,
    Source,
    Swap,
    TryOn,
    Upscale,
)

Sources = Callable[[str], bytes]
"""Returns the picture of a digest."""

PAINTED_MAX = 12
"""So many pictures are remembered, since what is drawn next is mostly drawn on one of them."""
REMEMBERED = (Scene, Remix, Outpaint, Redraw, Blend, Shift)
"""Not those that may be very large."""


def make(result: Result, sources: Sources) -> bytes:
    """Make the file; the same recipe makes the same bytes."""
    if isinstance(result.recipe, Film):
        return film.shoot(result.recipe, lambda source: _started(source, sources))
    return encoded(paint(result.recipe, sources), result.form)


def paint(recipe: Recipe, sources: Sources) -> Image.Image:
    """Draw the picture of a recipe, with the mark that says that it is sandbox output."""
    match recipe:
        case Photo(source):
            return opened(sources(source))
        case Grid(cells):
            return retouching.tiled([paint(cell, sources) for cell in cells])
        case Preview(source, percent):
            return drawing.marked(retouching.preview(_started(source, sources), percent))
    return drawing.marked(_painted(recipe, sources).copy())


def _started(source: Source, sources: Sources) -> Image.Image:
    """Return the picture that another one starts from; nobody may change it."""
    if isinstance(source, str):
        return opened(sources(source))
    return _painted(source, sources)


def _painted(recipe: Recipe, sources: Sources) -> Image.Image:
    """Draw a picture without its mark."""
    return _remembered(recipe, sources) if isinstance(recipe, REMEMBERED) else _drawn(recipe, sources)


@lru_cache(maxsize=PAINTED_MAX)
def _remembered(recipe: Recipe, sources: Sources) -> Image.Image:
    return _drawn(recipe, sources)


def _drawn(recipe: Recipe, sources: Sources) -> Image.Image:

    def started(source: Source) -> Image.Image:
        return _started(source, sources)

    match recipe:
        case Shift(source, seed, amount):
            return retouching.shift(started(source), seed, amount)
        case Grid(cells):
            return retouching.tiled([started(cell) for cell in cells])
        case Outpaint(source, width, height, place, prompt, seed):
            return continuing.outpaint(started(source), (width, height), place, prompt, seed)
        case Redraw(source, mask, prompt, before, seed):
            white = masked(sources(mask))
            return continuing.redraw(started(source), white, (before, prompt), seed)
        case Blend(many, width, height, seed):
            return retouching.blend([started(source) for source in many], (width, height), seed)
        case Swap(face, target):
            return faces.swap(started(face), started(target))
        case Photo(source):
            return started(source)
        case Preview(source, _):
            return started(source)
        case Film(scene):
            return drawing.draw(scene)
    return _worked(recipe, started)


def _worked(recipe: Drawn, started: Callable[[Source], Image.Image]) -> Image.Image:
    match recipe:
        case Scene():
            return drawing.draw(recipe)
        case Remix(scene, source, weight):
            return retouching.remix(drawing.draw(scene), started(source), weight)
        case Upscale(source, factor):
            return retouching.enlarge(started(source), factor)
        case Edit(scene, source, mask):
            return retouching.edit(drawing.draw(scene), started(source), started(mask))
        case Reframe(source, width, height):
            return retouching.reframe(started(source), (width, height))
        case Backdrop(scene, source):
            return retouching.replace_backdrop(drawing.draw(scene), started(source))
        case TryOn(person, cloth):
            return retouching.dress(started(person).copy(), started(cloth))


def opened(content: bytes) -> Image.Image:
    """Open a picture that was checked when it came in; what is transparent becomes white."""
    image = Image.open(BytesIO(content)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def masked(content: bytes) -> Image.Image:
    """Open a mask that is white where something is to happen; black and transparent mean the same."""
    image = Image.open(BytesIO(content)).convert("RGBA")
    black = Image.new("RGBA", image.size, "black")
    return Image.alpha_composite(black, image).convert("L")


def encoded(image: Image.Image, form: str) -> bytes:
    """Write a picture as PNG, JPEG or WebP."""
    file = BytesIO()
    match form:
        case "png":
            image.save(file, "PNG", compress_level=2)
        case "webp":
            image.save(file, "WEBP", quality=85, method=2)
        case _:
            image.save(file, "JPEG", quality=88)
    return file.getvalue()
