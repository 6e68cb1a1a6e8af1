"""Requests to URLs that strangers gave: media of callers, results of vendors, hooks.

Each request stands alone, on a connection of its own to an address that was tested for it. Nothing
of ours goes along: no cookies, no credentials, no proxy from the environment.

    FetchError
    ├── FetchRefused     the URL or an address behind it may not be connected to
    ├── FetchFailed      no answer, or not the one that was asked for
    ├── FetchTooLarge    more bytes than allowed
    └── FetchTimeout     not done in time
"""

import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final
from urllib.parse import urldefrag, urljoin

from yiapi.upstream.client import Client, verifying
from yiapi.upstream.errors import (
    AddressRefused,
    AnswerTooLarge,
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
    UpstreamError,
)
from yiapi.upstream.guard import AddressGuard
from yiapi.upstream.response import Response
from yiapi.upstream.retry_after import retry_after_s
from yiapi.upstream.target import Limits, target_of

Sink = Callable[[bytes], Awaitable[object] | object]

REDIRECTS_MAX: Final = 3
EXCERPT_BYTES_MAX: Final = 64 * 1024

_CONNECT_S: Final = 5.0
_OK: Final = 200
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TIMEOUTS: Final = (ConnectTimeout, FirstByteTimeout, IdleTimeout, TotalTimeout)
_HEADERS: Final = ((b"user-agent", b"yiapi"), (b"accept", b"*/*"))


class FetchError(Exception):
    """Say that a request to a stranger's URL did not succeed."""


class FetchRefused(FetchError):
    """Say that the URL, or an address that it leads to, may not be connected to."""


class FetchFailed(FetchError):
    """Say that there was no usable answer; ``status`` is the one that came, if one did."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class FetchTooLarge(FetchError):
    """Say that there is more than the caller allowed."""


class FetchTimeout(FetchError):
    """Say that the request was not done in time."""


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a download was, its bytes having gone into the sink."""

    content_type: str  # as the server says, which is to be believed by nobody; empty when it does not
    size: int  # in bytes
    final_url: str  # after redirects


@dataclass(frozen=True, slots=True)
class Posted:
    """How a receiver answered."""

    status: int
    excerpt: bytes  # the beginning of the body, as far as it could be read
    retry_after_s: float | None


class Fetcher:
    """Download from and post to untrusted URLs."""

    def __init__(self, guard: AddressGuard, *, tls_context: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._tls_context = verifying(tls_context)

    async def download(
        self, url: str, *, bytes_max: int, timeout_s: float, permitted: Iterable[str] = frozenset(), sink: Sink
    ) -> Downloaded:
        """Stream the content of a URL into a sink, following at most three redirects, each checked anew.

        Raises FetchError, and whatever the sink raises. The sink may have got a part by then; the
        caller throws that away.
        """
        ends_at = monotonic() + timeout_s
        permits = frozenset(permitted)
        for _ in range(REDIRECTS_MAX + 1):
            limits = _limits(ends_at - monotonic(), bytes_max)
            async with self._sent("GET", url, _HEADERS, b"", limits=limits, permitted=permits) as answer:
                if answer.status == _OK:
                    size = await _drain(answer, sink)
                    content_type = (answer.header(b"content-type") or b"").decode("latin-1")
                    return Downloaded(content_type, size, url)
                url = _location(url, answer)
        raise FetchFailed("too many redirects")

    async def post(
        self,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        timeout_s: float,
        permitted: Iterable[str] = frozenset(),
    ) -> Posted:
        """Post to a URL and return the status that came, a redirect included.

        A body that is longer than 64 KiB, or breaks off, takes nothing from the status: its
        beginning is returned. Raises FetchRefused, FetchFailed, FetchTimeout.
        """
        limits = _limits(timeout_s, EXCERPT_BYTES_MAX)
        async with self._sent("POST", url, headers, body, limits=limits, permitted=frozenset(permitted)) as answer:
            return Posted(answer.status, await _excerpt(answer), retry_after_s(answer.headers))

    @asynccontextmanager
    async def _sent(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
        *,
        limits: Limits,
        permitted: frozenset[str],
    ) -> AsyncIterator[Response]:
        """Send a request on a connection of its own, and close that afterwards."""
        try:
            checked = self._guard.check_url(url, permitted=permitted)
        except AddressRefused as error:
            raise FetchRefused(str(error)) from error
        client = Client(self._guard, tls_context=self._tls_context)
        try:
            target = target_of(checked.origin, permitted=permitted)
            yield await client.send(target, method, checked.path, headers, body, limits)
        except UpstreamError as error:
            raise _converted(error) from error
        finally:
            await client.aclose()


async def _drain(answer: Response, sink: Sink) -> int:
    size = 0
    while piece := await answer.chunk():
        size += len(piece)
        taken = sink(piece)
        if inspect.isawaitable(taken):
            await taken
    return size


async def _excerpt(answer: Response) -> bytes:
    excerpt = b""
    try:
        while piece := await answer.chunk():
            excerpt += piece
    except UpstreamError:
        return excerpt[:EXCERPT_BYTES_MAX]
    return excerpt


def _location(url: str, answer: Response) -> str:
    location = answer.header(b"location")
    if answer.status not in _REDIRECTS or not location:
        raise FetchFailed(f"the server answered {answer.status}", status=answer.status)
    try:
        return urldefrag(urljoin(url, location.decode("utf-8"))).url
    except ValueError as error:
        raise FetchFailed("the redirect cannot be read", status=answer.status) from error


def _limits(timeout_s: float, bytes_max: int) -> Limits:
    return Limits(
        connect_s=min(_CONNECT_S, max(timeout_s, 0.0)),
        first_byte_s=timeout_s,
        idle_s=timeout_s,
        total_s=timeout_s,
        answer_bytes_max=bytes_max,
    )


def _converted(error: UpstreamError) -> FetchError:
    if isinstance(error, _TIMEOUTS):
        return FetchTimeout("the request was not done in time")
    if isinstance(error, AnswerTooLarge):
        return FetchTooLarge("the content exceeds the limit")
    if isinstance(error.__cause__, AddressRefused):
        return FetchRefused(str(error))
    return FetchFailed(str(error))
