"""Where calls go and what they may cost: targets, limits and bodies.

A target is made once per channel, so that nothing about it is computed on the way of a call.
"""

import base64
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from yiapi.upstream.guard import PORTS, canonical_host


class Limits(msgspec.Struct, frozen=True, gc=False):
    """How long each part of one call may take, in seconds, and how much may come back."""

    connect_s: float = 5.0  # until a connection is ready, waiting for a free place included
    first_byte_s: float = 300.0  # from the request written to the first byte of the answer
    idle_s: float = 60.0  # without any byte moving, either way
    total_s: float = 600.0  # the whole call
    answer_bytes_max: int = 32 * 1024 * 1024  # of the body, decoded


class Body(Protocol):
    """A request body that is not held in memory and can be sent again.

    ``chunks`` starts from the beginning each time it is called and yields ``size_bytes`` bytes in
    all.
    """

    @property
    def size_bytes(self) -> int:
        """Return the exact length."""
        ...

    def chunks(self) -> Iterator[bytes] | AsyncIterator[bytes]:
        """Return a new iterator over the whole body."""
        ...


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that tunnels with CONNECT."""

    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Target:
    """One origin with a path prefix. Targets with the same ``key`` share connections."""

    scheme: str
    host: str
    port: int
    prefix: str  # put before each path; never ends with a slash
    permitted: frozenset[str]  # hosts that may be reached although they are not public
    proxy: Proxy | None
    key: str = field(repr=False)
    own_lines: tuple[bytes, bytes] = field(repr=False)  # the headers that each request gets: host, accept-encoding


def target_of(base_url: str, *, permitted: Iterable[str] = (), proxy: str | None = None) -> Target:
    """Make the target of a base URL, optionally behind a CONNECT proxy ``http://[user:password@]host:port``.

    Addresses are tested when connecting, not here. Raises ValueError for a URL with user
    information, a query or a fragment or another scheme than http and https, and AddressRefused
    for a host that is neither name nor address.
    """
    parts = _origin(base_url)
    if parts.username is not None or parts.password is not None:
        raise ValueError("a base URL carries no user name")
    host = canonical_host(parts.hostname or "")
    port = parts.port or PORTS[parts.scheme]
    permits = frozenset(permitted)
    literal = f"[{host}]" if ":" in host else host
    name = literal if port == PORTS[parts.scheme] else f"{literal}:{port}"
    return Target(
        scheme=parts.scheme,
        host=host,
        port=port,
        prefix=parts.path.rstrip("/"),
        permitted=permits,
        proxy=None if proxy is None else _proxy(proxy),
        key="|".join((f"{parts.scheme}://{literal}:{port}", proxy or "", *sorted(permits))),
        own_lines=(f"host: {name}".encode("ascii"), b"accept-encoding: identity"),
    )


def _proxy(url: str) -> Proxy:
    parts = _origin(url)
    if parts.scheme != "http" or parts.path not in {"", "/"}:
        raise ValueError("a proxy is written http://host:port")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + base64.b64encode(pair.encode())
    return Proxy(canonical_host(parts.hostname or ""), parts.port or 80, authorization)


def _origin(url: str) -> SplitResult:
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise ValueError("a URL has no spaces and no control characters")
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("a URL begins with http:// or https:// and a host")
    if "?" in url or "#" in url:
        raise ValueError("a base URL has neither query nor fragment")
    return parts
