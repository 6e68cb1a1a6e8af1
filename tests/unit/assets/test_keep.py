"""Keeping results: what is taken, what is tried again, what is refused."""

import asyncio
import base64
import hashlib
import resource
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from yiapi.assets import KeepFailed, Source, files_at
from yiapi.assets.keep import Keeper
from yiapi.errors import StorageUnavailable
from yiapi.upstream import AddressGuard
from yiapi.upstream.fetch import Fetcher, FetchFailed, FetchRefused, FetchTimeout, FetchTooLarge

URL = "https://vendor.example/secret-path/result"


@pytest.fixture
def keeper(folder_files, fetcher, pauses):
    keeper = Keeper(folder_files, fetcher, pause=pauses)
    yield keeper
    keeper.close()


@pytest.fixture
def keep(keeper, fetcher):
    async def from_link(*answers: bytes | Exception, type_hint=None, permitted=frozenset()):
        fetcher.answers[URL] = list(answers)
        source = Source(url=URL, permitted=permitted)
        return await keeper.keep("acct_a", "test", source, type_hint=type_hint, bytes_max=10_000_000, timeout_s=30)

    return from_link


@pytest.fixture
def keep_content(keeper):
    async def from_answer(content, *, type_hint=None, bytes_max: int = 10_000_000):
        source = Source(content=content)
        return await keeper.keep("acct_a", "test", source, type_hint=type_hint, bytes_max=bytes_max, timeout_s=30)

    return from_answer


def left(files) -> list[str]:
    root = files.incoming.parent
    return [str(path.relative_to(root)) for path in sorted(root.rglob("*")) if path.is_file()]


async def test_a_result_is_in_the_store_with_hash_and_measures(keep, folder_files, picture):
    content = picture("PNG", 65, 33)

    kept = await keep(content, type_hint="image")

    assert (kept.account_id, kept.mode, kept.type, kept.content_type) == ("acct_a", "test", "image", "image/png")
    assert (kept.width, kept.height, kept.duration_s) == (65, 33, None)
    assert (kept.size_bytes, kept.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert left(folder_files) == [f"acct_a/{kept.id}"]
    assert b"".join([chunk async for chunk in await folder_files.read(f"acct_a/{kept.id}", 0, 10**6)]) == content


async def test_permitted_hosts_go_along_with_the_link(keep, fetcher, picture):
    await keep(picture(), permitted=frozenset({"sandbox:8090"}))

    assert fetcher.permitted == [frozenset({"sandbox:8090"})]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "AVIF"])
async def test_pictures_are_measured(keep_content, picture, kind):
    kept = await keep_content(picture(kind, 65, 33))

    assert (kept.type, kept.width, kept.height) == ("image", 65, 33)


@pytest.mark.parametrize(
    ("container", "codec", "content_type"),
    [("mp4", "mpeg4", "video/mp4"), ("mov", "mpeg4", "video/quicktime"), ("webm", "libvpx", "video/webm")],
)
async def test_films_are_measured(keep_content, film, container, codec, content_type):
    kept = await keep_content(film(container, codec))

    assert (kept.type, kept.content_type, kept.width, kept.height) == ("video", content_type, 64, 48)
    assert kept.duration_s == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("container", "codec", "sample_format", "content_type"),
    [
        ("wav", "pcm_s16le", "s16", "audio/wav"),
        ("mp3", "libmp3lame", "s16p", "audio/mpeg"),
        ("flac", "flac", "s16", "audio/flac"),
        ("ogg", "libopus", "s16", "audio/ogg"),
        ("adts", "aac", "fltp", "audio/aac"),
        ("mp4", "aac", "fltp", "audio/mp4"),
        ("webm", "libopus", "s16", "audio/webm"),
    ],
)
async def test_sounds_are_measured_whatever_box_they_are_in(
    keep_content, sound, container, codec, sample_format, content_type
):
    kept = await keep_content(sound(container, codec, sample_format))

    assert (kept.type, kept.content_type, kept.width) == ("audio", content_type, None)
    assert kept.duration_s == pytest.approx(1, abs=0.3)


