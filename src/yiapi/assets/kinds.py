"""Which files we know, told by their content: names and headers are only what somebody says."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from yiapi.assets.models import AssetType

HEAD_BYTES = 4096  # enough to tell every kind


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file."""

    name: str
    type: AssetType
    content_type: str
    container: str | None = None  # what the media library calls it
    is_inline: bool = True  # a browser only shows it; anything it could execute is an attachment


PNG = Kind("png", "image", "image/png")
JPEG = Kind("jpg", "image", "image/jpeg")
WEBP = Kind("webp", "image", "image/webp")
GIF = Kind("gif", "image", "image/gif")
AVIF = Kind("avif", "image", "image/avif")
SVG = Kind("svg", "image", "image/svg+xml", is_inline=False)
MP4 = Kind("mp4", "video", "video/mp4", "mp4")
MOV = Kind("mov", "video", "video/quicktime", "mov")
WEBM = Kind("webm", "video", "video/webm", "matroska")
M4A = Kind("m4a", "audio", "audio/mp4", "mp4")
WEBA = Kind("weba", "audio", "audio/webm", "matroska")
MP3 = Kind("mp3", "audio", "audio/mpeg", "mp3")
WAV = Kind("wav", "audio", "audio/wav", "wav")
OGG = Kind("ogg", "audio", "audio/ogg", "ogg")
FLAC = Kind("flac", "audio", "audio/flac", "flac")
AAC = Kind("aac", "audio", "audio/aac", "aac")
TXT = Kind("txt", "text", "text/plain; charset=utf-8", is_inline=False)
PDF = Kind("pdf", "file", "application/pdf", is_inline=False)
ZIP = Kind("zip", "file", "application/zip", is_inline=False)

KINDS = (PNG, JPEG, WEBP, GIF, AVIF, SVG, MP4, MOV, WEBM, M4A, WEBA, MP3, WAV, OGG, FLAC, AAC, TXT, PDF, ZIP)
SOUND_ONLY = {MP4: M4A, MOV: M4A, WEBM: WEBA}  # what a film without pictures is
_BY_CONTENT_TYPE = {kind.content_type: kind for kind in KINDS}

_STARTS = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"OggS", OGG),
    (b"fLaC", FLAC),
    (b"ID3", MP3),
    (b"%PDF-", PDF),
    (b"PK\x03\x04", ZIP),
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_BEFORE_MARKUP = re.compile(r"(?:\s|<\?xml.*?\?>|<!--.*?-->|<!DOCTYPE\s+svg[^>\[]*(?:\[.*?\]\s*)?>)*", re.DOTALL)


def kind_of(head: bytes) -> Kind | None:
    """Tell the kind of a file by its first ``HEAD_BYTES``.

    None stands for what is not known; markup other than SVG is that too.
    """
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    return _riff(head) or _boxes(head) or _matroska(head) or _frames(head) or _text(head)


def kind_of_content_type(content_type: str) -> Kind | None:
    """Return the kind that is stored under a content type."""
    return _BY_CONTENT_TYPE.get(content_type)


def content_type_of_type(type_: AssetType) -> str:
    """Return what is said of a file that was never seen: the usual kind of its type."""
    return {"image": PNG, "video": MP4, "audio": MP3, "text": TXT, "file": ZIP}[type_].content_type


def is_inline(content_type: str) -> bool:
    """Whether a browser may show the file in place."""
    kind = kind_of_content_type(content_type)
    return kind is not None and kind.is_inline


def file_name(type_: AssetType, content_type: str) -> str:
    """Return the generated name under which a file is offered: ``image.png``."""
    kind = kind_of_content_type(content_type)
    return f"{type_}.{kind.name if kind else 'bin'}"


def _riff(head: bytes) -> Kind | None:
    if head[:4] in {b"RIFF", b"RF64"}:
        return {b"WEBP": WEBP, b"WAVE": WAV}.get(head[8:12])
    return None


def _boxes(head: bytes) -> Kind | None:
    """MP4 and its relatives: a list of boxes, the first of which names the brand."""
    if head[4:8] != b"ftyp":
        return MOV if head[4:8] in {b"moov", b"mdat", b"wide"} else None
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size, 4))}
    if brands & {b"avif", b"avis"}:
        return AVIF
    if head[8:12] == b"qt  ":
        return MOV
    return None if brands & {b"heic", b"heix", b"mif1", b"msf1"} else MP4


def _matroska(head: bytes) -> Kind | None:
    return WEBM if head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:64] else None


def _frames(head: bytes) -> Kind | None:
    """MPEG audio without a container: eleven set bits, then version, layer, bit rate and sample rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return AAC
    layer, bit_rate, sample_rate = head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    return MP3 if layer != 0 and bit_rate not in {0, 15} and sample_rate != 3 else None


def _text(head: bytes) -> Kind | None:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return None
    text = text.removeprefix("\ufeff")
    if not text.strip() or _CONTROL.search(text):
        return None
    before = _BEFORE_MARKUP.match(text)
    rest = text[before.end() if before else 0 :]
    if re.match(r"<svg[\s>]", rest):
        return SVG
    return None if text.lstrip().startswith("<") else TXT
