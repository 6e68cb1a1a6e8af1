"""Making a recipe whose picture resembles another recipe's: the same thing, thrown a little differently."""

import msgspec

from yiapi_sandbox.recipes import (
    Backdrop,
    Blend,
    Edit,
    Grid,
    Outpaint,
    Recipe,
    Redraw,
    Reframe,
    Remix,
    Scene,
    Shift,
    Source,
    Upscale,
)


def varied(recipe: Recipe, seed: int, amount: float) -> Recipe:
    """Return a variation: near 0 it is hardly to be told from the first, at 1 only the words are the same."""
    match recipe:
        case Scene():
            return _swayed(recipe, seed, amount)
        case Remix() | Backdrop() | Edit():
            return msgspec.structs.replace(recipe, scene=_swayed(recipe.scene, seed, amount))
        case Redraw():
            return msgspec.structs.replace(recipe, seed=seed)
        case Upscale() | Reframe():
            return msgspec.structs.replace(recipe, source=_varied(recipe.source, seed, amount))
        case Outpaint():
            return msgspec.structs.replace(recipe, source=_varied(recipe.source, seed, amount), seed=seed)
        case Blend():
            return msgspec.structs.replace(recipe, seed=seed)
        case Grid(cells):
            one, two, three, four = (varied(cell, seed + number, amount) for number, cell in enumerate(cells))
            return Grid((one, two, three, four))
    return Shift(recipe, seed, amount)


def _swayed(scene: Scene, seed: int, amount: float) -> Scene:
    return msgspec.structs.replace(scene, sways=(*scene.sways, (seed, amount)))


def _varied(source: Source, seed: int, amount: float) -> Source:
    return Shift(source, seed, amount) if isinstance(source, str) else varied(source, seed, amount)