async def test_a_sound_written_as_it_was_made_is_measured_by_its_size(keep_content, sound):
    whole = sound()
    at = whole.index(b"data") + 4
    streamed = whole[:4] + b"\xff" * 4 + whole[8:at] + b"\xff" * 4 + whole[at + 4 :]

    kept = await keep_content(streamed)

    assert kept.duration_s == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("tag", "size"),
    [
        ('width="120" height="80px"', (120, 80)),
        ('width="100%" height="100%" viewBox="0 0 512 256"', (512, 256)),
        ("viewBox='0,0,10.6,20'", (11, 20)),
        ("", (None, None)),
        ('width="1e9" height="-5"', (None, None)),
    ],
)
async def test_drawings_are_measured_by_their_root(keep_content, tag, size):
    kept = await keep_content(
        f"<svg xmlns='http://www.w3.org/2000/svg' {tag}><path/></svg>".encode(), type_hint="image"
    )

    assert (kept.content_type, kept.type, kept.width, kept.height) == ("image/svg+xml", "image", *size)


@pytest.mark.parametrize("content", ["字幕".encode(), b"<p>as text</p>", b"<svg></svg>", b"{}"])
async def test_text_that_was_asked_for_is_kept_as_plain_text(keep_content, content):
    kept = await keep_content(content, type_hint="text")

    assert (kept.type, kept.content_type) == ("text", "text/plain; charset=utf-8")


@pytest.mark.parametrize("written", ["{}", "data:image/png;base64,{}", " {}\n"])
async def test_a_result_in_base64_is_kept(keep_content, picture, written):
    content = picture()

    kept = await keep_content(written.format(base64.b64encode(content).decode()))

    assert kept.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", [b"", "", "§", "AAA", b"<html>", b"\0" * 10])
async def test_content_that_is_no_result_fails_at_once(keep_content, pauses, folder_files, content):
    with pytest.raises(KeepFailed) as caught:
        await keep_content(content)

    assert caught.value.code == "result_unavailable"
    assert pauses.seconds == []
    assert left(folder_files) == []


async def test_content_above_the_limit_fails(keep_content, picture):
    with pytest.raises(KeepFailed, match="larger"):
        await keep_content(picture(), bytes_max=10)


@pytest.mark.parametrize(
    "answer",
    [
        FetchFailed("the server answered 404 at vendor.example", status=404),
        FetchFailed("no connection to vendor.example"),
        FetchTooLarge("more than vendor.example may send"),
        FetchTimeout("vendor.example was too slow"),
        b"<html>expired</html>",
        b"<?xml version='1.0'?><Error>vendor.example</Error>",
        b'{"error": "expired"}',
        b"",
    ],
)
async def test_f081_a_result_that_is_not_there_is_tried_five_times_and_fails(
    keep, fetcher, pauses, folder_files, answer
):
    with pytest.raises(KeepFailed) as caught:
        await keep(answer, type_hint="image")

    assert caught.value.code == "result_unavailable"
    assert len(fetcher.asked) == 5
    assert pauses.seconds == [1, 2, 4, 8]
    assert left(folder_files) == []
    assert "vendor" not in caught.value.message


async def test_f081_a_result_that_comes_late_is_kept(keep, fetcher, pauses, folder_files, picture):
    kept = await keep(FetchFailed("not yet", status=404), picture()[:40], b"<html>", picture())

    assert len(fetcher.asked) == 4
    assert left(folder_files) == [f"acct_a/{kept.id}"]


async def test_f082_a_result_at_a_refused_address_is_blocked_at_once(keep, fetcher, pauses):
    with pytest.raises(KeepFailed) as caught:
        await keep(FetchRefused("10.0.0.1 is private"))

    assert (caught.value.code, len(fetcher.asked), pauses.seconds) == ("result_blocked", 1, [])
    assert "10.0.0.1" not in caught.value.message


async def test_f082_a_private_address_is_not_asked_at_all(folder_files, pauses):
    keeper = Keeper(folder_files, Fetcher(AddressGuard()), pause=pauses)

    for url in (
        "https://127.0.0.1/x.png",
        "https://169.254.169.254/latest",
        "http://example.com/x",
        "file:///etc/hosts",
    ):
        with pytest.raises(KeepFailed) as caught:
            await keeper.keep("acct_a", "test", Source(url=url), bytes_max=10, timeout_s=1)
        assert caught.value.code == "result_blocked"

    keeper.close()


