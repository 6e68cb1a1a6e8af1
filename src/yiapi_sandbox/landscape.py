"""What lies behind the things of a picture: sky, light, mountains and ground."""

from yiapi_sandbox.brush import Brush
from yiapi_sandbox.dice import Dice
from yiapi_sandbox.palette import HARMONIES, Color, darker, lighter, mix
from yiapi_sandbox.reading import Idea

SKIES: dict[str, tuple[Color, ...]] = {
    "day": ((78, 150, 214), (142, 196, 236), (222, 238, 244)),
    "dawn": ((112, 136, 196), (232, 178, 190), (253, 222, 178)),
    "sunset": ((62, 60, 122), (206, 96, 116), (250, 164, 98), (255, 214, 140)),
    "night": ((12, 18, 48), (28, 42, 88), (62, 80, 128)),
    "storm": ((66, 76, 92), (112, 124, 140), (170, 178, 186)),
    "fog": ((176, 188, 196), (206, 214, 218), (228, 232, 232)),
    "space": ((8, 8, 26), (24, 18, 58), (52, 28, 82)),
}
GROUNDS: dict[str, tuple[Color, Color]] = {
    "sea": ((44, 124, 166), (18, 68, 112)),
    "beach": ((236, 214, 166), (214, 182, 128)),
    "snow": ((238, 244, 250), (196, 212, 230)),
    "desert": ((232, 188, 122), (200, 140, 84)),
    "city": ((96, 98, 110), (62, 62, 74)),
    "room": ((186, 140, 100), (140, 98, 68)),
    "meadow": ((140, 186, 96), (72, 130, 74)),
}
LIGHT = {"day": 0.0, "dawn": 0.12, "sunset": 0.28, "night": 0.62, "storm": 0.34, "fog": 0.06, "space": 0.5}
"""How far the ground is darkened."""


