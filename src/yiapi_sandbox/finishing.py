"""The last touch on a drawing: light that falls off towards the corners, or lines as in a comic."""

from functools import lru_cache

from PIL import Image, ImageChops, ImageEnhance, ImageFilter, ImageOps

from yiapi_sandbox.recipes import Finish

INK_LINE = 420
"""A line is one part in so many of the shorter side."""


def finished(image: Image.Image, finish: Finish) -> Image.Image:
    """Return the picture with its finish."""
    match finish:
        case "rich":
            return _lit(image)
        case "ink":
            return _inked(image)
    return image


def _lit(image: Image.Image) -> Image.Image:
    """Darken the corners, warm the middle."""
    glow, shade = _light(image.size)
    return ImageChops.multiply(ImageChops.add(image, glow), shade)


@lru_cache(maxsize=4)
def _light(size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    """Return what is added to a picture of a size, and what it is multiplied with."""
    falloff = Image.radial_gradient("L").resize(size, Image.Resampling.BILINEAR)
    shade = falloff.point(lambda value: 255 - max(0, value - 120) * 0.55)
    warm = falloff.point(lambda value: max(0, 26 - value * 0.16))
    parts = [warm.point(lambda value, part=part: value * part) for part in (1, 0.75, 0.3)]
    return Image.merge("RGB", parts), Image.merge("RGB", (shade, shade, shade))


def _inked(image: Image.Image) -> Image.Image:
    """Draw a line wherever two areas meet, and make the areas bright."""
    bright = ImageEnhance.Brightness(ImageEnhance.Color(image).enhance(1.45)).enhance(1.06)
    edges = Image.merge("RGB", [band.filter(ImageFilter.FIND_EDGES) for band in image.split()]).convert("L")
    edges = ImageOps.expand(ImageOps.crop(edges, 2), 2, 0)  # the filter takes the border of the picture for an edge
    lines = edges.point(lambda value: 255 if value > 26 else 0)
    width = max(3, 2 * (min(image.size) // INK_LINE // 2) + 1)
    lines = lines.filter(ImageFilter.MaxFilter(width)).filter(ImageFilter.GaussianBlur(width / 4))
    return Image.composite(Image.new("RGB", image.size, (28, 24, 48)), bright, lines)