async def test_no_address_and_no_content_is_no_result(keeper):
    with pytest.raises(KeepFailed):
        await keeper.keep("acct_a", "test", Source(), bytes_max=10, timeout_s=1)


def large_png(width: int, height: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(60_000, 60_000), (10_000, 5_001)])
async def test_f011_a_picture_of_too_many_pixels_is_not_kept(keep_content, size):
    with pytest.raises(KeepFailed, match="pixels"):
        await keep_content(large_png(*size))


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n<html><script>alert(1)</script></html>",
        b"\xff\xd8\xff<script>alert(1)</script>" * 10,
        b"<script>alert(1)</script>",
        b"alert(1)",
        b"%PDF-1.7 (app.alert)",
        b"PK\3\4" + bytes(100),
        b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + b"<script>" * 100,
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/",
        b"\xff\xfe" + "<html>".encode("utf-16-le") * 200,
        b"OggS" + b"<script>" * 500,
        b"ID3" + b"<script>" * 5000,
    ],
)
async def test_f012_what_pretends_to_be_media_is_not_kept(keep_content, folder_files, content):
    with pytest.raises(KeepFailed):
        await keep_content(content, type_hint="image")

    assert left(folder_files) == []


async def test_a_film_that_was_cut_is_not_kept(keep_content, film):
    with pytest.raises(KeepFailed):
        await keep_content(film()[:300])


async def test_f086_a_full_disk_is_our_trouble_and_leaves_nothing(keep, fetcher, pauses, folder_files, picture):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    content = large_png(100, 100) + bytes(3_000_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(StorageUnavailable):
            await keep(content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert (len(fetcher.asked), pauses.seconds, left(folder_files)) == (1, [], [])
    kept = await keep(content)
    assert left(folder_files) == [f"acct_a/{kept.id}"]


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from yiapi.assets import Source, files_at
from yiapi.assets.keep import Keeper

class Dying:
    async def download(self, url, *, sink, **_):
        await sink(b"\\x89PNG\\r\\n\\x1a\\n" + bytes(3_000_000))
        os.kill(os.getpid(), signal.SIGKILL)

keeper = Keeper(files_at(None, folder=Path(sys.argv[1])), Dying())
asyncio.run(keeper.keep("acct_a", "test", Source(url="x"), bytes_max=10**7, timeout_s=1))
"""


async def test_f086_a_kill_while_a_result_is_written_leaves_nothing_to_see(folder_files):
    ended = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", KILLED, str(folder_files.incoming.parent)], check=False
    )

    assert ended.returncode == -9
    assert await folder_files.listed(None) == []
    assert all(name.startswith(".incoming/") for name in left(folder_files))


async def test_one_who_gives_up_waiting_leaves_nothing(keeper, fetcher, folder_files):
    begun = asyncio.Event()

    async def endless(url, *, sink, **_) -> None:
        await sink(bytes(2_000_000))
        begun.set()
        await asyncio.Event().wait()

    fetcher.download = endless
    task = asyncio.create_task(keeper.keep("acct_a", "test", Source(url=URL), bytes_max=10**7, timeout_s=1))
    await begun.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert left(folder_files) == []


async def test_the_event_loop_goes_on_while_a_file_is_looked_at(keep_content):
    lags: list[float] = []

    async def watch() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0)
            lags.append(time.monotonic() - began)

    watching = asyncio.create_task(watch())

    await keep_content(large_png(7_000, 7_000) + bytes(9_000_000))

    watching.cancel()
    assert max(lags) < 0.25


async def test_memory_keeps_the_same_way(tmp_path: Path, fetcher, picture):
    files = files_at("memory:", folder=tmp_path)
    keeper = Keeper(files, fetcher)

    kept = await keeper.keep("acct_a", "test", Source(content=picture()), bytes_max=10**6, timeout_s=1)

    assert [file.key for file in await files.listed(None)] == [f"acct_a/{kept.id}"]
    assert list(files.incoming.iterdir()) == []
    keeper.close()
