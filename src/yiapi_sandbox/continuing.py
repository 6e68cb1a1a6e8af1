"""Going on where a picture ends: around its edges, or inside a hole in it."""

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from yiapi_sandbox import companions
from yiapi_sandbox.brush import Brush
from yiapi_sandbox.dice import Dice
from yiapi_sandbox.palette import HARMONIES, Color, lighter
from yiapi_sandbox.reading import NATURAL, Idea, Thing, read
from yiapi_sandbox.shapes import SHAPES

Box = tuple[int, int, int, int]
"""Left, top, width and height."""

ROWS = 96
"""A picture is looked at in so many rows to find its horizon."""
HORIZON = (0.4, 0.85)
LANCZOS = Image.Resampling.LANCZOS


def outpaint(image: Image.Image, size: tuple[int, int], place: Box, prompt: str, seed: int) -> Image.Image:
    """Show the whole picture at a place, and around it what its edges and its prompt suggest."""
    left, top, width, height = place
    inner = image if image.size == (width, height) else image.resize((width, height), LANCZOS)
    canvas = _stretched(inner, size, (left, top))
    surroundings = _Surroundings(canvas, inner, place, prompt, seed)
    layer = Brush(size)
    surroundings.fill(layer)
    drawn = layer.finished()
    canvas.paste(drawn, (0, 0), drawn)
    canvas.paste(inner, (left, top))
    return canvas


def _stretched(inner: Image.Image, size: tuple[int, int], at: tuple[int, int]) -> Image.Image:
    """Let the colours of the edges run on, the farther the softer."""
    (width, height), (left, top) = size, at
    right, bottom = left + inner.width, top + inner.height
    band = Image.new("RGB", (width, inner.height))
    for column, start, end in ((0, 0, left), (inner.width - 1, right, width)):
        if end > start:
            edge = inner.crop((column, 0, column + 1, inner.height))
            band.paste(edge.resize((end - start, inner.height)), (start, 0))
    band.paste(inner, (left, 0))
    canvas = Image.new("RGB", size)
    canvas.paste(band, (0, top))
    for row, start, end in ((0, 0, top), (inner.height - 1, bottom, height)):
        if end > start:
            canvas.paste(band.crop((0, row, width, row + 1)).resize((width, end - start)), (0, start))
    for part in (0.012, 0.04, 0.12):
        reach = round(max(inner.size) * min(part * 2, 0.1))
        near = Image.new("L", size, 255)
        ImageDraw.Draw(near).rectangle((left - reach, top - reach, right + reach, bottom + reach), fill=0)
        radius = max(inner.size) * part
        soft = canvas.filter(ImageFilter.GaussianBlur(radius))
        canvas.paste(soft, (0, 0), near.filter(ImageFilter.GaussianBlur(reach / 3)))
    return canvas


class _Surroundings:
    """The part of a larger picture that lies around a smaller one."""

    def __init__(self, canvas: Image.Image, inner: Image.Image, place: Box, prompt: str, seed: int) -> None:
        idea = read(prompt)
        self.place, self.canvas = place, canvas
        self.width, self.height = canvas.size
        self.unit = min(place[2:])
        self.horizon = place[1] + horizon(inner) * place[3]
        natural = next((NATURAL[thing.name] for thing in idea.things if thing.name in NATURAL), "meadow")
        self.ground = idea.ground or natural
        self.sky = "space" if "space" in (idea.sky, self.ground) else idea.sky or "day"
        self.colors: tuple[Color, ...] = (self.color(place[0], place[1]), self.color(place[0], int(self.horizon) - 1))
        self.dice = Dice("around", prompt, seed)

    def color(self, x: float, y: float) -> Color:
        """Return the colour that is there now."""
        red, green, blue = self.canvas.getpixel((min(int(x), self.width - 1), max(0, min(int(y), self.height - 1))))  # type: ignore[misc, unused-ignore]
        return red, green, blue

    def outside(self, x: float, y: float, reach: float) -> bool:
        """Whether a thing there does not stand before the picture itself."""
        left, top, width, height = self.place
        return not (left - reach < x < left + width + reach and top - reach < y < top + height + reach)

    def fill(self, brush: Brush) -> None:
        """Put clouds and stars above the horizon, and below it what belongs to the ground."""
        dice, unit = self.dice, self.unit
        for _ in range(60 if self.sky in {"night", "space"} else 0):
            x, y = dice.between(0, self.width), dice.between(0, self.horizon * 0.95)
            if self.outside(x, y, 2):
                brush.disc(x, y, unit * dice.between(0.001, 0.0035), (255, 250, 230), dice.whole(120, 255))
        for _ in range(8 if self.sky != "space" and self.ground != "room" else 0):
            self._cloud(brush)
        if self.sky == "space":
            return
        names = companions.BELONGING.get(self.ground, companions.BELONGING["meadow"])
        spots = sorted((dice.unit(), dice.unit(), dice.unit(), dice.unit()) for _ in range(14))
        for deep, across, which, turned in spots:
            name = companions.choice(names, which)
            if self._stands_free(deep, across, name):
                companions.put(brush, self, name, (deep, across), mirrored=turned < 0.5)

    def _stands_free(self, deep: float, across: float, name: str) -> bool:
        size = self.unit * companions.SIZES.get(name, companions.SIZE) * (0.55 + 0.9 * deep)
        foot = self.horizon + (self.height - self.horizon) * deep * 0.75
        return self.outside(self.width * across, foot - size / 2, size * 0.55)

    def _cloud(self, brush: Brush) -> None:
        dice = self.dice
        x, y, size = (
            dice.between(0, self.width),
            dice.between(0.03, 0.8) * self.horizon,
            self.unit * dice.between(0.03, 0.06),
        )
        if not self.outside(x, y, size * 3.4):
            return
        color = lighter(self.color(x, y), 0.35 if self.sky in {"night", "storm"} else 0.6)
        for step in range(5):
            puff = size * dice.between(0.5, 1.0) * (1.3 - abs(step - 2) * 0.3)
            brush.oval(
                x + (step - 2) * size - puff, y - puff * 0.7, x + (step - 2) * size + puff, y + size * 0.35, color
            )


