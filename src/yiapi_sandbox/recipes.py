"""What is needed to make a result again: a recipe is small, is kept, and always makes the same bytes.

A source is the digest of a picture that a caller sent, or another recipe: so what was drawn can be drawn on.
"""

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias, Union

import msgspec

Source: TypeAlias = Union[str, "Recipe"]
Finish = Literal["plain", "rich", "ink"]


class Scene(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A picture drawn from words."""

    prompt: str
    seed: int
    width: int
    height: int
    negative: str = ""
    colors: tuple[str, ...] = ()
    """A palette that the caller wants, as ``#RRGGBB``."""
    sways: tuple[tuple[int, float], ...] = ()
    """What makes it a variation of another scene: a seed, and from 0 to 1 how far it goes from the scene before."""
    finish: Finish = "plain"
    """``rich`` adds small things around and light; ``ink`` draws lines round everything as well."""


class Remix(msgspec.Struct, frozen=True, tag=True):
    """A scene that starts from a picture; the weight in percent says how much of it stays."""

    scene: Scene
    source: Source
    weight: int


class Upscale(msgspec.Struct, frozen=True, tag=True):
    """The very picture, enlarged."""

    source: Source
    factor: int


class Edit(msgspec.Struct, frozen=True, tag=True):
    """A picture with a scene where the mask is black."""

    scene: Scene
    source: Source
    mask: str


class Reframe(msgspec.Struct, frozen=True, tag=True):
    """A picture continued beyond its edges."""

    source: Source
    width: int
    height: int


class Backdrop(msgspec.Struct, frozen=True, tag=True):
    """What stands in a picture, before a scene."""

    scene: Scene
    source: Source


class TryOn(msgspec.Struct, frozen=True, tag=True):
    """A person in other clothes."""

    person: str
    cloth: str


class Film(msgspec.Struct, frozen=True, tag=True):
    """A film of a scene, or of a picture that may turn into another one."""

    scene: Scene
    seconds: float
    camera: Mapping[str, float] = {}
    """``pan``, ``tilt``, ``zoom`` and ``roll``, each from -10 to 10."""
    source: Source | None = None
    last: Source | None = None


class Photo(msgspec.Struct, frozen=True, tag=True):
    """A picture that a caller sent, as it is."""

    source: str


class Shift(msgspec.Struct, frozen=True, tag=True):
    """A picture slightly turned, and in slightly other colours."""

    source: Source
    seed: int
    amount: float


class Grid(msgspec.Struct, frozen=True, tag=True):
    """Four pictures of one size as one, in rows."""

    cells: "tuple[Recipe, Recipe, Recipe, Recipe]"


class Outpaint(msgspec.Struct, frozen=True, tag=True):
    """A larger picture that shows a picture at some place (left, top, width, height) and goes on around it."""

    source: Source
    width: int
    height: int
    place: tuple[int, int, int, int]
    prompt: str
    seed: int


class Redraw(msgspec.Struct, frozen=True, tag=True):
    """A picture with something else where the mask, a sent picture, is white."""

    source: Source
    mask: str
    prompt: str
    """What is to be there."""
    before: str
    """What the picture was drawn from."""
    seed: int


class Blend(msgspec.Struct, frozen=True, tag=True):
    """Several pictures as one."""

    sources: tuple[Source, ...]
    width: int
    height: int
    seed: int


class Swap(msgspec.Struct, frozen=True, tag=True):
    """A picture with the face of another one."""

    face: Source
    target: Source


class Preview(msgspec.Struct, frozen=True, tag=True):
    """A picture that is not finished: the more percent are done, the clearer."""

    source: Source
    percent: int


Drawn = Scene | Remix | Upscale | Edit | Reframe | Backdrop | TryOn
Recipe = Drawn | Photo | Shift | Grid | Outpaint | Redraw | Blend | Swap | Preview | Film


class Result(msgspec.Struct, frozen=True):
    """A recipe and the form of file that it is served in: ``png``, ``jpeg``, ``webp`` or ``mp4``."""

    recipe: Recipe
    form: str = "png"


CONTENT_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "mp4": "video/mp4"}

_PICTURES = ("source", "mask", "person", "cloth", "last", "face", "target")
_MANY = ("cells", "sources")


def sent(recipe: Source) -> Iterator[str]:
    """Find the digests of all sent pictures that a recipe needs."""
    waiting: list[Source | None] = [recipe]
    while waiting:
        found = waiting.pop()
        if isinstance(found, str):
            yield found
        elif found is not None and not isinstance(found, Scene):  # what most are, and it needs nothing
            waiting += [getattr(found, name, None) for name in _PICTURES]
            waiting += [each for name in _MANY for each in getattr(found, name, ())]