class Landscape:
    """One place at one time of day."""

    def __init__(self, idea: Idea, size: tuple[int, int], dice: Dice) -> None:
        self.idea, self.dice = idea, dice
        self.width, self.height = size
        self.unit = min(size)
        self.sky = idea.sky or dice.choice(("day", "day", "dawn", "sunset"))
        self.ground = idea.ground or "meadow"
        self.horizon = self.height * (dice.between(0.6, 0.68) if self.ground != "city" else 0.74)
        self.sun = (self.width * dice.between(0.18, 0.82), self.height * dice.between(0.14, 0.3))
        self.colors = self._tinted(SKIES[self.sky])
        self.near = tuple(mix(color, self.colors[0], LIGHT[self.sky]) for color in GROUNDS[self.ground])

    def _tinted(self, colors: tuple[Color, ...]) -> tuple[Color, ...]:
        return tuple(mix(color, tint, 0.4) for color in colors for tint in self.idea.tints[:1]) or colors

    def paint(self, brush: Brush) -> None:
        """Draw from far to near."""
        if self.ground == "room":
            self._room(brush)
            return
        brush.gradient(0, self.height if self.sky == "space" else self.horizon, self.colors)
        self._lights(brush)
        if "rainbow" in self.idea.extras:
            self._rainbow(brush)
        if self.sky == "space":
            self._planet(brush)
            return
        self._far(brush)
        {"sea": self._sea, "beach": self._beach, "city": self._city}.get(self.ground, self._land)(brush)
        self._weather(brush)

    def _lights(self, brush: Brush) -> None:
        dice, unit = self.dice, self.unit
        if self.sky in {"night", "space"} or "stars" in self.idea.extras:
            for _ in range(70):
                x, y = dice.between(0, self.width), dice.between(0, self.horizon)
                brush.disc(x, y, unit * dice.between(0.001, 0.0035), (255, 250, 230), dice.whole(120, 255))
        x, y = self.sun
        if self.sky == "sunset" or (self.sky == "dawn" and "moon" not in self.idea.extras):
            y = self.horizon - unit * 0.1
        self.sun = (x, y)
        if "moon" in self.idea.extras or self.sky == "night":
            self._glow(brush, (236, 236, 216), 0.075)
            brush.disc(x - unit * 0.02, y - unit * 0.01, unit * 0.014, (214, 214, 198))
            brush.disc(x + unit * 0.025, y + unit * 0.022, unit * 0.01, (214, 214, 198))
        elif "sun" in self.idea.extras or self.sky in {"day", "dawn", "sunset"}:
            self._glow(brush, (255, 232, 150) if self.sky == "day" else (255, 206, 120), 0.085)
        if "clouds" in self.idea.extras or self.sky in {"day", "dawn", "sunset", "storm"}:
            for _ in range(7 if "clouds" in self.idea.extras or self.sky == "storm" else 3):
                self._cloud(brush)

    def _glow(self, brush: Brush, color: Color, radius: float) -> None:
        x, y = self.sun
        for step in range(6, 0, -1):
            brush.disc(x, y, self.unit * radius * (1 + step * 0.35), color, 16)
        brush.disc(x, y, self.unit * radius, color)

    def _cloud(self, brush: Brush) -> None:
        dice = self.dice
        x, y = dice.between(0, self.width), dice.between(0.06, 0.42) * self.height
        size = self.unit * dice.between(0.05, 0.1)
        color = mix((255, 255, 255), self.colors[1], {"storm": 0.55, "sunset": 0.45, "dawn": 0.3}.get(self.sky, 0.05))
        for step in range(5):
            puff = size * dice.between(0.5, 1.0) * (1.3 - abs(step - 2) * 0.3)
            brush.oval(
                x + (step - 2) * size - puff, y - puff * 0.7, x + (step - 2) * size + puff, y + size * 0.35, color
            )

    def _rainbow(self, brush: Brush) -> None:
        bands = ((226, 70, 70), (244, 150, 60), (250, 222, 90), (96, 178, 96), (74, 130, 210), (124, 84, 180))
        for step, color in enumerate(bands):
            radius = self.width * 0.46 - step * self.unit * 0.016
            brush.ring(self.width / 2, self.horizon + self.unit * 0.06, radius, self.unit * 0.017, color, 150)

    def _planet(self, brush: Brush) -> None:
        dice, unit = self.dice, self.unit
        x, y, radius = self.width * dice.between(0.62, 0.86), self.height * dice.between(0.66, 0.84), unit * 0.26
        color = (
            self.idea.tints[0] if self.idea.tints else dice.choice(((214, 132, 92), (112, 150, 206), (170, 120, 190)))
        )
        brush.disc(x, y, radius, color)
        for step in range(4):
            bend = radius * (0.85 - 0.18 * step)
            brush.oval(
                x - bend,
                y - radius * (0.6 - 0.34 * step),
                x + bend,
                y - radius * (0.5 - 0.34 * step),
                lighter(color),
                70,
            )
        brush.ring(x, y, radius * 1.45, unit * 0.012, lighter(color), 120)

    def _ridge(self, brush: Brush, base: float, rise: float, color: Color, *, sharp: bool) -> None:
        dice, steps = self.dice, 9 if sharp else 6
        heights = [dice.between(0.25, 1.0) * rise * (1.25 if sharp and step % 2 else 0.7) for step in range(steps + 1)]
        points = [(self.width * step / steps, base - high) for step, high in enumerate(heights)]
        ends = [
            (self.width * 1.1, base),
            (self.width * 1.1, self.height),
            (-self.width * 0.1, self.height),
            (-self.width * 0.1, base),
        ]
        (brush.poly if sharp else brush.curve)([*points, *ends], color)
        if sharp and rise > self.height * 0.2:
            for (x, y), high in zip(points, heights, strict=True):
                if high > rise * 0.8:
                    cap = high * 0.22
                    brush.poly(
                        [(x, y), (x - cap * 0.62, y + cap), (x, y + cap * 0.75), (x + cap * 0.55, y + cap)],
                        (246, 248, 252),
                    )

    def _far(self, brush: Brush) -> None:
        haze, high = self.colors[-1], self.height
        if "mountains" in self.idea.extras:
            self._ridge(brush, self.horizon + 2, high * 0.3, mix((96, 108, 140), haze, 0.35), sharp=True)
            self._ridge(brush, self.horizon + 2, high * 0.17, mix((72, 88, 118), haze, 0.15), sharp=True)
        elif self.ground != "city":
            self._ridge(brush, self.horizon + 2, high * 0.08, mix(self.near[0], haze, 0.62), sharp=False)

    def _land(self, brush: Brush) -> None:
        brush.gradient(self.horizon, self.height, self.near)
        rise = self.height * 0.07
        self._ridge(brush, self.horizon + rise, rise, mix(self.near[0], self.near[1], 0.2), sharp=False)
        self._ridge(brush, self.height * 0.86, rise, mix(self.near[0], self.near[1], 0.75), sharp=False)
        if self.ground == "meadow":
            for _ in range(60):
                x, y = self.dice.between(0, self.width), self.dice.between(self.height * 0.84, self.height)
                tuft = self.unit * 0.02
                brush.poly([(x, y), (x + tuft * 0.3, y - tuft), (x + tuft * 0.5, y)], lighter(self.near[1], 0.12))

    def _sea(self, brush: Brush) -> None:
        brush.gradient(self.horizon, self.height, self.near)
        for _ in range(46):
            deep = self.dice.unit()
            y = self.horizon + (self.height - self.horizon) * deep
            x, wide = self.dice.between(0, self.width), self.unit * (0.02 + 0.1 * deep)
            brush.oval(x - wide, y, x + wide, y + self.unit * (0.002 + 0.006 * deep), lighter(self.near[0], 0.3), 110)
        for step in range(9):  # the light lies on the water below the sun
            y = self.horizon + (self.height - self.horizon) * (0.04 + step * 0.085)
            wide = self.unit * (0.07 + 0.012 * step) * self.dice.between(0.5, 1)
            brush.oval(
                self.sun[0] - wide, y, self.sun[0] + wide, y + self.unit * 0.008, lighter(self.colors[-1], 0.3), 130
            )

    def _beach(self, brush: Brush) -> None:
        sand, self.near = self.near, tuple(mix(color, self.colors[0], LIGHT[self.sky]) for color in GROUNDS["sea"])
        self._sea(brush)
        self.near, edge = sand, self.height * 0.82
        for lift, color in ((0.02, (250, 250, 246)), (0.0, sand[0])):
            self._ridge(brush, edge - lift * self.height, self.height * 0.04, color, sharp=False)

    def _city(self, brush: Brush) -> None:
        brush.gradient(self.horizon, self.height, self.near)
        dark = self.sky in {"night", "sunset", "storm"}
        for row, shade in ((0, 0.55), (1, 0.2)):
            x = -self.unit * 0.05
            while x < self.width:
                wide = self.unit * self.dice.between(0.07, 0.14)
                top = self.horizon - self.height * self.dice.between(0.14, 0.46 - row * 0.14)
                wall = mix(darker((98, 106, 128), LIGHT[self.sky]), self.colors[-1], shade * 0.6)
                brush.box(x, top, x + wide * 0.94, self.horizon, wall)
                self._windows(brush, (x, top, wide), (255, 222, 140) if dark else lighter(wall, 0.4))
                x += wide
        for step in range(9):
            x = self.width * (step + 0.25) / 9
            brush.box(x, self.height * 0.9, x + self.width * 0.05, self.height * 0.91, (236, 220, 160), 200)

    def _windows(self, brush: Brush, house: tuple[float, float, float], color: Color) -> None:
        x, top, wide = house
        step = self.unit * 0.026
        y = top + step
        while y < self.horizon - step:
            for column in range(max(1, int(wide / step) - 1)):
                if self.dice.unit() < 0.6:
                    left = x + step * (column + 0.5)
                    brush.box(left, y, left + step * 0.45, y + step * 0.5, color, 210)
            y += step

    def _room(self, brush: Brush) -> None:
        wall = self.idea.tints[0] if self.idea.tints else self.dice.choice(tuple(harmony[0] for harmony in HARMONIES))
        self.horizon = self.height * 0.7
        brush.gradient(0, self.horizon, (lighter(wall, 0.1), darker(wall, 0.12)))
        brush.gradient(self.horizon, self.height, self.near)
        left, top, unit = self.width * 0.64, self.height * 0.12, self.unit
        brush.box(left, top, left + unit * 0.26, top + unit * 0.3, (250, 250, 244))
        brush.box(left + unit * 0.012, top + unit * 0.012, left + unit * 0.248, top + unit * 0.288, SKIES["day"][1])
        brush.box(left + unit * 0.124, top, left + unit * 0.136, top + unit * 0.3, (250, 250, 244))
        brush.box(left, top + unit * 0.144, left + unit * 0.26, top + unit * 0.156, (250, 250, 244))
        brush.box(0, self.horizon - unit * 0.012, self.width, self.horizon, lighter(wall, 0.5))

    def _weather(self, brush: Brush) -> None:
        unit, dice = self.unit, self.dice
        if "snowfall" in self.idea.extras:
            for _ in range(90):
                brush.disc(
                    dice.between(0, self.width),
                    dice.between(0, self.height),
                    unit * dice.between(0.002, 0.006),
                    (255, 255, 255),
                    220,
                )
        if "rain" in self.idea.extras:
            for _ in range(90):
                x, y = dice.between(0, self.width), dice.between(0, self.height)
                brush.poly([(x, y), (x + unit * 0.003, y), (x - unit * 0.012, y + unit * 0.05)], (220, 230, 240), 120)
