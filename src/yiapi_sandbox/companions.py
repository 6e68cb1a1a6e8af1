"""Small things that belong to a place, such as pines to snow, so that a picture has something around its subject."""

from collections.abc import Sequence
from typing import Protocol

from yiapi_sandbox.brush import Brush
from yiapi_sandbox.dice import Dice
from yiapi_sandbox.palette import Color, mix
from yiapi_sandbox.shapes import SHAPES

BELONGING: dict[str, tuple[str, ...]] = {
    "meadow": ("tree", "tree", "flower", "pine", "mushroom", "flower"),
    "snow": ("pine", "pine", "house", "pine"),
    "desert": ("cactus", "cactus"),
    "beach": ("palm", "umbrella", "star"),
    "sea": ("boat", "fish"),
    "city": ("car", "tree"),
    "room": ("cup", "book", "flower"),
}
SIZES = {"tree": 0.24, "pine": 0.24, "palm": 0.32, "house": 0.2, "cactus": 0.2, "boat": 0.12, "umbrella": 0.16}
SIZE = 0.09
INDOORS = 0.22
FLOATING = ("boat", "fish")


class Place(Protocol):
    """What must be known of a landscape to put something into it."""

    width: int
    height: int
    unit: int
    horizon: float
    ground: str
    sky: str

    @property
    def colors(self) -> Sequence[Color]:
        """The colours of the sky, from its top to the horizon."""


def accompany(place: Place, brush: Brush, dice: Dice) -> None:
    """Put a handful of them between the horizon and the bottom, the far ones first and hazier."""
    if place.sky == "space":
        return
    count = dice.whole(3, 6)
    spots = sorted((dice.unit(), dice.unit(), dice.unit(), dice.unit()) for _ in range(count))
    for deep, across, which, turned in spots:
        name = choice(BELONGING[place.ground], which)
        put(brush, place, name, (0.04 + 0.9 * deep * deep, across), mirrored=turned < 0.5)
    if place.sky in {"day", "dawn", "sunset"} and place.ground != "room":
        for _ in range(dice.whole(0, 4)):
            size = place.unit * dice.between(0.025, 0.05)
            left, top = dice.between(0, place.width), dice.between(0.1, 0.8) * place.horizon
            brush.shape(SHAPES["bird"], left=left, top=top, size=size)


def choice(names: Sequence[str], part: float) -> str:
    """Pick the name at a part, from 0 up to 1, of a row."""
    return names[int(part * len(names))]


def put(brush: Brush, place: Place, name: str, spot: tuple[float, float], *, mirrored: bool) -> None:
    """Stand one at a spot: how far from the horizon to the bottom, and how far from left to right."""
    deep, across = spot
    shape = SHAPES[name]
    size = place.unit * (INDOORS if place.ground == "room" else SIZES.get(name, SIZE)) * (0.55 + 0.9 * deep)
    foot = place.horizon + (place.height - place.horizon) * deep * 0.75
    x = place.width * across
    if name not in FLOATING:
        brush.oval(x - size * 0.4, foot - size * 0.05, x + size * 0.44, foot + size * 0.05, (20, 24, 36), 50)
    color = mix(shape.color, place.colors[-1], 0.5 * (1 - deep))
    brush.shape(shape, left=x - size / 2, top=foot - size, size=size, color=color, mirrored=mirrored)
