"""Reading a Midjourney prompt: pictures at the front, words, parameters at the end. And shortening and naming things.

Contract: contracts/midjourney.md, sections 1.1, 2.1, 2.7 and 2.8.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from yiapi_sandbox import reading
from yiapi_sandbox.looking import Look, joined
from yiapi_sandbox.palette import NAMED

VERSIONS = ("1", "2", "3", "4", "5", "5.0", "5.1", "5.2", "6", "6.0", "6.1", "7", "7.0")
NIJI = ("4", "5", "6", "7")
VERSION, NIJI_VERSION = "7", "6"
ALIASES = {
    "v": "version", "aspect": "ar", "s": "stylize", "c": "chaos", "w": "weird", "q": "quality", "r": "repeat",
    "profile": "p",
}  # fmt: skip
NUMBERS = {
    "seed": (0, 2**32 - 1), "stylize": (0, 1000), "chaos": (0, 100), "weird": (0, 3000), "quality": (0.25, 4),
    "stop": (10, 100), "iw": (0, 3), "cw": (0, 100), "sw": (0, 1000), "ow": (0, 1000), "exp": (0, 100),
    "zoom": (1, 2), "repeat": (2, 40),
}  # fmt: skip
TEXTS = ("no", "style", "cref", "sref", "oref", "sv", "motion", "end", "bs")
SWITCHES = ("tile", "raw", "draft", "hd", "video", "loop", "stealth", "public", "p", "fast", "relax", "turbo")
RATIO_MAX = 14
BANNED_TEXT = (
    "blood bloody bloodbath gore gory corpse cadaver decapitate beheaded beheading massacre slaughter nude naked nsfw "
    "porn hentai suicide torture"
)
BANNED = frozenset(BANNED_TEXT.split())
CANDIDATES_MAX = 5

_STEERING = re.compile(r"#(?:delay|fail)=\S+|#once\b")
_PARAMETER = re.compile(r"(?:^|\s)--(\S*)")
_LINKS = re.compile(r"\s*<?(https?://[^\s<>]+)>?")
_RATIO = re.compile(r"(\d{1,4}):(\d{1,4})")
_NUMBER = re.compile(r"\d{1,10}(?:\.\d{1,4})?|\.\d{1,4}")
_WORD = re.compile(r"[a-z']+|[\u4e00-\u9fff]+", re.IGNORECASE)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_LITTLE_TEXT = (
    "a an and are as at be by for from in into is it its of off on one or over some that the their there this to under "
    "very was were which while who whose with really quite rather so such long winding slowly description picture "
    "image beautiful"
)
_LITTLE = frozenset(_LITTLE_TEXT.split())


@dataclass(frozen=True)
class Prompt:
    """What a prompt says."""

    text: str
    """Its words alone."""
    links: tuple[str, ...]
    parameters: Mapping[str, str]
    niji: bool
    version: str
    fault: str | None
    """What Midjourney will say of a bad parameter."""

    @cached_property
    def number(self) -> float:
        """The version as a number."""
        return float(self.version)

    @property
    def seed(self) -> int | None:
        """The seed that was asked for."""
        return int(self.parameters["seed"]) if "seed" in self.parameters and not self.fault else None

    @property
    def mode(self) -> str | None:
        """The speed that was asked for."""
        return next((mode.upper() for mode in ("fast", "relax", "turbo") if mode in self.parameters), None)

    def amount(self, name: str, default: float) -> float:
        """Return the number of a parameter."""
        return float(self.parameters[name]) if name in self.parameters and not self.fault else default

    @cached_property
    def size(self) -> tuple[int, int]:
        """How large each of the four pictures is; as old versions were, so is a draft."""
        side = 256 if self.number < 4 else 512 if self.number < 5 or "draft" in self.parameters else 1024
        ratio = _RATIO.fullmatch(self.parameters.get("ar", "1:1")) if not self.fault else None
        return sized((int(ratio[1]), int(ratio[2])) if ratio else (1, 1), side)


def sized(ratio: tuple[int, int], side: int) -> tuple[int, int]:
    """Return a size of a ratio that has as many pixels as a square of that side."""
    scale = (side * side / (ratio[0] * ratio[1])) ** 0.5
    width, height = (max(16, round(part * scale / 16) * 16) for part in ratio)
    return width, height


def parse(text: str, *, niji: bool = False) -> Prompt:
    """Read a prompt; what is wrong with it is told in the result."""
    text = _STEERING.sub(" ", text.replace("\u2014", "--"))
    head, *rest = _PARAMETER.split(text)
    links: list[str] = []
    while found := _LINKS.match(head):
        links.append(found[1])
        head = head[found.end() :]
    parameters: dict[str, str] = {}
    fault = None
    for name, value in zip(rest[::2], rest[1::2], strict=True):
        known = ALIASES.get(name, name)
        parameters[known] = value.strip()
        fault = fault or _fault(name, known, value.strip())
    niji = niji or "niji" in parameters
    wanted = parameters.get("niji") or (NIJI_VERSION if niji else parameters.get("version") or VERSION)
    version = wanted if wanted in (NIJI if niji else VERSIONS) else VERSION
    return Prompt(" ".join(head.split()), tuple(links), parameters, niji, version, fault)


def _fault(name: str, known: str, value: str) -> str | None:
    """Say what is wrong with a parameter."""
    good: bool
    if known == "ar":
        ratio = _RATIO.fullmatch(value)
        sides = sorted((int(ratio[1]), int(ratio[2]))) if ratio else [0, 0]
        good = sides[0] > 0 and sides[1] <= RATIO_MAX * sides[0]
    elif known in NUMBERS:
        low, high = NUMBERS[known]
        good = bool(_NUMBER.fullmatch(value)) and low <= float(value) <= high and (known != "seed" or "." not in value)
    elif known == "version":
        good = value in VERSIONS
    elif known == "niji":
        good = value in {"", *NIJI}
    elif known in TEXTS:
        good = bool(value)
    elif known in SWITCHES:
        good = True
    else:
        return f"[Invalid parameter] Unrecognized argument(s): --{name[:40]}"
    return None if good else f"[Invalid parameter] Invalid value provided for argument --{name}"


def banned(text: str) -> str | None:
    """Return the first banned word, as it was written."""
    return next((word for word in re.findall(r"[A-Za-z]+", text) if word.lower() in BANNED), None)


def chinese(text: str) -> str:
    """Return a text that has Chinese in it, or nothing."""
    return text if _CHINESE.search(text) else ""


# Shortening


def shortened(text: str) -> list[str]:
    """Return ever shorter ways to say what a prompt says, at most five."""
    words = [word for word in _WORD.findall(parse(text).text) if word.lower() not in _LITTLE]
    ranked = sorted(range(len(words)), key=lambda at: (-_weight(words[at].lower()), at))
    found: list[str] = []
    for part in (0.9, 0.7, 0.5, 0.3, 0.0):
        chosen = sorted(ranked[: max(1, round(len(words) * part))])
        candidate = " ".join(words[at] for at in chosen)
        if candidate and candidate not in found:
            found.append(candidate)
    return found[:CANDIDATES_MAX] or [parse(text).text[:100] or text.strip()[:100]]


def _weight(word: str) -> int:
    idea = reading.read(word)
    return 4 if idea.things else 3 if word in NAMED else 2 if not idea.is_abstract else 1


def analysis(candidates: Sequence[str]) -> str:
    """Write the block that a shortened prompt is found in."""
    return "\n".join(["Shortened prompts", *(f"{keycap(at)} {text}" for at, text in enumerate(candidates, 1))])


def keycap(number: int) -> str:
    """Write a number as a key of a telephone."""
    return f"{number}\ufe0f\u20e3"


# Describing


def described(look: Look, turn: int = 0) -> list[str]:
    """Say in four ways what is seen in a picture; another turn begins with another one."""
    ratio = Fraction(*look.size).limit_denominator(16)
    ratio = max(Fraction(1, RATIO_MAX), min(Fraction(RATIO_MAX), ratio))
    colors = joined(look.colors or [look.above])
    forms = joined(look.forms) if look.forms else f"an empty {look.above} ground"
    first = look.forms[0] if look.forms else f"a {look.above} surface"
    ways = [
        f"{forms}, {look.above} above and {look.below} below, flat illustration",
        f"a {look.shape} composition of {first}, {colors} palette, minimalism",
        f"{first}, clean edges, {look.below} ground, poster in {colors}",
        f"abstract forms in {colors}, {forms}, soft even light",
    ]
    end = f"--ar {ratio.numerator}:{ratio.denominator}"
    return [f"{ways[(turn + at) % len(ways)]} {end}" for at in range(len(ways))]


def enumerated(candidates: Sequence[str]) -> str:
    """Write candidates as a description shows them."""
    return "\n\n".join(f"{keycap(at)} {text}" for at, text in enumerate(candidates, 1))
