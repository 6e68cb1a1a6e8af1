"""Reading small JSON bodies, with a limit on size and on time."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import Request

from yiapi.errors import InvalidRequest, PayloadTooLarge, RequestTimeout, UnsupportedMediaType

T = TypeVar("T")

BODY_BYTES_MAX = 10 * 1024 * 1024
JSON_TYPES = ("", "application/json")


async def read_json(request: Request, shape: type[T], *, limit_s: float) -> T:
    """Read a body of this shape.

    Raises InvalidRequest with the field, UnsupportedMediaType, PayloadTooLarge, RequestTimeout.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in JSON_TYPES or request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMediaType("The body has to be plain JSON.")
    return decode(await read_bytes(request, limit_s=limit_s), shape)


async def read_bytes(request: Request, *, limit_s: float, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Read a body as it is. Raises PayloadTooLarge, RequestTimeout."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > bytes_max:
        raise PayloadTooLarge(f"The body is above {bytes_max} bytes.")
    pieces, size_bytes = [], 0
    try:
        async with asyncio.timeout(limit_s):
            async for piece in request.stream():
                size_bytes += len(piece)
                if size_bytes > bytes_max:
                    raise PayloadTooLarge(f"The body is above {bytes_max} bytes.")
                pieces.append(piece)
    except TimeoutError as error:
        raise RequestTimeout("The request came too slowly.") from error
    return b"".join(pieces)


def decode(body: bytes | msgspec.Raw, shape: type[T], *, within: str = "", strict: bool = True) -> T:
    """Decode JSON; ``within`` is where it stands in the body. Raises InvalidRequest with the field."""
    try:
        return msgspec.json.decode(body, type=shape, strict=strict)
    except RecursionError as error:
        raise InvalidRequest("The body is nested too deep.", param=within or None) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message, _, place = str(error).partition(" - at `$")
        names = [within, place.rstrip("`").removeprefix(".")]
        if message.startswith("Object missing required field"):
            names.append(message.split("`")[1])
        raise InvalidRequest(f"{message}.", param=".".join(filter(None, names)) or None) from error
