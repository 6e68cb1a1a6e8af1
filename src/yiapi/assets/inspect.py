"""What a picture is, told from its header alone: no pixel is decoded, and the work does not grow with the picture.

Uploads are looked at here before anything else touches them. A file counts as a picture only when the header of its
own format says so; whatever else it may also be, it is treated as that picture and nothing more.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from yiapi.assets.kinds import AVIF, GIF, HEAD_BYTES, JPEG, PNG, WEBP, Kind, kind_of
from yiapi.errors import ImageTooLarge, UnsupportedMediaType

PIXELS_MAX = 50_000_000
SEGMENTS_MAX = 2000  # of a JPEG before its frame; a real one has fewer than a hundred
AVIF_HEAD_BYTES = 256 * 1024

_BASE64_WINDOWS = (64 * 1024, 1024 * 1024, 8 * 1024 * 1024)  # how much is read at first, then, and then
_BASE64_GAPS = b" \t\n\r\v\f"
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,")
_ISPE = re.compile(rb"\0\0\0\x14ispe\0\0\0\0(.{4})(.{4})", re.DOTALL)
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """A picture's kind (``png``, ``jpg``, ``webp``, ``gif``, ``avif``) and size."""

    kind: str
    content_type: str
    width: int
    height: int


class _Short(Exception):
    """The header goes on beyond the bytes that are here."""


def inspect_image(head: bytes | BinaryIO, *, param: str | None = None) -> ImageFacts:
    """Read a picture's header; a file is left where it was.

    Raises UnsupportedMediaType for what is not a picture we know, ImageTooLarge above 50 million pixels; ``param``
    names the caller's field in both.
    """
    try:
        return _inspected(io.BytesIO(head) if isinstance(head, bytes) else head, param)
    except _Short as error:
        raise _not_a_picture(param) from error


def inspect_base64_image(text: str, *, param: str | None = None) -> ImageFacts:
    """Read the header of a picture in base64 or in a data: URL, and decode no more of it than that takes.

    Raises as ``inspect_image`` does, also where the header goes on behind eight million characters. That the rest is
    good base64 is not looked at.
    """
    prefix = _DATA_URL.match(text)
    start = prefix.end() if prefix else 0
    for window in _BASE64_WINDOWS:
        head = _decoded(text[start : start + window], param)
        try:
            return _inspected(io.BytesIO(head), param)
        except _Short as error:
            if start + window >= len(text):
                raise _not_a_picture(param) from error
    raise _not_a_picture(param)


def image_size(file: BinaryIO, kind: Kind) -> Size | None:
    """Return width and height by the header of this kind; None when the header is not whole or not right."""
    try:
        return _READERS[kind](file)
    except _Short:
        return None


def _inspected(file: BinaryIO, param: str | None) -> ImageFacts:
    start = file.tell()
    try:
        head = file.read(HEAD_BYTES)
        kind = kind_of(head)
        if kind is None or kind not in _READERS:
            raise _not_a_picture(param)
        file.seek(start)
        size = _READERS[kind](file)
    finally:
        file.seek(start)
    if size is None or min(size) <= 0:
        raise _not_a_picture(param)
    if size[0] * size[1] > PIXELS_MAX:
        raise ImageTooLarge(f"the picture has {size[0]} x {size[1]} pixels; {PIXELS_MAX} are allowed", param=param)
    return ImageFacts(kind.name, kind.content_type, *size)


def _decoded(text: str, param: str | None) -> bytes:
    try:
        compact = text.encode("ascii").translate(None, _BASE64_GAPS)
        return base64.b64decode(compact[: len(compact) // 4 * 4], altchars=None, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnsupportedMediaType("the picture is not valid base64", param=param) from error


def _not_a_picture(param: str | None) -> UnsupportedMediaType:
    return UnsupportedMediaType("the file is not a PNG, JPEG, WebP, GIF or AVIF picture", param=param)


def _take(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise _Short
    return data


def _png(file: BinaryIO) -> Size | None:
    head = _take(file, 33)
    if head[8:16] != b"\0\0\0\rIHDR" or zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
        return None
    if head[24] not in {1, 2, 4, 8, 16} or head[25] not in {0, 2, 3, 4, 6}:
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _gif(file: BinaryIO) -> Size | None:
    head = _take(file, 10)
    return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")


def _jpeg(file: BinaryIO) -> Size | None:
    """Walk the segments to the frame header, which has the size."""
    _take(file, 2)
    for _ in range(SEGMENTS_MAX):
        lead, marker = _take(file, 2)
        if lead != 0xFF or marker in {0x00, 0xD8, 0xD9, 0xDA}:
            return None
        if marker == 0xFF:  # a byte of filling
            file.seek(-1, io.SEEK_CUR)
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        length = int.from_bytes(_take(file, 2), "big")
        if length < 2:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            frame = _take(file, 5)
            return int.from_bytes(frame[3:5], "big"), int.from_bytes(frame[1:3], "big")
        file.seek(length - 2, io.SEEK_CUR)
    return None


def _webp(file: BinaryIO) -> Size | None:
    head = _take(file, 30)
    chunk = head[12:16]
    if chunk == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if chunk == b"VP8L" and head[20] == 0x2F:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return None


def _avif(file: BinaryIO) -> Size | None:
    """Return the largest extent that the header names: the tiles of a grid have theirs too."""
    head = file.read(AVIF_HEAD_BYTES)
    found = [(int.from_bytes(width, "big"), int.from_bytes(height, "big")) for width, height in _ISPE.findall(head)]
    if not found and len(head) < AVIF_HEAD_BYTES:
        raise _Short
    return max(found, key=lambda size: size[0] * size[1], default=None)


_READERS: dict[Kind, Callable[[BinaryIO], Size | None]] = {
    PNG: _png,
    JPEG: _jpeg,
    WEBP: _webp,
    GIF: _gif,
    AVIF: _avif,
}