def horizon(image: Image.Image) -> float:
    """Return at which part of its height a picture changes most from one row to the next, within reason."""
    column = image.resize((1, ROWS), Image.Resampling.BOX).convert("RGB").tobytes()
    rows = [column[3 * y : 3 * y + 3] for y in range(ROWS)]
    first, last = (round(part * ROWS) for part in HORIZON)
    changes = [(sum(abs(a - b) for a, b in zip(rows[y], rows[y - 1], strict=True)), y) for y in range(first, last)]
    return max(changes)[1] / ROWS


def redraw(image: Image.Image, mask: Image.Image, words: tuple[str, str], seed: int) -> Image.Image:
    """Close the hole where the mask is white, and put into it what is new in the second of the words."""
    hole = mask.resize(image.size).point(lambda value: 255 if value > 127 else 0)
    box = hole.getbbox()
    if box is None:
        return image
    filled = healed(image, hole)
    layer = Brush(image.size)
    _draw_new(layer, box, *words, Dice("region", words[1], seed))
    drawn = layer.finished()
    filled.paste(drawn, (0, 0), drawn)
    return Image.composite(filled, image, hole)


def healed(image: Image.Image, hole: Image.Image) -> Image.Image:
    """Let the surroundings flow into a hole until nothing of what was there is left."""
    whole = ImageChops.invert(hole)
    around = ImageChops.multiply(hole.filter(ImageFilter.GaussianBlur(max(image.size) / 60)), whole)
    known = around if around.getbbox() else whole if whole.getbbox() else None
    mean = ImageStat.Stat(image, known).mean
    result = Image.composite(Image.new("RGB", image.size, tuple(round(part) for part in mean)), image, hole)
    for part in (8, 16, 32, 64, 128, 256):
        soft = result.filter(ImageFilter.GaussianBlur(max(image.size) / part))
        result = Image.composite(soft, image, hole)
    return result


def _draw_new(brush: Brush, box: Box, before: str, after: str, dice: Dice) -> None:
    """Draw the things that the old words lack; without any, forms in the new words' colours."""
    left, top, right, bottom = box
    idea, old = read(after), read(before)
    things = [thing for thing in idea.things if thing not in old.things] or idea.things
    if not things:
        _forms(brush, box, idea, dice)
        return
    slot = (right - left) / len(things)
    for turn, thing in enumerate(things):
        size = min(slot, bottom - top) * dice.between(0.78, 0.98)
        x = left + slot * (turn + 0.5) + (slot - size) * dice.between(-0.4, 0.4)
        _draw_one(
            brush, thing, (x - size / 2, bottom - size - (bottom - top - size) * dice.between(0, 0.5)), size, dice
        )


def _draw_one(brush: Brush, thing: Thing, at: tuple[float, float], size: float, dice: Dice) -> None:
    brush.shape(SHAPES[thing.name], left=at[0], top=at[1], size=size, color=thing.color, mirrored=dice.unit() < 0.5)


def _forms(brush: Brush, box: Box, idea: Idea, dice: Dice) -> None:
    left, top, right, bottom = box
    colors = (*idea.tints, *dice.choice(HARMONIES)[1:]) if not idea.tints else tuple(idea.tints)
    size = min(right - left, bottom - top)
    for turn in range(6):
        x, y = dice.between(left, right), dice.between(top, bottom)
        brush.disc(x, y, size * dice.between(0.1, 0.34), colors[turn % len(colors)], 235)
