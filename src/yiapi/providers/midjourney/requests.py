"""What callers send. Only what routing, price and safety need has a name here; all else goes up as it came."""

import re
from typing import Annotated, Any

from msgspec import Meta

from yiapi.providers.contract import Earlier, Request, Status, Unit, Usage
from yiapi.providers.midjourney.buttons import button_of, shown_on, unknown
from yiapi.providers.midjourney.words import Refused

CONTENT = re.compile(r"(?P<task>\S+) (?:(?P<letter>[UV])(?P<index>[1-4])|R)", re.IGNORECASE)
BY_LETTER = {"U": "UPSCALE", "V": "VARIATION", None: "REROLL"}
SKUS = {"UPSCALE": "mj_upscale", "VARIATION": "mj_variation", "REROLL": "mj_reroll"}
TaskId = Annotated[str, Meta(examples=["1744012345678123"])]
PICTURE = "data:image/png;base64,iVBORw0KGgo…"
Picture = Annotated[str | None, Meta(examples=[PICTURE])]
Pictures = Annotated[list[str] | None, Meta(examples=[[PICTURE, PICTURE]])]
WINDOW_SKUS = frozenset({"mj_pic_reader", "mj_video"})  # paid when filled, at the price of what opened the window


class Submission(Request, rename="camel"):
    """What every submission has; ``state`` comes back with the task."""

    state: str | None = None
    notify_hook: str | None = None
    bot_type: str | None = None

    def priced(self, sku: str, quantity: int = 1) -> Usage:
        """Count a call; an operator may price each speed otherwise."""
        speed = self.path_values.get("speed")
        return Usage(f"{sku}:{speed}" if speed else sku, Unit.CALL, quantity)

    def noted(self) -> dict[str, Any]:
        """Return what is shown of the task until the vendor is asked."""
        return {"state": self.state, "botType": self.bot_type}


class Imagine(Submission, kw_only=True):
    """A grid of four pictures from words, and from pictures if there are any."""

    prompt: str
    base64_array: list[str] | None = None
    base64: str | None = None  # the oldest kind of vendor has this one

    def __post_init__(self) -> None:
        """Refuse a prompt that says nothing."""
        if not self.prompt.strip():
            raise Refused("prompt_is_required")

    def noted(self) -> dict[str, Any]:
        """Add the prompt."""
        told = {"action": "IMAGINE", "prompt": self.prompt, "promptEn": self.prompt}
        return super().noted() | told | {"description": f"/imagine {self.prompt}"}


class Shorten(Imagine):
    """Shorter candidates for a prompt."""

    def noted(self) -> dict[str, Any]:
        """Say what it is."""
        return super().noted() | {"action": "SHORTEN", "description": f"/shorten {self.prompt}"}


class Blend(Submission):
    """Two to five pictures become a grid; how many it may be is the vendor's to say."""

    base64_array: Pictures = None

    def noted(self) -> dict[str, Any]:
        """Say what it is."""
        return super().noted() | {"action": "BLEND"}


class Describe(Submission):
    """Four prompts for a picture."""

    base64: Picture = None
    link: str | None = None

    def noted(self) -> dict[str, Any]:
        """Say what it is."""
        return super().noted() | {"action": "DESCRIBE"}


class Action(Submission, kw_only=True):
    """A button is pressed."""

    task_id: TaskId
    custom_id: Annotated[str, Meta(examples=["MJ::JOB::upsample::2::3dbbd469-36af-4a0f-8f02-df6c579e7011"])]

    def __post_init__(self) -> None:
        """Refuse blanks."""
        _need(task_id=self.task_id, custom_id=self.custom_id)

    def noted(self) -> dict[str, Any]:
        """Say what the button asks for."""
        return super().noted() | {"action": button_of(self.custom_id).action}


