"""The brush: draws smooth forms, gradients and shapes onto a picture, at twice its size so that edges are soft."""

from collections.abc import Sequence

from PIL import Image, ImageDraw

from yiapi_sandbox.palette import Color, darker, lighter
from yiapi_sandbox.shapes import INK, LAMP, Shape

Point = tuple[float, float]

FINE_PIXELS_MAX = 1_500_000
"""Larger pictures are drawn at their own size; nobody sees the edges."""


class Brush:
    """Draws onto one picture in that picture's own coordinates."""

    def __init__(self, size: tuple[int, int], ground: Color | None = None) -> None:
        self.width, self.height = size
        self._fine = 2 if self.width * self.height <= FINE_PIXELS_MAX else 1
        canvas = (self.width * self._fine, self.height * self._fine)
        # A layer starts as nothing: transparent, and of a colour that does not shine through at its edges.
        self._image = Image.new("RGB", canvas, ground) if ground else Image.new("RGBA", canvas, (120, 120, 120, 0))
        self._draw = ImageDraw.Draw(self._image, "RGBA" if ground else None)

    def finished(self) -> Image.Image:
        """Return the picture at its own size."""
        return self._image.reduce(self._fine) if self._fine > 1 else self._image

    def gradient(self, top: float, bottom: float, colors: Sequence[Color]) -> None:
        """Fill the whole width between two heights, from the first colour to the last."""
        first, last = round(top * self._fine), round(bottom * self._fine)
        if last <= first:
            return
        strip = Image.new("RGB", (1, len(colors)))
        strip.putdata(list(colors))
        # Half a colour is cut off at either end, so that the gradient begins and ends with the pure colours.
        box = (0.0, 0.5, 1.0, len(colors) - 0.5) if len(colors) > 1 else None
        band = strip.resize((1, last - first), Image.Resampling.BILINEAR, box=box)
        self._image.paste(band.resize((self._image.width, last - first)), (0, first))

    def oval(self, left: float, top: float, right: float, bottom: float, color: Color, alpha: int = 255) -> None:
        """Fill an oval."""
        fine = self._fine
        self._draw.ellipse((left * fine, top * fine, right * fine, bottom * fine), fill=(*color, alpha))

    def disc(self, x: float, y: float, radius: float, color: Color, alpha: int = 255) -> None:
        """Fill a circle around a point."""
        self.oval(x - radius, y - radius, x + radius, y + radius, color, alpha)

    def box(self, left: float, top: float, right: float, bottom: float, color: Color, alpha: int = 255) -> None:
        """Fill a rectangle."""
        fine = self._fine
        self._draw.rectangle((left * fine, top * fine, right * fine, bottom * fine), fill=(*color, alpha))

    def poly(self, points: Sequence[Point], color: Color, alpha: int = 255) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * self._fine, y * self._fine) for x, y in points], fill=(*color, alpha))

    def curve(self, points: Sequence[Point], color: Color, alpha: int = 255) -> None:
        """Fill a closed form that runs smoothly through its points."""
        self.poly(smooth(points), color, alpha)

    def ring(self, x: float, y: float, radius: float, width: float, color: Color, alpha: int = 255) -> None:
        """Draw a circle's line."""
        fine, line = self._fine, max(1, round(width * self._fine))
        box = ((x - radius) * fine, (y - radius) * fine, (x + radius) * fine, (y + radius) * fine)
        self._draw.ellipse(box, outline=(*color, alpha), width=line)

    def shape(
        self, shape: Shape, *, left: float, top: float, size: float, color: Color | None = None, mirrored: bool = False
    ) -> None:
        """Draw a shape into a square, in its own colour or another one."""
        main = color or shape.color
        shades = {"main": main, "dark": darker(main, 0.28), "light": lighter(main, 0.38)}
        for form, role, numbers in shape.parts:
            fill = shades[role] if isinstance(role, str) else role
            if fill == INK and sum(main) < 180:
                fill = LAMP  # the eyes of a black cat
            xs = [1 - x if mirrored else x for x in numbers[::2]]
            points = [(left + x * size, top + y * size) for x, y in zip(xs, numbers[1::2], strict=True)]
            if form == "curve":
                self.curve(points, fill)
            elif form == "poly":
                self.poly(points, fill)
            else:
                (x1, y1), (x2, y2) = points
                draw = self.oval if form == "oval" else self.box
                draw(min(x1, x2), y1, max(x1, x2), y2, fill)


def smooth(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """Return a closed line through all points without corners (a Catmull-Rom spline)."""
    line: list[Point] = []
    count = len(points)
    for i in range(count):
        p0, p1, p2, p3 = (points[(i + k - 1) % count] for k in range(4))
        for step in range(steps):
            t = step / steps
            line.append((_between(p0[0], p1[0], p2[0], p3[0], t), _between(p0[1], p1[1], p2[1], p3[1], t)))
    return line


def _between(a: float, b: float, c: float, d: float, t: float) -> float:
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)
