"""What goes up to one channel: the vendor's ids, its kind of vendor, and what its operator lets pass."""

import re
from collections.abc import Mapping
from typing import Any

from yiapi.providers.contract import REMOVED, Earlier, Outgoing, edit
from yiapi.providers.midjourney.buttons import named
from yiapi.providers.midjourney.requests import Action, Change, SimpleChange

ACTION_PATH = "/mj/submit/action"
SPEED_FLAGS = re.compile(r"--(?:fast|relax|turbo)(?![\w-])")
KEPT_HERE = {"notifyHook": "forward_hook", "accountFilter": "forward_account_filter"}
"""Fields that stay here, and the setting of a channel that lets each pass."""


def fit(request: Any, outgoing: Outgoing, settings: Mapping[str, Any], earlier: Earlier | None) -> Outgoing:
    """Fit a submission to a channel."""
    changes: dict[str, Any] = {
        name: REMOVED
        for name, setting in KEPT_HERE.items()
        if not is_on(settings, setting) and f'"{name}"'.encode() in outgoing.body
    }
    prompt = getattr(request, "prompt", None)
    if is_on(settings, "clear_mode") and isinstance(prompt, str):
        changes["prompt"] = SPEED_FLAGS.sub("", prompt)
    path = outgoing.path
    if earlier is not None:
        changes |= going_on(request, earlier)
        if settings.get("kind") == "trueai" and isinstance(request, Change | SimpleChange):
            path = ACTION_PATH  # this kind lost both; the text names one of the earlier task's buttons
            changes |= as_button(request, earlier)
    return Outgoing(path=at_speed(request.path_values, path), body=edit(outgoing.body, changes))


def going_on(request: Any, earlier: Earlier) -> dict[str, Any]:
    """Write the vendor's id where ours was."""
    if isinstance(request, SimpleChange):
        return {"content": f"{earlier.vendor_id} {request.command}"}
    changes: dict[str, Any] = {"taskId": earlier.vendor_id}
    if isinstance(request, Action) and earlier.upward(request.custom_id) != request.custom_id:
        changes["customId"] = earlier.upward(request.custom_id)
    return changes


def as_button(request: Change | SimpleChange, earlier: Earlier) -> dict[str, Any]:
    """Press the button that the text names. Raises Refused when the earlier task has none."""
    custom_id = named(earlier.answer, request.action, request.index)
    gone = dict.fromkeys(("content", "action", "index"), REMOVED)
    return gone | {"taskId": earlier.vendor_id, "customId": earlier.upward(custom_id)}


def at_speed(path_values: Mapping[str, str], path: str) -> str:
    """Keep the prefix of a speed: both kinds of vendor understand it."""
    speed = path_values.get("speed")
    return f"/mj-{speed}{path}" if speed else path


def serves(request: Any, settings: Mapping[str, Any]) -> bool:
    """Whether a channel is for the speed that was asked for; one that names no speeds is for all."""
    speed, speeds = request.path_values.get("speed"), settings.get("modes")
    if isinstance(speeds, str):
        speeds = speeds.split(",")
    return not speed or not speeds or speed in [str(one).strip().lower() for one in speeds]


def is_on(settings: Mapping[str, Any], name: str) -> bool:
    """Whether a setting of a channel is on; on the command line it is a word."""
    return str(settings.get(name, False)).lower() in {"true", "yes", "on", "1"}
