"""Drawing a scene: a landscape, the things of the prompt before it, and a mark that says what made it."""

import math
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from yiapi_sandbox import finishing
from yiapi_sandbox.brush import Brush
from yiapi_sandbox.companions import accompany
from yiapi_sandbox.dice import Dice
from yiapi_sandbox.landscape import Landscape
from yiapi_sandbox.palette import HARMONIES, Color, from_hex
from yiapi_sandbox.reading import NATURAL, Idea, read
from yiapi_sandbox.recipes import Scene
from yiapi_sandbox.shapes import SHAPES, Shape

MARK = "SANDBOX"


def draw(scene: Scene) -> Image.Image:
    """Draw a scene; the same scene is the same picture."""
    back, front = layers(scene)
    back.paste(front, (0, 0), front)
    return finishing.finished(back, scene.finish)


def layers(scene: Scene) -> tuple[Image.Image, Image.Image]:
    """Draw what lies behind, and as a layer of its own what may move before it."""
    idea = _idea(scene)
    size = (scene.width, scene.height)
    dice = Dice("scene", scene.prompt, scene.seed, sways=scene.sways)
    back, front = Brush(size, (128, 128, 128)), Brush(size)
    if idea.is_abstract:
        _abstract(back, front, dice, _colors(scene, idea))
        return back.finished(), front.finished()
    landscape = Landscape(idea, size, dice)
    landscape.paint(back)
    if scene.finish != "plain":
        accompany(landscape, back, Dice("around", scene.prompt, scene.seed, sways=scene.sways))
    _things(idea, landscape, (back, front), dice)
    return back.finished(), front.finished()


def _idea(scene: Scene) -> Idea:
    idea = read(scene.prompt, scene.negative)
    idea.tints = [from_hex(color) for color in scene.colors] + idea.tints
    if idea.ground is None:
        idea.ground = next((NATURAL[thing.name] for thing in idea.things if thing.name in NATURAL), None)
    if idea.ground == "space":
        idea.ground, idea.sky = None, idea.sky or "space"
    return idea


def _things(idea: Idea, landscape: Landscape, brushes: tuple[Brush, Brush], dice: Dice) -> None:
    """Stand the things side by side, the large ones of the background behind the others."""
    back, front = brushes
    things = sorted(idea.things, key=lambda thing: SHAPES[thing.name].place != "back")
    many = max(1, len(things)) ** 0.4
    for turn, thing in enumerate(things):
        shape = SHAPES[thing.name]
        size = landscape.unit * shape.size * dice.between(0.9, 1.15) / many * (1.25 if len(things) == 1 else 1.0)
        slot = landscape.width / len(things)
        x = slot * (turn + 0.5) + slot * dice.between(-0.16, 0.16)
        y = max(_foot(shape, landscape, dice), size + landscape.height * 0.03)
        brush = back if shape.place == "back" and len(things) > 1 else front
        if shape.place in {"ground", "back"} and landscape.sky != "space":
            brush.oval(x - size * 0.42, y - size * 0.05, x + size * 0.46, y + size * 0.05, (20, 24, 36), 60)
        mirrored = dice.unit() < 0.5
        brush.shape(shape, left=x - size / 2, top=y - size, size=size, color=thing.color, mirrored=mirrored)


def _foot(shape: Shape, landscape: Landscape, dice: Dice) -> float:
    """Return the height at which a thing stands, swims or flies."""
    high, horizon = landscape.height, landscape.horizon
    if landscape.sky == "space":
        return high * dice.between(0.6, 0.75)
    if shape.place == "air":
        return horizon * dice.between(0.5, 0.8) + landscape.unit * shape.size * 0.3
    if shape.place == "back" and landscape.ground == "beach" and shape is not SHAPES["lighthouse"]:
        return high * dice.between(0.84, 0.88)
    if shape.place == "back":
        return horizon + (high - horizon) * dice.between(0.12, 0.3)
    if shape.place == "water":
        return horizon + (high - horizon) * dice.between(0.3, 0.5)
    return horizon + (high - horizon) * dice.between(0.6, 0.78)


def _colors(scene: Scene, idea: Idea) -> tuple[Color, ...]:
    harmony = Dice("harmony", scene.prompt, scene.seed, sways=scene.sways).choice(HARMONIES)
    return (harmony[0], *idea.tints[:3], *harmony[1:])


def _abstract(back: Brush, front: Brush, dice: Dice, colors: tuple[Color, ...]) -> None:
    """Draw a poster of arcs, discs and waves for words that name nothing."""
    unit, width, height = min(back.width, back.height), back.width, back.height
    back.gradient(0, height, (colors[0], colors[0]))
    for layer in range(4):
        base, lift = height * (0.45 + 0.14 * layer), unit * dice.between(0.05, 0.14)
        turns, shift = dice.between(0.8, 2.0), dice.between(0, 6)
        edge = [(width * i / 40, base + lift * math.sin(turns * i / 40 * 6.283 + shift)) for i in range(41)]
        back.poly([*edge, (width, height), (0, height)], colors[1 + layer % (len(colors) - 1)])
    for turn in range(5):
        x, y = dice.between(0.08, 0.92) * width, dice.between(0.08, 0.62) * height
        radius, color = unit * dice.between(0.05, 0.19), colors[1 + (turn + 1) % (len(colors) - 1)]
        front.disc(x, y, radius, color)
        if turn % 2:
            front.ring(x, y, radius * 1.25, unit * 0.008, color)


@lru_cache(maxsize=32)
def mark(unit: int) -> Image.Image:
    """Return the mark for pictures whose shorter side is this long."""
    size = max(8, round(unit * 0.028))
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(MARK)
    pad = max(2, size // 3)
    plate = Image.new("RGBA", (round(right - left) + 2 * pad, round(bottom - top) + 2 * pad), (20, 22, 34, 130))
    ImageDraw.Draw(plate).text((pad - left, pad - top), MARK, font=font, fill=(255, 255, 255, 225))
    return plate


def marked(image: Image.Image) -> Image.Image:
    """Put the mark into the corner, if there is room for it."""
    plate = mark(min(image.size))
    at = (image.width - plate.width - plate.height // 2, image.height - plate.height - plate.height // 2)
    if min(at) >= 0:
        image.paste(plate, at, plate)
    return image
