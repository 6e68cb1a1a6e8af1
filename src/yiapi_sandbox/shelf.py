"""Where results lie: kept as recipes, made when somebody fetches them, served by signed links."""

import asyncio
import hashlib
import hmac
import re
import secrets
from collections import OrderedDict

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from yiapi_sandbox.books import Books
from yiapi_sandbox.clock import Clock
from yiapi_sandbox.recipes import CONTENT_TYPES, Recipe, Result, sent
from yiapi_sandbox.studio import make

MADE_BYTES_MAX = 64 * 2**20
HANDS = 2
"""So many results are made at once; more would only take turns."""


class Shelf:
    """Results and the pictures that they start from."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock
        self._secret = books.fact("link_secret", secrets.token_hex(32)).encode()
        self._made: OrderedDict[str, bytes] = OrderedDict()
        self._made_bytes = 0
        self._under_way: dict[str, asyncio.Task[bytes]] = {}
        self._hands = anyio.CapacityLimiter(HANDS)

    def put(self, recipe: Recipe, *, keep_s: float, form: str = "png", file_id: str | None = None) -> str:
        """Keep a recipe and return the id of its result; nothing is drawn yet."""
        file_id, until = file_id or secrets.token_urlsafe(16), self._clock.now() + keep_s
        self._books.add_file(file_id, msgspec.json.encode(Result(recipe, form)), until)
        for digest in sent(recipe):
            self._books.keep_source(digest, until)
        return file_id

    def put_source(self, content: bytes, *, keep_s: float) -> str:
        """Keep a picture that a caller sent and return its digest."""
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        self._books.add_source(digest, content, self._clock.now() + keep_s)
        return digest

    def look_up(self, file_id: str) -> Result | None:
        """Return the recipe of a result."""
        kept = self._books.file(file_id)
        return msgspec.json.decode(kept, type=Result) if kept else None

    async def content(self, file_id: str, result: Result) -> bytes:
        """Return a result's bytes; who asks at the same time waits for the same making."""
        if file_id in self._made:
            self._made.move_to_end(file_id)
            return self._made[file_id]
        under_way = self._under_way.get(file_id)
        if under_way is None:
            under_way = asyncio.create_task(self._make(file_id, result))
            self._under_way[file_id] = under_way
            under_way.add_done_callback(lambda _: self._under_way.pop(file_id, None))
        return await asyncio.shield(under_way)

    async def _make(self, file_id: str, result: Result) -> bytes:
        content = await anyio.to_thread.run_sync(make, result, self._books.source, limiter=self._hands)
        self._made[file_id] = content
        self._made_bytes += len(content)
        while self._made_bytes > MADE_BYTES_MAX and len(self._made) > 1:
            self._made_bytes -= len(self._made.popitem(last=False)[1])
        return content

    def sign(self, file_id: str, expires: int) -> str:
        """Return the signature of a link that ends at a Unix time."""
        return hmac.new(self._secret, f"{file_id}|{expires}".encode(), hashlib.sha256).hexdigest()[:24]

    async def serve(self, request: Request, file_id: str) -> Response:
        """Answer a link for GET and HEAD: 403 when it is forged or over, 404 when its result is gone."""
        query = request.query_params
        expires, signature = query.get("exp", ""), query.get("sig", "")
        if refusal := self.refuse(file_id, expires, signature):
            return refusal
        result = self.look_up(file_id)
        if result is None:
            return PlainTextResponse("Not found", 404)
        return await self.give(request, file_id, result)

    def refuse(self, file_id: str, expires: str, signature: str) -> Response | None:
        """Say why a link is not good, if it is not."""
        if not (expires.isascii() and expires.isdigit() and len(expires) < 16 and signature.isascii()):
            return PlainTextResponse("Invalid link", 403)
        if not hmac.compare_digest(signature, self.sign(file_id, int(expires))):
            return PlainTextResponse("Invalid signature", 403)
        if int(expires) < self._clock.now():
            return PlainTextResponse("Link expired", 403)
        return None

    async def give(self, request: Request, file_id: str, result: Result) -> Response:
        """Answer with a result to whoever may have it."""
        content = await self.content(file_id, result)
        return _ranged(request, content, CONTENT_TYPES[result.form])


def _ranged(request: Request, content: bytes, content_type: str) -> Response:
    headers = {"content-type": content_type, "accept-ranges": "bytes", "cache-control": "max-age=3600"}
    part = _range(request.headers.get("range", ""), len(content))
    if part is None:
        return Response(content, 200, headers)
    first, last = part
    if first >= len(content):
        return Response(b"", 416, headers | {"content-range": f"bytes */{len(content)}"})
    headers["content-range"] = f"bytes {first}-{last}/{len(content)}"
    return Response(content[first : last + 1], 206, headers)


_PART = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def _range(header: str, length: int) -> tuple[int, int] | None:
    """Read a single byte range; anything else means the whole."""
    found = _PART.fullmatch(header.replace(" ", ""))
    if found is None or not any(found.groups()):
        return None
    first, last = found[1], found[2]
    if not first:
        return max(0, length - int(last)), length - 1
    end = min(int(last), length - 1) if last else length - 1
    return (int(first), end) if not last or int(first) <= int(last) else None
