"""Lists: newest first, in pages, with a cursor that only we can read."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from yiapi.errors import InvalidRequest

LIMIT_DEFAULT = 20
LIMIT_MAX = 100
CURSOR_LENGTH_MAX = 500
START = (2**62, "")


def limit_of(request: Request, default: int = LIMIT_DEFAULT) -> int:
    """Read ``limit``, from 1 to 100. Raises InvalidRequest."""
    text = request.query_params.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= LIMIT_MAX):
        raise InvalidRequest(f"limit is a number from 1 to {LIMIT_MAX}.", param="limit")
    return int(text)


def before_of(request: Request) -> tuple[int, str]:
    """Read ``cursor``: the place after which a page begins. Raises InvalidRequest."""
    text = request.query_params.get("cursor")
    if not text:
        return START
    time_text, _, row_id = opened(text).partition(",")
    if not (time_text.isascii() and time_text.isdigit() and len(time_text) <= 16 and row_id):
        raise InvalidRequest("cursor is not one of ours.", param="cursor")
    return int(time_text), row_id


def page(items: Sequence[Any], limit: int, places: Sequence[tuple[int, str]]) -> dict[str, Any]:
    """Make a page of ``limit`` items; ``places`` are the times and ids of all that were found, up to one more."""
    cursor = None
    if len(places) > limit:
        time_ms, row_id = places[limit - 1]
        cursor = closed(f"{time_ms},{row_id}")
    return {"object": "list", "data": list(items[:limit]), "next_cursor": cursor}


def closed(place: str) -> str:
    """Write a place as a cursor."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def opened(cursor: str) -> str:
    """Read the place of a cursor. Raises InvalidRequest."""
    try:
        cursor = cursor[:CURSOR_LENGTH_MAX]
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = raw.decode()
    except (ValueError, binascii.Error) as error:
        raise InvalidRequest("cursor is not one of ours.", param="cursor") from error
    if not place.isprintable():
        raise InvalidRequest("cursor is not one of ours.", param="cursor")
    return place