class Change(Submission, kw_only=True):
    """A picture of a grid by its number. Relays want a number for a reroll too."""

    task_id: TaskId
    action: Annotated[str, Meta(examples=["UPSCALE"])]
    index: int

    def __post_init__(self) -> None:
        """Refuse what cannot be a button."""
        _need(task_id=self.task_id, action=self.action)
        if self.action not in SKUS:
            raise Refused("unknown_action")
        if self.index == 0:
            raise Refused("index_is_required")
        if not 1 <= self.index <= 4:
            raise Refused("index_parse_failed")

    def noted(self) -> dict[str, Any]:
        """Write the command as vendors do, with our id."""
        what = "R" if self.action == "REROLL" else f"{self.action[0]}{self.index}"
        return super().noted() | {"action": self.action, "description": f"/up {self.task_id} {what}"}


class SimpleChange(Submission, kw_only=True):
    """The same in one text: ``<task id> U2``, with one blank."""

    content: Annotated[str, Meta(examples=["1744012345678123 U2"])]

    def __post_init__(self) -> None:
        """Refuse another form."""
        _need(content=self.content)
        if CONTENT.fullmatch(self.content) is None:
            raise Refused("content_parse_failed")

    @property
    def task_id(self) -> str:
        """Return our id of the task."""
        return self.content.partition(" ")[0]

    @property
    def command(self) -> str:
        """Return what is to be done, as it was written."""
        return self.content.partition(" ")[2]

    @property
    def action(self) -> str:
        """Return the action that the letter means."""
        letter = self.command[0].upper()
        return BY_LETTER.get(letter, BY_LETTER[None])

    @property
    def index(self) -> int:
        """Return the number of the picture."""
        return int(self.command[1:] or 1)

    def noted(self) -> dict[str, Any]:
        """Write the command as vendors do, with our id."""
        return super().noted() | {"action": self.action, "description": f"/up {self.task_id} {self.command.upper()}"}


class Modal(Submission, kw_only=True):
    """What fills a window."""

    task_id: TaskId
    prompt: str | None = None
    mask_base64: str | None = None

    def __post_init__(self) -> None:
        """Refuse a blank."""
        _need(task_id=self.task_id)

    def noted(self) -> dict[str, Any]:
        """Add the prompt that the window was filled with."""
        return super().noted() | {"prompt": self.prompt, "promptEn": self.prompt}


class Swap(Submission):
    """A face onto a picture; each may be a link for one kind of vendor."""

    source_base64: Picture = None
    target_base64: Picture = None
    source_url: str | None = None
    target_url: str | None = None

    def __post_init__(self) -> None:
        """Refuse half of it."""
        if not (self.source_base64 or self.source_url) or not (self.target_base64 or self.target_url):
            raise Refused("sour_base64_and_target_base64_is_required")  # spelt so by every relay

    def noted(self) -> dict[str, Any]:
        """Say what it is."""
        return super().noted() | {"action": "SWAP_FACE", "prompt": "InsightFace", "botType": "INSIGHT_FACE"}


class Upload(Submission):
    """Pictures for later prompts."""

    base64_array: Pictures = None


class Ids(Request):
    """Which tasks are meant."""

    ids: Annotated[list[str] | None, Meta(examples=[["1744012345678123"]])] = None


def _need(**fields: str) -> None:
    for name, value in fields.items():
        if not value.strip():
            raise Refused(f"{name}_is_required")


# Usage


def pressed(request: Action) -> Usage:
    """Count a button; what it opens is free until it is filled, and its hold is given back."""
    button = button_of(request.custom_id)
    return request.priced(button.sku, button.quantity)


def changed(request: Change | SimpleChange) -> Usage:
    """Count an action by number."""
    return request.priced(SKUS[request.action])


def filled(request: Modal, window: Earlier) -> Usage:
    """Count what fills a window, by what opened it."""
    return request.priced(window.model if window.model in WINDOW_SKUS else "mj_modal")


# What the earlier task must allow


def must_be_done(request: Any, earlier: Earlier) -> None:
    """Refuse to go on from what is not finished."""
    del request
    if earlier.status is not Status.SUCCEEDED:
        raise Refused("task_status_not_success")


def must_have_button(request: Action, earlier: Earlier) -> None:
    """Refuse a button that this task does not have: so nobody presses another caller's."""
    must_be_done(request, earlier)
    if request.custom_id not in shown_on(earlier.answer):
        raise unknown(request.custom_id)
