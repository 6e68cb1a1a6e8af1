"""Colours: their names in both languages, mixing them, and naming one that was seen."""

import colorsys

Color = tuple[int, int, int]

NAMED: dict[str, Color] = {
    "red": (214, 58, 50), "crimson": (176, 30, 52), "orange": (240, 138, 44), "gold": (226, 178, 60),
    "yellow": (248, 212, 76), "green": (84, 158, 82), "lime": (166, 208, 72), "olive": (128, 132, 62),
    "emerald": (34, 150, 110), "teal": (32, 136, 142), "turquoise": (64, 196, 190), "cyan": (86, 206, 222),
    "azure": (78, 160, 226), "blue": (58, 108, 200), "navy": (30, 48, 104), "indigo": (70, 62, 154),
    "purple": (130, 74, 168), "violet": (152, 104, 206), "lavender": (190, 172, 228), "magenta": (206, 62, 148),
    "pink": (244, 156, 184), "brown": (130, 86, 54), "beige": (226, 208, 176), "cream": (248, 238, 214),
    "white": (248, 248, 244), "silver": (192, 198, 206), "gray": (136, 140, 146), "grey": (136, 140, 146),
    "black": (38, 38, 44),
    "红": (214, 58, 50), "橙": (240, 138, 44), "金": (226, 178, 60), "黄": (248, 212, 76), "绿": (84, 158, 82),
    "青": (64, 196, 190), "蓝": (58, 108, 200), "紫": (130, 74, 168), "粉": (244, 156, 184), "棕": (130, 86, 54),
    "白": (248, 248, 244), "灰": (136, 140, 146), "黑": (38, 38, 44),
}  # fmt: skip

HARMONIES: tuple[tuple[Color, ...], ...] = (
    ((244, 241, 222), (224, 122, 95), (61, 64, 91), (129, 178, 154), (242, 204, 143)),
    ((247, 237, 226), (245, 202, 195), (132, 165, 157), (242, 132, 130), (246, 189, 96)),
    ((237, 246, 249), (0, 109, 119), (131, 197, 190), (255, 221, 210), (226, 149, 120)),
    ((250, 243, 221), (38, 70, 83), (42, 157, 143), (233, 196, 106), (231, 111, 81)),
    ((241, 250, 238), (29, 53, 87), (69, 123, 157), (168, 218, 220), (230, 57, 70)),
    ((253, 240, 213), (120, 0, 0), (193, 18, 31), (0, 48, 73), (102, 155, 188)),
)
"""Five colours that go together, the first for the ground they lie on."""

_HUES = (
    (15, "red"), (42, "orange"), (66, "yellow"), (165, "green"), (195, "teal"), (255, "blue"), (290, "purple"),
    (345, "pink"), (361, "red"),
)  # fmt: skip


def mix(one: Color, other: Color, part: float) -> Color:
    """Return one, with that part of the other in it."""
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(one, other, strict=True))
    return red, green, blue


def lighter(color: Color, part: float = 0.35) -> Color:
    """Mix with white."""
    return mix(color, (255, 255, 255), part)


def darker(color: Color, part: float = 0.35) -> Color:
    """Mix with a dark blue, which is kinder than black."""
    return mix(color, (16, 18, 36), part)


def from_hex(text: str) -> Color:
    """Read ``#RGB`` or ``#RRGGBB``."""
    digits = text.lstrip("#")
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    return int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def name(color: Color) -> str:
    """Say what colour this is, in one or two words."""
    hue, light, full = colorsys.rgb_to_hls(*(part / 255 for part in color))
    if light > 0.93:
        return "white"
    if light < 0.1:
        return "black"
    if full < 0.13 or (light > 0.85 and full < 0.3):
        return "light gray" if light > 0.65 else "dark gray" if light < 0.35 else "gray"
    word = next(word for end, word in _HUES if hue * 360 < end)
    if word == "orange" and light < 0.42:
        return "brown" if light > 0.2 else "dark brown"
    return f"light {word}" if light > 0.7 else f"dark {word}" if light < 0.3 else word
