"""Uploads: what a picture is, told from its header."""

import base64
import io
import struct
import time
import tracemalloc
import zlib

import pytest

from yiapi.assets import inspect_base64_image, inspect_image
from yiapi.errors import ImageTooLarge, UnsupportedMediaType

KINDS = [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif"), ("AVIF", "avif")]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_head(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def webp_head(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + sides


def jpeg_head(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xe0\0\4ab\xff\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + bytes(10)


def avif_head(width: int, height: int) -> bytes:
    ispe = b"\0\0\0\x14ispe\0\0\0\0" + struct.pack(">II", width, height)
    return b"\0\0\0\x14ftypavif\0\0\0\0avif" + b"\0\0\0\x30meta" + ispe


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_kind_and_size_are_read(picture, kind, name):
    facts = inspect_image(picture(kind, 65, 33))

    assert (facts.kind, facts.width, facts.height) == (name, 65, 33)


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_kind_and_size_are_read_from_base64(picture, kind, name):
    text = base64.b64encode(picture(kind, 65, 33)).decode()

    for given in (text, f"data:image/png;base64,{text}", "\n".join([text[:40], text[40:]])):
        facts = inspect_base64_image(given)
        assert (facts.kind, facts.width, facts.height) == (name, 65, 33)


def test_a_lossless_webp_is_read(picture):
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGBA", (65, 33)).save(file, "WEBP", lossless=True)

    assert inspect_image(file.getvalue()).width == 65


def test_a_file_is_left_where_it_was(picture):
    file = io.BytesIO(b"head" + picture())
    file.seek(4)

    inspect_image(file)

    assert file.tell() == 4


@pytest.mark.parametrize("head", [png_head, avif_head])
def test_f011_a_picture_of_too_many_pixels_is_refused_without_decoding(head):
    picture = head(60_000, 60_000) + bytes(100_000)
    tracemalloc.start()

    with pytest.raises(ImageTooLarge) as caught:
        inspect_image(picture, param="image")

    assert caught.value.param == "image"
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    with pytest.raises(ImageTooLarge):
        inspect_base64_image(base64.b64encode(picture).decode())


@pytest.mark.parametrize("head", [png_head, webp_head, jpeg_head, avif_head])
def test_f011_fifty_million_pixels_are_the_limit(head):
    assert inspect_image(head(10_000, 5_000)).height == 5_000
    with pytest.raises(ImageTooLarge):
        inspect_image(head(10_000, 5_001))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><script>alert(1)</script></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"just text",
        b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script></html>" + bytes(100),
        b"GIF89a=1;alert(1)"[:9],
        b"\xff\xd8\xff<script>alert(1)</script>" + bytes(100),
        b"RIFF\0\0\0\0WEBP<script>alert(1)</script>" + bytes(100),
        b"\0\0\0\x14ftypavif\0\0\0\0avif<script>alert(1)</script>",
        b"%PDF-1.7",
        png_head(0, 5),
        png_head(5, 5)[:-1] + b"x",
        jpeg_head(5, 0),
    ],
)
def test_f012_what_is_no_picture_is_refused(content):
    with pytest.raises(UnsupportedMediaType):
        inspect_image(content)
    with pytest.raises(UnsupportedMediaType):
        inspect_base64_image(base64.b64encode(content).decode())


def test_f012_a_file_that_is_both_counts_as_the_picture_that_its_header_says(picture):
    both = picture("GIF", 20, 10) + b"<script>alert(1)</script>"

    assert inspect_image(both).kind == "gif"


@pytest.mark.parametrize("text", ["§§§§", "data:image/png;base64,!!!!", "AAAA*AAA"])
def test_what_is_no_base64_is_refused(text):
    with pytest.raises(UnsupportedMediaType):
        inspect_base64_image(text)


def test_a_long_preamble_is_decoded_as_far_as_the_header_goes(picture):
    whole = picture("JPEG", 65, 33)
    padded = whole[:2] + (b"\xff\xe1\xff\xff" + bytes(0xFFFD)) * 40 + whole[2:] + bytes(10_000_000)

    facts = inspect_base64_image(base64.b64encode(padded).decode())

    assert facts.width == 65


def test_a_header_without_end_is_not_followed():
    endless = base64.b64encode(b"\xff\xd8" + (b"\xff\xe1\xff\xff" + bytes(0xFFFD)) * 300).decode()
    began = time.process_time()

    with pytest.raises(UnsupportedMediaType):
        inspect_base64_image(endless)

    assert time.process_time() - began < 0.2


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xd8\xff" + b"\xff" * 8_000_000,
        b"\xff\xd8" + b"\xff\xe0\0\2" * 2_000_000,
        b"\xff\xd8\xff" + bytes(8_000_000),
        b"\0\0\0\x14ftypavif\0\0\0\0avif" + b"ispe" * 2_000_000,
    ],
    ids=["filling", "segments", "zeros", "boxes"],
)
def test_a_hostile_header_costs_little_time(content):
    began = time.process_time()

    with pytest.raises(UnsupportedMediaType):
        inspect_image(content)

    assert time.process_time() - began < 0.05
