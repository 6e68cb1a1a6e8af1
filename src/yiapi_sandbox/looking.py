"""Looking at a picture: which colours are in it, where, and what forms stand out."""

from collections import Counter
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from yiapi_sandbox.palette import Color, name

GRID = 48
Cell = tuple[int, int]


@dataclass(frozen=True)
class Look:
    """What is seen in a picture."""

    size: tuple[int, int]
    colors: list[str]
    """Those that cover most of it, the first of all first."""
    above: str
    below: str
    forms: list[str]
    """What stands out, the largest first, such as "a red circle in the middle"."""

    @property
    def shape(self) -> str:
        """Say how its sides relate."""
        width, height = self.size
        return "square" if width == height else "wide" if width > height else "tall"


def describe(content: bytes) -> str:
    """Say in a sentence or two what is really seen."""
    seen = look(content)
    course = f"{seen.above} throughout" if seen.above == seen.below else f"{seen.above} above and {seen.below} below"
    measure = f"{seen.size[0]} by {seen.size[1]} pixels"
    sentence = f"A {seen.shape} picture of {measure}, {course}, mostly {joined(seen.colors)}"
    return f"{sentence}, with {joined(seen.forms)}." if seen.forms else f"{sentence}."


def look(content: bytes) -> Look:
    """Look at a picture that was checked when it came in."""
    with Image.open(BytesIO(content)) as image:
        size = image.size
        small = image.convert("RGBA")
        white = Image.new("RGBA", small.size, "white")
        grid = Image.alpha_composite(white, small).convert("RGB").resize((GRID, GRID), Image.Resampling.BOX)
    names = [[name(_pixel(grid, x, y)) for x in range(GRID)] for y in range(GRID)]
    seen = Counter(word for row in names for word in row)
    colors = [word for word, count in seen.most_common(3) if count > GRID * GRID * 0.04]
    above, below = (_most(names[: GRID // 4]), _most(names[-GRID // 4 :]))
    return Look(size, colors, above, below, _forms(names, seen.most_common(1)[0][0]))


def _pixel(image: Image.Image, x: int, y: int) -> Color:
    red, green, blue = image.getpixel((x, y))  # type: ignore[misc, unused-ignore]
    return red, green, blue


def _most(rows: list[list[str]]) -> str:
    return Counter(word for row in rows for word in row).most_common(1)[0][0]


def _forms(names: list[list[str]], ground: str) -> list[str]:
    """Name the largest connected patches that do not reach round the picture."""
    left = {(x, y) for y in range(GRID) for x in range(GRID) if names[y][x] != ground}
    forms: list[tuple[int, str]] = []
    while left:
        patch = _patch(left, names)
        xs, ys = [x for x, _ in patch], [y for _, y in patch]
        wide, high = max(xs) - min(xs) + 1, max(ys) - min(ys) + 1
        if len(patch) >= 12 and wide < GRID * 0.8 and high < GRID * 0.9:
            x, y = min(patch)
            where = _place((min(xs) + max(xs)) / 2 / GRID, (min(ys) + max(ys)) / 2 / GRID)
            forms.append((len(patch), f"a {names[y][x]} {_figure(len(patch), wide, high)} {where}"))
    return [form for _, form in sorted(forms, key=lambda form: -form[0])[:3]]


def _patch(left: set[Cell], names: list[list[str]]) -> set[Cell]:
    """Take one connected patch of a single colour out of the cells that are left."""
    start = min(left)
    color = names[start[1]][start[0]]
    patch, edge = {start}, [start]
    while edge:
        x, y = edge.pop()
        for cell in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            if cell in left and cell not in patch and names[cell[1]][cell[0]] == color:
                patch.add(cell)
                edge.append(cell)
    left -= patch
    return patch


def _figure(cells: int, wide: int, high: int) -> str:
    full = cells / (wide * high)
    if wide > 3 * high or high > 3 * wide:
        return "stripe" if full > 0.6 else "line"
    if full > 0.92:
        return "square" if 0.8 < wide / high < 1.25 else "rectangle"
    if full > 0.7:
        return "circle" if 0.8 < wide / high < 1.25 else "oval"
    return "triangle" if full > 0.42 else "curved shape"


def _place(x: float, y: float) -> str:
    column = "left" if x < 0.36 else "right" if x > 0.64 else ""
    row = "top" if y < 0.36 else "bottom" if y > 0.64 else ""
    return f"at the {row} {column}".rstrip() if row else f"on the {column}" if column else "in the middle"


def joined(words: list[str]) -> str:
    """Write words as a list in a sentence."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
