"""The buttons below a Midjourney picture: which there are, and what pressing one means.

Contract: contracts/midjourney.md, sections 1.2, 1.3 and 2.4.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from yiapi_sandbox.vendors.midjourney_prompts import keycap

Kind = Literal["grid", "single", "large", "films", "film", "description", "analysis", "none"]
"""What a task's result is, from which its buttons follow."""

NORMAL, USED = 2, 3
PANS = {"pan_left": "⬅️", "pan_right": "➡️", "pan_up": "⬆️", "pan_down": "⬇️"}
ANIMATIONS = (("high", "Animate (High motion)"), ("low", "Animate (Low motion)"))
EXTENSIONS = (("high", "Extend (High motion)"), ("low", "Extend (Low motion)"))
WINDOWS = ("CustomZoom", "Inpaint", "PicReader", "PromptAnalyzer")
"""These always open a window."""
REMIXED = ("variation", "reroll", *PANS)
"""These open one where Remix is on."""

ACTIONS = {
    "upsample": "UPSCALE", "variation": "VARIATION", "reroll": "REROLL", "low_variation": "VARIATION",
    "high_variation": "VARIATION", "Inpaint": "VARIATION", "Outpaint": "ZOOM", "CustomZoom": "ZOOM",
    "animate_high": "VIDEO", "animate_low": "VIDEO", "animate_high_extend": "VIDEO", "animate_low_extend": "VIDEO",
    "video_virtual_upscale": "VIDEO", "PicReader": "IMAGINE", "PromptAnalyzer": "IMAGINE", "Picread": "DESCRIBE",
    **dict.fromkeys(PANS, "PAN"),
}  # fmt: skip
SKUS = {
    "upsample": "mj_upscale", "variation": "mj_variation", "reroll": "mj_reroll", "low_variation": "mj_low_variation",
    "high_variation": "mj_high_variation", "Outpaint": "mj_zoom", "PicReader": "mj_pic_reader",
    "PromptAnalyzer": "mj_pic_reader", "Picread": "mj_describe", "animate_high": "mj_video",
    "animate_low": "mj_video", "animate_high_extend": "mj_video", "animate_low_extend": "mj_video",
    "video_virtual_upscale": "mj_upscale", "Inpaint": "mj_inpaint", "CustomZoom": "mj_custom_zoom",
    **dict.fromkeys(PANS, "mj_pan"),
}  # fmt: skip
PRICES_NANO = {
    "mj_describe": 50_000_000, "mj_upscale": 50_000_000, "swap_face": 50_000_000, "mj_upload": 50_000_000,
    "mj_video": 800_000_000, "mj_inpaint": 0, "mj_custom_zoom": 0,
}  # fmt: skip
PRICE_NANO = 100_000_000
"""Of everything else."""


@dataclass(frozen=True)
class Press:
    """What a pressed button asks for."""

    verb: str
    index: str
    """Which of several, or how far."""

    @property
    def action(self) -> str:
        """The name that a task of it gets."""
        return "UPSCALE_HD" if self.is_enlarging else ACTIONS[self.verb]

    @property
    def sku(self) -> str:
        """What it is billed as."""
        return "mj_upscale_hd" if self.is_enlarging else SKUS[self.verb]

    @property
    def is_enlarging(self) -> bool:
        """Whether it makes one picture larger than it is."""
        return self.verb.startswith("upsample_")

    def opens(self, *, remix: bool) -> bool:
        """Whether it opens a window instead of beginning at once."""
        return (self.verb in WINDOWS and self.index != "all") or (remix and self.verb in REMIXED)


def read(custom_id: str) -> Press:
    """Read the id of a button of ours."""
    _, family, *rest = custom_id.split("::")
    if family in {"JOB", "Job"}:
        family, *rest = rest
    return Press(family, rest[0] if rest else "")


@dataclass(frozen=True)
class Face:
    """What buttons depend on."""

    kind: Kind
    job: str
    """The UUID of the job."""
    version: float
    is_square: bool
    many: int = 0
    """How many candidates there are."""


def below(face: Face, used: Collection[str]) -> list[dict[str, Any]]:
    """Return the buttons in the order in which they are shown."""
    rows = [(f"MJ::{name}", label, emoji) for name, label, emoji in _rows(face)]
    return [
        {"customId": name, "emoji": emoji, "label": label, "type": 2, "style": USED if name in used else NORMAL}
        for name, label, emoji in rows
    ]


Row = tuple[str, str, str]


def _rows(face: Face) -> list[Row]:
    job = face.job
    match face.kind:
        case "grid":
            scaled = [(f"JOB::upsample::{n}::{job}", f"U{n}", "") for n in range(1, 5)]
            turned = [(f"JOB::variation::{n}::{job}", f"V{n}", "") for n in range(1, 5)]
            return [*scaled, _reroll(job), *turned]
        case "single":
            return [*_scalings(face), *_changes(face), (f"BOOKMARK::{job}", "", "❤️"), *_animations(job), _reroll(job)]
        case "large":
            return [*_changes(face), *_animations(job), _reroll(job)]
        case "films":
            return [(f"JOB::video_virtual_upscale::{n}::{job}", f"U{n}", "") for n in range(1, 5)]
        case "film":
            return [(f"JOB::animate_{level}_extend::1::{job}", label, "🎞️") for level, label in EXTENSIONS]
        case "description":
            numbered = [(f"Job::PicReader::{n}", "", keycap(n)) for n in range(1, face.many + 1)]
            return [*numbered, ("Job::PicReader::all", "Imagine all", "🎉"), ("Picread::Retry", "", "🔄")]
        case "analysis":
            return [(f"Job::PromptAnalyzer::{n}", "", keycap(n)) for n in range(1, face.many + 1)]
    return []


def _reroll(job: str) -> Row:
    return f"JOB::reroll::0::{job}::SOLO", "", "🔄"


def _scalings(face: Face) -> list[Row]:
    """Return the ways to make a picture larger; the oldest versions have none."""
    version, end = face.version, f"1::{face.job}::SOLO"
    if version < 5:
        return []
    if version < 6:
        return [(f"JOB::upsample_v5_{n}x::{end}", f"Upscale ({n}x)", "upscale_1") for n in (2, 4)]
    name = "v7" if version >= 7 else "v6r1" if version > 6 else "v6"
    return [
        (f"JOB::upsample_{name}_2x_{way}::{end}", f"Upscale ({way.title()})", "upscale_1")
        for way in ("subtle", "creative")
    ]


def _changes(face: Face) -> list[Row]:
    end = f"1::{face.job}::SOLO"
    rows: list[Row] = [
        (f"JOB::low_variation::{end}", "Vary (Subtle)", "🪄"),
        (f"JOB::high_variation::{end}", "Vary (Strong)", "🪄"),
    ]
    if face.version < 5:
        return rows
    rows += [
        (f"Inpaint::{end}", "Vary (Region)", "🖌️"),
        (f"Outpaint::50::{end}", "Zoom Out 2x", "🔍"),
        (f"Outpaint::75::{end}", "Zoom Out 1.5x", "🔍"),
    ]
    if not face.is_square:
        rows.append((f"Outpaint::100::{end}", "Make Square", "↔️"))
    rows.append((f"CustomZoom::1::{face.job}", "Custom Zoom", "🔍"))
    return [*rows, *((f"JOB::{name}::{end}", "", emoji) for name, emoji in PANS.items())]


def _animations(job: str) -> list[Row]:
    return [(f"JOB::animate_{level}::1::{job}::SOLO", label, "🎞️") for level, label in ANIMATIONS]
