"""What a caller asks for is read as every server reads it, by handlers of our own and by an ASGI application."""

import asyncio
import json

import pytest

from yiapi.edge import AsgiBridge

pytestmark = pytest.mark.anyio


def get(target, method=b"GET"):
    return method + b" " + target + b" HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", b"/", b""),
        (b"/a/b?c=d&e", b"/a/b", b"c=d&e"),
        (b"/a?b?c", b"/a", b"b?c"),
        (b"/a%20b/%2F?%3f", b"/a%20b/%2F", b"%3f"),
        (b"//a//b/../c", b"//a//b/../c", b""),
        (b"/a/" + b"b" * 8000, b"/a/" + b"b" * 8000, b""),
        (b"http://x/a?b", b"/a", b"b"),
        (b"HTTP://x:80/a", b"/a", b""),
        (b"https://other.example/", b"/", b""),
        (b"http://x?b", b"/", b"b"),
    ],
)
async def test_a_target_is_a_path_and_a_query(serve, call, target, path, query):
    place = await serve()
    caller = await call(place)

    answer = await caller.ask(get(target))

    assert answer.status == 200
    assert [(seen.path, seen.query) for seen in place.seen] == [(path, query)]


async def test_options_may_ask_about_the_server_as_a_whole(serve, call):
    place = await serve()
    caller = await call(place)

    assert (await caller.ask(get(b"*", b"OPTIONS"))).status == 200
    assert [seen.path for seen in place.seen] == [b"*"]


@pytest.mark.parametrize(
    "target",
    [
        *(b"*", b"a", b"x:80", b"http://", b"http:///a", b"http://x#a", b"http://user@x/a", b"ftp://x/a"),
        *(b"http://x", b"?a", b"/a b", b"/\x00", b"/\x7f", b"/\xc3\xa9", b"/\t", b""),
    ],
)
async def test_a_target_of_another_form_is_refused(serve, call, target):
    place = await serve()
    caller = await call(place)

    assert (await caller.ask(get(target))).status == 400
    assert await caller.rest() == b""
    assert place.seen == []


