"""How a relay of this protocol refuses: a word, a blank, what there is to say, and a blank again if that is nothing."""

import re
from typing import Any

from yiapi.providers.contract import FieldMissing, InvalidRequest, StationError

WORDS = {
    "insufficient_quota": "quota_not_enough",
    "no_channel_available": "get_channel_info_failed",
    "upstream_error": "do_request_failed",
    "upstream_invalid_response": "do_request_failed",
    "upstream_timeout": "do_request_failed",
    "invalid_request": "bind_request_body_failed",
}
TYPE_BY_STATUS = {401: "invalid_request_error", 403: "permission_error"}


class Refused(InvalidRequest):
    """Refused here, in the word that clients of this protocol know."""


def envelope(error: StationError, request_id: str) -> Any:
    """Say an error as relays do: a bad key in OpenAI's envelope, a vendor's refusal by code as it came."""
    if error.vendor is not None and error.vendor.answer is not None:
        return error.vendor.answer
    if error.status in TYPE_BY_STATUS:
        said = {"message": error.message, "type": TYPE_BY_STATUS[error.status], "param": error.param}
        return {"error": {**said, "code": error.code, "request_id": request_id}}
    code = 30 if error.status == 429 else 4 if error.status < 500 else 5
    return {"description": _description(error), "type": "upstream_error", "code": code}


def _description(error: StationError) -> str:
    if isinstance(error, Refused):
        return f"{error.message} "
    if isinstance(error, FieldMissing) and error.param:
        return f"{snake(error.param)}_is_required "
    return f"{WORDS.get(error.code, error.code)} {error.message}"


def snake(name: str) -> str:
    """Write ``taskId`` as ``task_id``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
