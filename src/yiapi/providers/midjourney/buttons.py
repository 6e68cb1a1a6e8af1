"""What a button asks for: its ``customId`` says the action and with it the price."""

import re
from dataclasses import dataclass
from typing import Any

from yiapi.providers.midjourney.words import Refused

ECHO_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Button:
    """A kind of button. Pressed, it may open a window: then nothing is paid before the window is filled."""

    action: str
    sku: str
    quantity: int = 1


KINDS = tuple(
    (re.compile(pattern), Button(*kind))
    for pattern, *kind in (
        (r"MJ::JOB::upsample::[1-4]::", "UPSCALE", "mj_upscale"),
        (r"MJ::JOB::upsample_", "UPSCALE_HD", "mj_upscale_hd"),
        (r"MJ::JOB::variation::", "VARIATION", "mj_variation"),
        (r"MJ::JOB::low_variation::", "LOW_VARIATION", "mj_low_variation"),
        (r"MJ::JOB::high_variation::", "HIGH_VARIATION", "mj_high_variation"),
        (r"MJ::JOB::pan_", "PAN", "mj_pan"),
        (r"MJ::JOB::reroll::", "REROLL", "mj_reroll"),
        (r"MJ::JOB::video_virtual_upscale::", "UPSCALE", "mj_upscale"),  # one of the four films
        (r"MJ::JOB::(?:animate_|video)", "VIDEO", "mj_video"),
        (r"MJ::Outpaint::", "ZOOM", "mj_zoom"),
        (r"MJ::CustomZoom::", "CUSTOM_ZOOM", "mj_custom_zoom"),
        (r"MJ::Inpaint::", "INPAINT", "mj_inpaint"),
        (r"MJ::BOOKMARK::", "BOOKMARK", "mj_bookmark"),  # answers with the task that it is pressed on
        (r"MJ::Job::PicReader::all", "IMAGINE", "mj_pic_reader", 4),  # note Job, not JOB
        (r"MJ::Job::PicReader::[1-9]", "IMAGINE", "mj_pic_reader"),
        (r"MJ::Picread::Retry", "DESCRIBE", "mj_describe"),
        (r"MJ::Job::PromptAnalyzer::[1-9]", "IMAGINE", "mj_pic_reader"),
    )
)


def button_of(custom_id: str) -> Button:
    """Return what a button asks for. Raises Refused for a kind that is not known."""
    for pattern, button in KINDS:
        if pattern.match(custom_id):
            return button
    raise unknown(custom_id)


def unknown(custom_id: str) -> Refused:
    """Refuse a button as relays do."""
    return Refused(f"unknown_action:{custom_id[:ECHO_CHARACTERS_MAX]}")


def shown_on(answer: Any) -> list[str]:
    """Return the buttons of a task."""
    buttons = answer.get("buttons") if isinstance(answer, dict) else None
    found = (button.get("customId") for button in buttons or () if isinstance(button, dict))
    return [custom_id for custom_id in found if isinstance(custom_id, str)]


def named(answer: Any, action: str, index: int) -> str:
    """Return the button of a task that says in a ``customId`` what others say by number. Raises Refused."""
    word = {"UPSCALE": f"upsample::{index}::", "VARIATION": f"variation::{index}::", "REROLL": "reroll::"}[action]
    for custom_id in shown_on(answer):
        if custom_id.startswith(f"MJ::JOB::{word}"):
            return custom_id
    raise Refused("unknown_action")
