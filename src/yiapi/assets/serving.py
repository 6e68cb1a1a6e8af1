"""How a file is answered over HTTP: ranges, validators, and headers that keep a browser from executing anything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from yiapi.assets.kinds import file_name
from yiapi.assets.models import Asset

STALLED_S = 30.0  # how long a reader may take nothing
POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"

_RANGE = re.compile(r"bytes=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """What of the file is answered."""

    status: Literal[200, 206, 304, 416]
    start: int
    stop: int


def part_of(size_bytes: int, etag: str, headers: Mapping[str, str], *, method: str) -> Part:
    """Decide what of a file a request gets. Several ranges at once, and what is no range at all, get the whole."""
    if _names(headers.get("if-none-match", ""), etag):
        return Part(304, 0, 0)
    whole = Part(200, 0, size_bytes)
    wanted = headers.get("range")
    if method != "GET" or wanted is None or headers.get("if-range", etag).strip() != etag:
        return whole
    match = _RANGE.fullmatch(wanted)
    if match is None or not (match[1] or match[2]):
        return whole
    if not match[1]:
        return _within(max(0, size_bytes - int(match[2])), size_bytes, size_bytes)
    if match[2] and int(match[2]) < int(match[1]):
        return whole
    return _within(int(match[1]), int(match[2]) + 1 if match[2] else size_bytes, size_bytes)


def file_headers(asset: Asset, *, disposition: Literal["inline", "attachment"]) -> dict[str, str]:
    """Return what every answer about a file says."""
    return {
        "accept-ranges": "bytes",
        "cache-control": "private",
        "content-disposition": content_disposition(disposition, file_name(asset.type, asset.content_type)),
        "content-security-policy": POLICY,
        "cross-origin-resource-policy": "cross-origin",
        "etag": etag_of(asset),
        "x-content-type-options": "nosniff",
    }


def etag_of(asset: Asset) -> str:
    """Return the strong validator of a file: its content never changes."""
    return f'"{asset.sha256}"'


def content_disposition(disposition: str, filename: str) -> str:
    """Write the header, with a name that is not plain ASCII encoded by RFC 5987 and no character that could end it."""
    plain = re.sub(r'[^\x20-\x7e]|["\\%/]', "_", filename)[:200]
    encoded = f"; filename*=UTF-8''{quote(filename[:200], safe='')}" if plain != filename else ""
    return f'{disposition}; filename="{plain}"{encoded}'


def headed(asset: Asset, part: Part, headers: dict[str, str]) -> Response | None:
    """Return the answer that needs no byte of the file: nothing new, or nothing there."""
    if part.status == 304:
        return Response(status_code=304, headers=headers)
    if part.status == 416:
        return Response(status_code=416, headers=headers | {"content-range": f"bytes */{asset.size_bytes}"})
    return None


class FileAnswer(StreamingResponse):
    """Streams a part of a file as fast as the reader takes it; one who leaves or stalls ends the reading."""

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        asset: Asset,
        part: Part,
        headers: dict[str, str],
        *,
        stalled_s: float = STALLED_S,
    ) -> None:
        headers = headers | {"content-type": asset.content_type, "content-length": str(part.stop - part.start)}
        if part.status == 206:
            headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{asset.size_bytes}"
        super().__init__(chunks, status_code=part.status, headers=headers)
        self._chunks = chunks
        self._stalled_s = stalled_s

    async def stream_response(self, send: Send) -> None:
        """Send the part; waiting for the reader has a limit."""

        async def in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(self._stalled_s):
                    await send(message)
            except TimeoutError as error:
                raise ClientDisconnect from error

        async with aclosing(self._chunks):
            await super().stream_response(in_time)


def _names(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in (name.strip().removeprefix("W/") for name in header.split(","))


def _within(start: int, stop: int, size_bytes: int) -> Part:
    return Part(206, start, min(stop, size_bytes)) if start < size_bytes else Part(416, 0, 0)
