"""Finding a face by the colour of skin, and putting one onto another picture."""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

GRID = 128
"""Faces are looked for in a picture of at most so many points a side."""
PART_MIN, PART_MAX = 0.004, 0.55
"""How much of a picture a face can be."""
FULL_MIN = 0.45
"""How much of its own frame a face fills."""
STEP_MAX = 36
"""How much the colour of skin changes from one point to the next, all three parts together."""
FEATHER = 0.08
Cell = tuple[int, int]


@dataclass(frozen=True)
class Face:
    """An upright oval, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The frame around it, at least one pixel large."""
        left, top = int(self.left), int(self.top)
        return left, top, max(left + 1, round(self.right)), max(top + 1, round(self.bottom))

    @property
    def size(self) -> tuple[int, int]:
        """How large the frame is."""
        left, top, right, bottom = self.box
        return right - left, bottom - top


def swap(source: Image.Image, target: Image.Image) -> Image.Image:
    """Put the face of the source onto the face of the target, in the light of the target."""
    theirs, ours = find(source), find(target)
    face = source.crop(theirs.box).resize(ours.size, Image.Resampling.LANCZOS)
    oval = Image.new("L", ours.size, 0)
    edge = round(min(ours.size) * FEATHER)
    ImageDraw.Draw(oval).ellipse((edge, edge, ours.size[0] - edge, ours.size[1] - edge), fill=255)
    face = _lit_like(face, target.crop(ours.box), oval)
    result = target.copy()
    result.paste(face, ours.box[:2], oval.filter(ImageFilter.GaussianBlur(edge / 2)))
    return result


def _lit_like(face: Image.Image, before: Image.Image, oval: Image.Image) -> Image.Image:
    """Go a third of the way to the brightness of what was there before."""
    light, wanted = (ImageStat.Stat(image.convert("L"), oval).mean[0] for image in (face, before))
    factor = 1 + (max(0.5, min(2.0, wanted / max(light, 1))) - 1) / 3
    return face.point(lambda value: min(255, round(value * factor)))


def find(image: Image.Image) -> Face:
    """Return the face in a picture; where no skin looks like one, the oval in its middle."""
    scale = max(image.size) / GRID
    size = max(1, round(image.width / scale)), max(1, round(image.height / scale))
    small = image.resize(size, Image.Resampling.BOX)
    found = [patch for patch in _patches(small) if _is_face(patch, size)]
    if not found:
        width, height = image.size
        return Face(width * 0.3, height * 0.22, width * 0.7, height * 0.78)
    left, top, right, bottom = _frame(max(found, key=lambda patch: (_has_eyes(patch), len(patch))))
    grown = (right - left) * 0.06
    across, down = image.width / size[0], image.height / size[1]
    return Face(
        max(0, (left - grown) * across),
        max(0, (top - grown) * down),
        min(image.width, (right + grown) * across),
        min(image.height, (bottom + grown) * down),
    )


def _skin(image: Image.Image) -> Image.Image:
    """Return a mask of what has the colour of skin, light or dark: its chroma hardly differs."""
    light, blue, red = image.convert("YCbCr").split()
    masks = (
        light.point(lambda value: 255 if value > 50 else 0),
        blue.point(lambda value: 255 if 77 <= value <= 127 else 0),
        red.point(lambda value: 255 if 136 <= value <= 170 else 0),
    )
    return ImageChops.darker(ImageChops.darker(masks[0], masks[1]), masks[2])


def _patches(image: Image.Image) -> Iterator[set[Cell]]:
    """Yield the connected patches of skin; a hard edge, as between a face and a sunset, parts them."""
    width, height = image.size
    mask, pixels = _skin(image).tobytes(), image.tobytes()
    left = {(x, y) for y in range(height) for x in range(width) if mask[y * width + x]}

    def alike(one: Cell, other: Cell) -> bool:
        a, b = (3 * (y * width + x) for x, y in (one, other))
        return sum(abs(pixels[a + band] - pixels[b + band]) for band in range(3)) <= STEP_MAX

    while left:
        patch, edge = set(), [left.pop()]
        while edge:
            x, y = cell = edge.pop()
            patch.add(cell)
            near = {other for other in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)) if other in left}
            near = {other for other in near if alike(cell, other)}
            left -= near
            edge.extend(near)
        yield patch


def _has_eyes(patch: set[Cell]) -> bool:
    """Whether there is something else than skin in the middle of it."""
    left, top, right, bottom = _frame(patch)
    middle_x, middle_y = (left + right - 1) / 2, (top + bottom - 1) / 2
    half_x, half_y = (right - left) * 0.35, (bottom - top) * 0.35
    return any(
        (x, y) not in patch
        for x in range(left, right)
        for y in range(top, bottom)
        if ((x - middle_x) / half_x) ** 2 + ((y - middle_y) / half_y) ** 2 < 1
    )


def _frame(patch: set[Cell]) -> tuple[int, int, int, int]:
    """Return the frame of a face; a neck below it, narrower than the face, does not count."""
    rows: dict[int, list[int]] = {}
    for x, y in patch:
        rows.setdefault(y, []).append(x)
    widest = max(max(xs) - min(xs) + 1 for xs in rows.values())
    top, bottom = min(rows), max(rows)
    while bottom > top and max(rows[bottom]) - min(rows[bottom]) + 1 < widest * 0.5:
        bottom -= 1
    xs = [x for y in range(top, bottom + 1) for x in rows.get(y, ())]
    return min(xs), top, max(xs) + 1, bottom + 1


def _is_face(patch: set[Cell], size: tuple[int, int]) -> bool:
    if not PART_MIN <= len(patch) / (size[0] * size[1]) <= PART_MAX:
        return False
    left, top, right, bottom = _frame(patch)
    width, height = right - left, bottom - top
    return 0.6 <= height / width <= 2 and len(patch) >= FULL_MIN * width * height
