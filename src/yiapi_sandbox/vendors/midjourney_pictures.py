"""What Midjourney draws: four pictures from words, and what each button makes of a picture.

Contract: contracts/midjourney.md, sections 1.3 and 2.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from yiapi_sandbox.dice import Dice
from yiapi_sandbox.recipes import (
    Blend,
    Film,
    Finish,
    Grid,
    Outpaint,
    Recipe,
    Redraw,
    Remix,
    Scene,
    Shift,
    Source,
    Upscale,
)
from yiapi_sandbox.variations import varied
from yiapi_sandbox.vendors.midjourney_buttons import Press
from yiapi_sandbox.vendors.midjourney_prompts import Prompt, sized

Size = tuple[int, int]

CELLS = range(4)
FINISHES: dict[bool, Finish] = {False: "rich", True: "ink"}
SIDE = 1024
PIXELS_MAX = SIDE * SIDE * 3 // 2
FILM_S, EXTENSION_S = 5, 4
FILM_PIXELS = 640 * 360
AMOUNTS = {"variation": 0.3, "low_variation": 0.1, "high_variation": 0.45}
STRONG, CREATIVE = 0.55, 0.05
BASE, CHAOS = 0.42, 0.58
"""How much the pictures of one grid differ at ``--chaos 0``, and how much more at 100."""


@dataclass(frozen=True)
class Canvas:
    """A picture that a button is pressed below, or four."""

    recipe: Recipe
    prompt: Prompt
    """What it was drawn from."""

    def cell(self, number: int) -> Recipe:
        """Return one of the four pictures, counted from 1, or the only one, at the size that it was drawn in."""
        match self.recipe:
            case Grid(cells):
                return cells[number - 1]
            case Upscale(source) if not isinstance(source, str):
                return source
        return self.recipe


def imagined(prompt: Prompt, seed: int, starts: Sequence[Source] = ()) -> Grid:
    """Draw a prompt four times; pictures that it starts from shine through."""
    scenes = _scenes(prompt, seed)
    if not starts:
        return of_four(lambda number: scenes[number])
    weight = round(100 * min(0.85, 0.3 + 0.22 * prompt.amount("iw", 1)))

    def start(number: int) -> Source:
        return starts[0] if len(starts) == 1 else Blend(tuple(starts), *prompt.size, seed=seed + number)

    return of_four(lambda number: Remix(scenes[number], start(number), weight))


def of_four(make: Callable[[int], Recipe]) -> Grid:
    """Make a grid of what is made for the numbers 0 to 3."""
    one, two, three, four = (make(number) for number in CELLS)
    return Grid((one, two, three, four))


def _scenes(prompt: Prompt, seed: int) -> list[Scene]:
    """Return four drawings that are related, as each sways from the same one; other versions draw others."""
    width, height = prompt.size
    first = 4 * (zlib.crc32(f"{prompt.niji} {prompt.number}".encode()) % 1000)
    differs = round(BASE + CHAOS * prompt.amount("chaos", 0) / 100, 3)
    negative, finish = prompt.parameters.get("no", ""), FINISHES[prompt.niji]
    return [
        Scene(prompt.text, seed, width, height, negative, (), ((first + number, differs),), finish) for number in CELLS
    ]


def blended(sources: Sequence[Source], ratio: Size, seed: int) -> Grid:
    """Mix pictures in four ways."""
    size = sized(ratio, SIDE)
    return of_four(lambda number: Blend(tuple(sources), *size, seed=seed + number))


def edited(prompt: Prompt, source: Source, seed: int, weight: int) -> Grid:
    """Draw words into a picture, of which the weight in percent stays."""
    scenes = _scenes(prompt, seed)
    return of_four(lambda number: Remix(scenes[number], source, weight))


def size_of(source: Source) -> Size:
    """Return the size of a picture, of a grid that of one of the four; a sent one counts as a square."""
    match source:
        case Scene() | Outpaint() | Blend():
            return source.width, source.height
        case Remix(scene):
            return scene.width, scene.height
        case Grid(cells):
            return size_of(cells[0])
        case Upscale(inner, factor):
            width, height = size_of(inner)
            return width * factor, height * factor
        case Redraw(inner) | Shift(inner):
            return size_of(inner)
    return SIDE, SIDE


@dataclass(frozen=True)
class Wish:
    """What was said when a button was pressed, or in its window."""

    prompt: Prompt
    mask: str = ""
    strong: bool = False


def pressed(press: Press, canvas: Canvas, seed: int, wish: Wish) -> Recipe:
    """Return what a button makes of a picture. The button must be one that draws."""
    single = canvas.cell(int(press.index) if press.verb in {"upsample", "variation"} else 1)
    if press.is_enlarging:
        source = varied(single, seed, CREATIVE) if press.verb.endswith("creative") else single
        return Upscale(source, 4 if press.verb.endswith("4x") else 2)
    match press.verb:
        case "upsample":
            return single
        case "variation" | "low_variation" | "high_variation":
            amount = STRONG if wish.strong else AMOUNTS[press.verb]
            start = _reworded(single, canvas.prompt, wish.prompt)
            return of_four(lambda number: varied(start, seed + number, amount))
        case "reroll":
            starts = [_reworded(canvas.cell(number + 1), canvas.prompt, wish.prompt) for number in CELLS]
            return of_four(lambda number: varied(starts[number], seed + number, 1))
        case "Inpaint":
            words = wish.prompt.text, canvas.prompt.text
            return of_four(lambda number: Redraw(single, wish.mask, *words, seed=seed + number))
    return _extended(press, single, seed, wish.prompt)


def _reworded(recipe: Recipe, before: Prompt, after: Prompt) -> Recipe:
    """Draw a picture of other words that stays near to this one."""
    if before.text == after.text:
        return recipe
    match recipe:
        case Scene():
            return msgspec.structs.replace(recipe, prompt=after.text)
        case Remix():
            return msgspec.structs.replace(recipe, scene=msgspec.structs.replace(recipe.scene, prompt=after.text))
    width, height = size_of(recipe)
    return Remix(Scene(after.text, 0, width, height, finish=FINISHES[after.niji]), recipe, 60)


def _extended(press: Press, single: Recipe, seed: int, prompt: Prompt) -> Grid:
    """Go on around a picture: zoom out, make square, pan."""
    size, place = _frame(press, size_of(single), prompt)
    scale = min(1.0, (PIXELS_MAX / (size[0] * size[1])) ** 0.5)
    width, height = (round(part * scale) for part in size)
    left, top, inner_width, inner_height = (round(part * scale) for part in place)
    inner = (left, top, min(inner_width, width - left), min(inner_height, height - top))
    return of_four(lambda number: Outpaint(single, width, height, inner, prompt.text, seed + number))


def _frame(press: Press, size: Size, prompt: Prompt) -> tuple[Size, tuple[int, int, int, int]]:
    """Return the new size, and where in it the picture is."""
    width, height = size
    match press.verb, press.index:
        case "pan_left", _:
            return (width * 3 // 2, height), (width // 2, 0, width, height)
        case "pan_right", _:
            return (width * 3 // 2, height), (0, 0, width, height)
        case "pan_up", _:
            return (width, height * 3 // 2), (0, height // 2, width, height)
        case "pan_down", _:
            return (width, height * 3 // 2), (0, 0, width, height)
        case "Outpaint", "100":
            side = max(size)
            return (side, side), ((side - width) // 2, (side - height) // 2, width, height)
        case "Outpaint", index:
            return size, _inside(size, size, 2 if index == "50" else 1.5)
    whole = prompt.size if "ar" in prompt.parameters else size
    return whole, _inside(whole, size, prompt.amount("zoom", 2))


def _inside(whole: Size, size: Size, zoom: float) -> tuple[int, int, int, int]:
    """Return where a picture is, seen from so many times as far."""
    scale = min(whole[0] / size[0], whole[1] / size[1]) / zoom
    width, height = round(size[0] * scale), round(size[1] * scale)
    return (whole[0] - width) // 2, (whole[1] - height) // 2, width, height


# Films


@dataclass(frozen=True)
class Motion:
    """How a picture is to move."""

    high: bool = False
    many: int = 4
    last: Source | None = None
    """The picture that the film ends with."""


def filmed(source: Source, text: str, seed: int, motion: Motion) -> list[Film]:
    """Let a picture move, in some ways."""
    size = size_of(source)
    scale = (FILM_PIXELS / (size[0] * size[1])) ** 0.5
    width, height = (max(2, round(part * scale / 2) * 2) for part in size)
    scene = Scene(text, seed, width, height)
    return [
        Film(scene, FILM_S, _camera(seed + number, motion.high), source, motion.last) for number in range(motion.many)
    ]


def _camera(seed: int, high: bool) -> dict[str, float]:
    """Move in every way, never by so little that nobody sees it."""
    dice, reach = Dice("film", seed), 9 if high else 4
    return {axis: round(dice.choice((-1, 1)) * reach * dice.between(0.4, 1), 2) for axis in ("pan", "tilt", "zoom")}


def longer(film: Film) -> list[Film]:
    """Let a film go on, at four speeds."""
    return [
        msgspec.structs.replace(
            film,
            seconds=film.seconds + EXTENSION_S,
            camera={axis: round(amount * speed, 2) for axis, amount in film.camera.items()},
        )
        for speed in (1, 0.8, 0.6, 0.4)
    ]


def enlarged(film: Film) -> Film:
    """Return a film of twice the size."""
    scene = msgspec.structs.replace(film.scene, width=film.scene.width * 2, height=film.scene.height * 2)
    return msgspec.structs.replace(film, scene=scene)