@pytest.mark.parametrize("method", [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND", b"TRACE"])
async def test_methods_are_handed_on(serve, call, method):
    place = await serve()
    caller = await call(place)

    assert (await caller.ask(get(b"/a", method))).status == 200
    assert place.seen[0].method == method.decode()


@pytest.mark.parametrize("line", [b"get /a HTTP/1.1", b"WHAT /a HTTP/1.1", b"GET\t/a\tHTTP/1.1", b"PRI * HTTP/2.0"])
async def test_an_unknown_method_is_refused(serve, call, line):
    caller = await call(await serve())

    assert (await caller.ask(line + b"\r\nhost: x\r\n\r\n")).status == 400


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9"])
async def test_another_version_is_refused(serve, call, version):
    caller = await call(await serve())

    assert (await caller.ask(b"GET /a " + version + b"\r\nhost: x\r\n\r\n")).status == 505


@pytest.mark.parametrize("version", [b"HTTP/1.2", b"HTTP/3.0", b"HTTP/1", b"http/1.1", b"HTTP/1.1 ", b"HTTP/ 1.1", b""])
async def test_what_is_no_version_is_refused(serve, call, version):
    caller = await call(await serve())

    assert (await caller.ask(b"GET /a " + version + b"\r\nhost: x\r\n\r\n")).status == 400


async def test_a_request_of_http_0_9_is_refused(serve, call):
    caller = await call(await serve())

    assert (await caller.ask(b"GET /a\r\n\r\n")).status == 505


# ASGI


def bridged(application):
    return AsgiBridge(application)


async def plain(send, status=200, body=b"", headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def test_an_application_gets_the_path_decoded(serve, call):
    scopes = []

    async def application(scope, receive, send):
        scopes.append(scope)
        await plain(send)

    caller = await call(await serve(bridged(application)))

    await caller.ask(get(b"/a%20b/%C3%A9?x=%20"))

    assert scopes[0]["path"] == "/a b/é"
    assert scopes[0]["raw_path"] == b"/a%20b/%C3%A9"
    assert scopes[0]["query_string"] == b"x=%20"
    assert scopes[0]["client"] == ("127.0.0.1", 0)


async def test_a_path_that_is_no_text_is_refused(serve, call):
    async def application(scope, receive, send):
        pytest.fail("it is asked")

    caller = await call(await serve(bridged(application)))

    refused = await caller.ask(get(b"/%ff"))
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (400, "invalid_request")
    assert refused.headers["x-request-id"].startswith("req_")
    assert (await caller.ask(get(b"/%ff"))).status == 400  # the connection is as good as before


async def test_an_application_reads_the_body_in_parts(serve, call):
    parts = []

    async def application(scope, receive, send):
        more = True
        while more:
            message = await receive()
            parts.append(message["body"])
            more = message["more_body"]
        await plain(send, body=b"".join(parts))

    caller = await call(await serve(bridged(application)))

    answer = await caller.ask(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 6\r\n\r\n", b"abc", b"def")

    assert answer.body == b"abcdef"


async def test_an_application_streams_what_it_does_not_know_the_size_of(serve, call):
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-other", b"1")]})
        for part in (b"one", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    caller = await call(await serve(bridged(application)))

    answers = [await caller.ask(get(b"/")) for _ in range(2)]

    assert [answer.body for answer in answers] == [b"onetwo"] * 2
    assert answers[0].headers["x-other"] == "1"


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_an_application_that_says_a_length_has_that_length(serve, call, method):
    async def application(scope, receive, send):
        body = b"abc" if scope["method"] == "GET" else b""
        await plain(send, body=body, headers=[(b"content-length", b"3"), (b"date", b"now")])

    caller = await call(await serve(bridged(application)))

    answers = [await caller.ask(get(b"/", method), is_head=method == b"HEAD") for _ in range(2)]

    assert {answer.headers["content-length"] for answer in answers} == {"3"}


async def test_an_application_that_listens_hears_that_the_caller_left(serve, call, until):
    heard = []

    async def application(scope, receive, send):
        await receive()
        heard.append((await receive())["type"])

    caller = await call(await serve(bridged(application)))
    await caller.send(get(b"/"), b"")

    caller.reset()

    await until(lambda: heard == ["http.disconnect"])


class Broke(Exception):
    pass


@pytest.mark.parametrize("how", ["raises", "answers", "answers and raises", "returns"])
async def test_a_body_that_breaks_is_the_callers_fault_whatever_an_application_makes_of_it(serve, call, how):
    async def application(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass
        if "answers" in how:
            await plain(send, status=500)
        if "raises" in how:
            raise Broke

    place = await serve(bridged(application))
    caller = await call(place)

    refused = await caller.ask(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc")

    assert refused.status == 400
    assert await caller.rest() == b""


async def test_an_application_that_breaks_is_a_500(serve, call):
    async def application(scope, receive, send):
        raise Broke

    caller = await call(await serve(bridged(application)))

    assert (await caller.ask(get(b"/"))).status == 500


async def test_an_application_cannot_split_an_answer(serve, call):
    async def application(scope, receive, send):
        await plain(send, headers=[(b"x-other", b"1\r\nx-more: 2")])

    caller = await call(await serve(bridged(application)))

    answer = await caller.ask(get(b"/"))

    assert answer.status == 500
    assert "x-more" not in answer.headers


async def test_an_application_is_told_to_wait_for_its_reader(serve, call, until):
    sent = []

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(32):
            await send({"type": "http.response.body", "body": b"x" * 2**16, "more_body": True})
            sent.append(True)
        await send({"type": "http.response.body"})

    place = await serve(bridged(application), buffer_bytes=2**15)
    caller = await call(place, buffer_bytes=2**15)
    await caller.send(get(b"/"))
    await until(lambda: any(one.is_blocked for one in place.edge.connections))
    for _ in range(100):
        await asyncio.sleep(0)
    waited = len(sent)

    answer = await caller.answer()

    assert waited < 32
    assert len(answer.body) == 32 * 2**16
