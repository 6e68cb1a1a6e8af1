"""The kind of a file is told by its content."""

import pytest

from yiapi.assets.kinds import KINDS, content_type_of_type, file_name, is_inline, kind_of


@pytest.mark.parametrize(
    ("kind", "name"), [("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("GIF", "gif"), ("AVIF", "avif")]
)
def test_pictures_are_known(picture, kind, name):
    assert kind_of(picture(kind)[:4096]).name == name


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "mp4"),
        (b"\0\0\0\x14ftypqt  \0\0\2\0qt  ", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
        (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm", "webm"),
        (b"ID3\4\0\0\0\0\0\0", "mp3"),
        (b"\xff\xfb\x90\x64" + bytes(100), "mp3"),
        (b"\xff\xf1\x50\x80" + bytes(100), "aac"),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"OggS\0\2", "ogg"),
        (b"fLaC\0\0\0\x22", "flac"),
        (b"%PDF-1.7\n", "pdf"),
        (b"PK\3\4\x14\0", "zip"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "svg"),
        (
            b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<!DOCTYPE svg PUBLIC 'x' 'y'>\n<svg>",
            "svg",
        ),
        ("一只猫坐在船上".encode(), "txt"),
        (("猫" * 2000).encode()[:4096], "txt"),
        (b'{"text": "a cat"}', "txt"),
    ],
)
def test_other_files_are_known(head, name):
    assert kind_of(head).name == name


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"   \n",
        b"<!DOCTYPE html><html><svg>",
        b"<html><body>",
        b"\xef\xbb\xbf <script>alert(1)</script>",
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        b"<!-- <svg> --><p>",
        b"<svgx>",
        b"MZ\x90\0",
        b"\x7fELF\2\1\1",
        b"\0\0\0\x18ftypheic\0\0\0\0heicmif1",
        b"RIFF\0\0\0\0AVI LIST",
        b"\xff\xfe<\0h\0t\0m\0l\0>\0",
        b"text with a \0 in it",
    ],
)
def test_f012_web_pages_and_strangers_are_not_known(head):
    assert kind_of(head) is None


def test_only_what_a_browser_cannot_execute_is_shown_in_place():
    shown = {kind.name for kind in KINDS if is_inline(kind.content_type)}

    assert shown == {kind.name for kind in KINDS} - {"svg", "txt", "pdf", "zip"}
    assert not is_inline("text/html")


def test_a_file_is_offered_under_a_generated_name():
    assert file_name("image", "image/jpeg") == "image.jpg"
    assert file_name("file", "application/x-unknown") == "file.bin"
    assert content_type_of_type("video") == "video/mp4"
