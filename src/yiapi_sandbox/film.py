"""Shooting a film: the scene with a moving camera and moving things, as an MP4 that every player plays."""

import math
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO

import av
import msgspec
from PIL import Image

from yiapi_sandbox import drawing
from yiapi_sandbox.recipes import Film, Source
from yiapi_sandbox.retouching import fitted

FRAMES_PER_SECOND = 8
ROOM = 1.16
"""The stage is larger than the film, so that the camera has somewhere to go."""


def shoot(film: Film, source: Callable[[Source], Image.Image]) -> bytes:
    """Shoot a film; the same recipe is the same film, byte by byte."""
    size = (film.scene.width, film.scene.height)
    stage = _stage(film, source)
    plate = drawing.mark(min(size))
    corner = (size[0] - plate.width - 6, size[1] - plate.height - 6)
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"preset": "superfast", "crf": "27"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.codec_context.time_base = Fraction(1, FRAMES_PER_SECOND)
        for number in range(frames(film.seconds)):
            image = _frame(film, stage, number / FRAMES_PER_SECOND)
            image.paste(plate, corner, plate)
            container.mux(stream.encode(av.VideoFrame.from_image(image)))  # type: ignore[no-untyped-call]
        container.mux(stream.encode(None))
    return file.getvalue()


def frames(seconds: float) -> int:
    """Return how many pictures a film has."""
    return max(1, round(seconds * FRAMES_PER_SECOND))


Stage = tuple[Image.Image, Image.Image | None, Image.Image | None]
"""What lies behind, what moves before it, and the picture that the film ends with."""


def _stage(film: Film, source: Callable[[Source], Image.Image]) -> Stage:
    size = (round(film.scene.width * ROOM), round(film.scene.height * ROOM))
    last = fitted(source(film.last), size) if film.last else None
    if film.source:
        return fitted(source(film.source), size), None, last
    if last:
        return last, None, None
    scene = film.scene
    back, front = drawing.layers(msgspec.structs.replace(scene, width=size[0], height=size[1]))
    return back, front, None


def _frame(film: Film, stage: Stage, at_s: float) -> Image.Image:
    back, front, last = stage
    done = at_s / film.seconds
    image = back.copy()
    if front:
        unit = min(back.size)
        sway = (round(unit * 0.06 * math.sin(at_s * 1.3)), round(unit * 0.02 * math.sin(at_s * 2.6)))
        image.paste(front, sway, front)
    if last:
        image = Image.blend(image, last, min(1.0, done * 1.15))
    return image.transform(
        (film.scene.width, film.scene.height),
        Image.Transform.AFFINE,
        _camera(film, back.size, done),
        Image.Resampling.BILINEAR,
    )


def _camera(film: Film, stage: tuple[int, int], done: float) -> tuple[float, float, float, float, float, float]:
    """Return what of the stage the camera sees: its middle, moved, turned and drawn near over time."""
    moves = film.camera or {"zoom": 4.0, "pan": 2.0}
    spare_x, spare_y = stage[0] - film.scene.width, stage[1] - film.scene.height
    amount = done - 0.5
    near = 1 - 0.012 * moves.get("zoom", 0.0) * amount
    angle = math.radians(1.2 * moves.get("roll", 0.0) * amount * 0.25)
    x = stage[0] / 2 + spare_x * 0.09 * (moves.get("pan", 0.0) + moves.get("horizontal", 0.0)) * amount
    y = stage[1] / 2 - spare_y * 0.09 * (moves.get("tilt", 0.0) + moves.get("vertical", 0.0)) * amount
    cos, sin = near * math.cos(angle), near * math.sin(angle)
    half_x, half_y = film.scene.width / 2, film.scene.height / 2
    return cos, -sin, x - cos * half_x + sin * half_y, sin, cos, y - sin * half_x - cos * half_y
