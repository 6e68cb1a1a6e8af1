"""URLs of strangers are fetched from public addresses only, and never more than was allowed."""

import asyncio
import gzip

import pytest

from yiapi.upstream import AddressGuard, Fetcher, FetchFailed, FetchRefused, FetchTimeout, FetchTooLarge

pytestmark = pytest.mark.anyio


async def resolve(name: str, port: int) -> list[str]:
    if name == "nowhere.example":
        raise OSError("no such name")
    return ["10.0.0.1"] if name == "inside.example" else ["127.0.0.1"]


@pytest.fixture
def fetcher(tls_context) -> Fetcher:
    return Fetcher(AddressGuard(["127.0.0.1", "public.example"], resolve), tls_context=tls_context)


@pytest.fixture
def download(fetcher):
    async def run(url: str, *, bytes_max: int = 1_000_000, timeout_s: float = 5, sink=None, **options):
        kept: list[bytes] = []
        got = await fetcher.download(url, bytes_max=bytes_max, timeout_s=timeout_s, sink=sink or kept.append, **options)
        return got, b"".join(kept)

    return run


def found(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-type: image/png", b"content-length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


def moved(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()


async def test_a_download_goes_into_the_sink_and_nothing_of_ours_goes_along(answers, download, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    peer = await answers(found(b"picture"))

    got, kept = await download(f"http://127.0.0.1:{peer.port}/a%20b?c=d")

    assert (got.content_type, got.size, kept) == ("image/png", 7, b"picture")
    assert got.final_url == f"http://127.0.0.1:{peer.port}/a%20b?c=d"
    assert peer.seen == [
        b"GET /a%%20b?c=d HTTP/1.1\r\nuser-agent: yiapi\r\naccept: */*\r\nhost: 127.0.0.1:%d\r\n" % peer.port
        + b"accept-encoding: identity\r\n\r\n"
    ]


async def test_the_sink_may_be_asynchronous_and_its_errors_are_its_own(answers, download):
    async def full(piece: bytes) -> None:
        await asyncio.sleep(0)
        raise OSError(28, "disk full")

    peer = await answers(found(b"picture"))

    with pytest.raises(OSError, match="disk full"):
        await download(f"http://127.0.0.1:{peer.port}/", sink=full)


async def test_redirects_are_followed_without_cookies(serve, download):
    seen = []

    async def script(talk):
        seen.append(request := await talk.request())
        path = request.split(b" ")[1]
        if path == b"/1":
            await talk.send(
                b"HTTP/1.1 301 X\r\nset-cookie: a=b\r\nlocation: 2?x=\xc3\xa9#top\r\ncontent-length: 0\r\n\r\n"
            )
        elif path.startswith(b"/2"):
            await talk.send(moved(f"http://public.example:{peer.port}/3"))
        else:
            await talk.send(found(b"picture"))

    peer = await serve(script)

    got, kept = await download(f"http://127.0.0.1:{peer.port}/1")

    assert kept == b"picture"
    assert got.final_url == f"http://public.example:{peer.port}/3"
    assert [request.split(b" ")[1] for request in seen] == [b"/1", b"/2?x=%C3%A9", b"/3"]
    assert not any(b"cookie" in request for request in seen)


async def test_the_fourth_redirect_is_one_too_many(serve, download):
    async def script(talk):
        await talk.request()
        await talk.send(moved("/again"))

    peer = await serve(script)

    with pytest.raises(FetchFailed):
        await download(f"http://127.0.0.1:{peer.port}/")

    assert peer.talks == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://10.0.0.1/",
        "https://169.254.169.254/latest",
        "https://inside.example/",
        "//inside.example/",
        "file:///etc/passwd",
        "http://a.example/",
        "https://user:pass@a.example/",
        "https://a.example:22/",
        "https://0x7f.2/",
        "https://[::1]/",
    ],
)
async def test_a_redirect_to_the_inside_is_refused(answers, download, location):
    peer = await answers(moved(location))

    with pytest.raises(FetchRefused):
        await download(f"http://127.0.0.1:{peer.port}/")


@pytest.mark.parametrize("location", ["", "http://[", "\xff"])
async def test_a_redirect_to_nowhere_is_a_failure(answers, download, location):
    reply = b"HTTP/1.1 302 X\r\nlocation: " + location.encode("latin-1") + b"\r\ncontent-length: 0\r\n\r\n"

    with pytest.raises(FetchFailed) as caught:
        await download(f"http://127.0.0.1:{(await answers(reply)).port}/")

    assert caught.value.status == 302


@pytest.mark.parametrize("url", ["https://inside.example/", "https://10.0.0.1/", "http://8.8.8.8/", "ftp://x/", "junk"])
async def test_an_address_inside_is_refused(download, fetcher, url):
    with pytest.raises(FetchRefused):
        await download(url)
    with pytest.raises(FetchRefused):
        await fetcher.post(url, [], b"", timeout_s=1)


async def test_a_call_may_permit_more_hosts(answers, download, fetcher):
    peer = await answers(found(b"picture"), found(b""))
    strict = Fetcher(AddressGuard())

    url = f"http://127.0.0.1:{peer.port}/"
    kept: list[bytes] = []
    await strict.download(url, bytes_max=100, timeout_s=5, permitted={"127.0.0.1"}, sink=kept.append)
    with pytest.raises(FetchRefused):
        await strict.download(url, bytes_max=100, timeout_s=5, sink=kept.append)

    assert kept == [b"picture"]


async def test_a_name_that_does_not_resolve_is_a_failure(download):
    with pytest.raises(FetchFailed) as caught:
        await download("https://nowhere.example/")

    assert caught.value.status is None


@pytest.mark.parametrize("status", [204, 206, 300, 304, 403, 404, 410, 500])
async def test_any_other_status_is_a_failure_that_names_it(answers, download, status):
    peer = await answers(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status)

    with pytest.raises(FetchFailed) as caught:
        await download(f"http://127.0.0.1:{peer.port}/")

    assert caught.value.status == status


@pytest.mark.parametrize(
    "reply",
    [
        found(b"x" * 1001),
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(bytes(10_000_000), mtime=0),
    ],
)
async def test_more_than_allowed_is_cut(answers, download, reply):
    peer = await answers(reply)

    with pytest.raises(FetchTooLarge):
        await download(f"http://127.0.0.1:{peer.port}/", bytes_max=1000)


async def test_a_cut_download_is_a_failure(answers, download):
    peer = await answers(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")

    with pytest.raises(FetchFailed):
        await download(f"http://127.0.0.1:{peer.port}/")


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"])
async def test_a_server_that_hangs_is_a_timeout(serve, download, beginning):
    async def script(talk):
        await talk.request()
        await talk.send(beginning)
        await talk.silence()

    peer = await serve(script)

    with pytest.raises(FetchTimeout):
        await download(f"http://127.0.0.1:{peer.port}/", timeout_s=0.05)


async def test_the_time_counts_over_all_redirects(serve, download):
    async def script(talk):
        await talk.request()
        await asyncio.sleep(0.06)
        await talk.send(moved("/again"))

    peer = await serve(script)

    with pytest.raises(FetchTimeout):
        await download(f"http://127.0.0.1:{peer.port}/", timeout_s=0.1)


async def test_a_post_returns_the_status_and_does_not_follow(answers, fetcher):
    peer = await answers(b"HTTP/1.1 307 X\r\nlocation: http://10.0.0.1/\r\ncontent-length: 2\r\n\r\nok")

    posted = await fetcher.post(f"http://127.0.0.1:{peer.port}/h", [(b"webhook-id", b"1")], b"{}", timeout_s=5)

    assert (posted.status, posted.excerpt, posted.retry_after_s) == (307, b"ok", None)
    assert peer.seen[0].startswith(b"POST /h HTTP/1.1\r\nwebhook-id: 1\r\n")
    assert peer.seen[0].endswith(b"\r\n\r\n{}")


async def test_a_post_learns_when_to_come_again(answers, fetcher):
    peer = await answers(b"HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n")

    assert (await fetcher.post(f"http://127.0.0.1:{peer.port}/", [], b"", timeout_s=5)).retry_after_s == 7.0


@pytest.mark.parametrize("framing", [b"content-length: 100000000", b"x: y"])
async def test_a_long_answer_to_a_post_takes_nothing_from_its_status(serve, fetcher, framing):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for _ in range(1000):
            await talk.send(b"x" * 100_000)

    peer = await serve(script)

    posted = await fetcher.post(f"http://127.0.0.1:{peer.port}/", [], b"", timeout_s=5)

    assert posted.status == 200
    assert len(posted.excerpt) <= 65536


async def test_a_receiver_that_resets_or_hangs_is_an_error(serve, fetcher):
    async def reset(talk):
        await talk.request()
        talk.reset()

    async def hang(talk):
        await talk.request()
        await talk.silence()

    with pytest.raises(FetchFailed):
        await fetcher.post(f"http://127.0.0.1:{(await serve(reset)).port}/", [], b"", timeout_s=5)
    with pytest.raises(FetchTimeout):
        await fetcher.post(f"http://127.0.0.1:{(await serve(hang)).port}/", [], b"", timeout_s=0.05)
