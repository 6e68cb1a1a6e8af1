"""Work on pictures that callers send: remix, enlarge, edit, continue, cut out, dress, mix, shift."""

import math
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from yiapi_sandbox.dice import Dice

LANCZOS = Image.Resampling.LANCZOS


def fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Cover a size with a picture, cutting what stands over."""
    return ImageOps.fit(image, size, LANCZOS)


def remix(drawn: Image.Image, source: Image.Image, weight: int) -> Image.Image:
    """Start from the source; the higher the weight, the more of it stays."""
    return Image.blend(drawn, fitted(source, drawn.size), 0.05 + 0.9 * weight / 100)


def enlarge(source: Image.Image, factor: int) -> Image.Image:
    """Return the very picture, larger."""
    return source.resize((source.width * factor, source.height * factor), LANCZOS)


def edit(drawn: Image.Image, source: Image.Image, mask: Image.Image) -> Image.Image:
    """Draw where the mask is black, keep where it is white."""
    keep = mask.convert("L").resize(source.size)
    return Image.composite(source, fitted(drawn, source.size), keep)


def reframe(source: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Keep the whole picture in the middle and continue it, out of focus, to the new edges."""
    around = fitted(source.resize((max(1, source.width // 4), max(1, source.height // 4))), size)
    around = around.filter(ImageFilter.GaussianBlur(min(size) / 40))
    inner = ImageOps.contain(source, size, LANCZOS)
    around.paste(inner, ((size[0] - inner.width) // 2, (size[1] - inner.height) // 2))
    return around


def replace_backdrop(drawn: Image.Image, source: Image.Image) -> Image.Image:
    """Keep what differs from the border of the picture, and put the scene behind it."""
    return Image.composite(source, fitted(drawn, source.size), subject(source))


def subject(image: Image.Image) -> Image.Image:
    """Return a mask of what stands in a picture: all that is unlike its border, or its middle if nothing is."""
    small = ImageOps.contain(image, (256, 256))
    unlike = Image.new("L", small.size, 255)
    width, height = small.size
    for x, y in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1), (width // 2, 0)):
        plain = Image.new("RGB", small.size, small.getpixel((x, y)))
        difference = ImageChops.difference(small, plain).convert("L").point(lambda value: 255 if value > 28 else 0)
        unlike = ImageChops.darker(unlike, difference)
    # What is like the border, yet enclosed (a white belly before a white wall), belongs to the subject.
    for corner in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        if unlike.getpixel(corner) == 0:
            ImageDraw.floodfill(unlike, corner, 100)
    unlike = unlike.point(lambda value: 0 if value == 100 else 255)
    if not 0.02 < sum(unlike.histogram()[128:]) / (width * height) < 0.9:
        unlike = Image.radial_gradient("L").resize(small.size).point(lambda value: 255 if value < 120 else 0)
    return unlike.filter(ImageFilter.MedianFilter(5)).resize(image.size).filter(ImageFilter.GaussianBlur(1.5))


def dress(person: Image.Image, cloth: Image.Image) -> Image.Image:
    """Lay the clothes over the middle of the person."""
    width, height = round(person.width * 0.5), round(person.height * 0.42)
    piece = ImageOps.contain(cloth, (width, height), LANCZOS)
    at = ((person.width - piece.width) // 2, round(person.height * 0.34))
    person.paste(piece, at, subject(piece))
    return person


def tiled(cells: Sequence[Image.Image]) -> Image.Image:
    """Lay four pictures of one size out in two rows."""
    width, height = cells[0].size
    grid = Image.new("RGB", (2 * width, 2 * height))
    for number, cell in enumerate(cells):
        grid.paste(cell, (number % 2 * width, number // 2 * height))
    return grid


def blend(images: Sequence[Image.Image], size: tuple[int, int], seed: int) -> Image.Image:
    """Mix pictures: every point lies between theirs, here nearer to one, there nearer to another."""
    dice = Dice("blend", seed)
    mixed, *others = [fitted(image, size) for image in images]
    for number, other in enumerate(others, 2):
        share, reach = 255 / number, 255 / number * dice.between(0.4, 0.7)
        form = _form(other, dice).resize(size, Image.Resampling.BICUBIC)
        mask = form.point(lambda value, low=share - reach, span=2 * reach: low + span * value / 255)
        mixed = Image.composite(other, mixed, mask)
    return mixed


def _form(image: Image.Image, dice: Dice) -> Image.Image:
    """Return where a picture shows more: on one side, in the middle, or where it is bright."""
    match dice.whole(0, 2):
        case 0:
            side = Image.linear_gradient("L").rotate(90 * dice.whole(0, 3))
            return side.filter(ImageFilter.GaussianBlur(20))
        case 1:
            return ImageChops.invert(Image.radial_gradient("L"))
    bright = ImageOps.autocontrast(image.convert("L").resize((64, 64)))
    return bright.filter(ImageFilter.GaussianBlur(6))


def shift(image: Image.Image, seed: int, amount: float) -> Image.Image:
    """Turn a picture slightly, come nearer, and change its colours a little."""
    dice = Dice("shift", seed)
    angle, near = math.radians(9 * amount * dice.between(-1, 1)), 1 - amount * dice.between(0.1, 0.22)
    cos, sin = near * math.cos(angle), near * math.sin(angle)
    x, y = (half * (1 + amount * dice.between(-0.06, 0.06)) for half in (image.width / 2, image.height / 2))
    map_ = (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)
    moved = image.transform(image.size, Image.Transform.AFFINE, map_, Image.Resampling.BICUBIC)
    bands = moved.split()
    gains = [1 + amount * dice.between(-0.35, 0.3) for _ in bands]
    return Image.merge("RGB", [b.point(lambda value, gain=g: value * gain) for b, g in zip(bands, gains, strict=True)])


def preview(image: Image.Image, percent: int) -> Image.Image:
    """Show a picture that is not finished: the less is done, the less is seen."""
    left = 1 - percent / 100
    small = image.reduce(max(2, max(image.size) // 1024))
    return small.filter(ImageFilter.GaussianBlur(max(small.size) * 0.05 * left + 1))
