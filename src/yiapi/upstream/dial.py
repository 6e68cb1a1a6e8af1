"""Make one connection: name, guard, TCP, tunnel, TLS."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import cast

from yiapi.upstream.connection import Connection
from yiapi.upstream.errors import (
    ConnectFailed,
    ConnectTimeout,
    GuardError,
    NameNotFound,
    TlsFailed,
)
from yiapi.upstream.guard import AddressGuard, SocketAddress
from yiapi.upstream.target import Target

ADDRESSES_MAX = 4  # of those that a name has, how many are tried

_REPLY_BYTES_MAX = 16 * 1024
_TUNNELLED = b"200"


async def dial(
    guard: AddressGuard,
    target: Target,
    tls_context: ssl.SSLContext | None,
    *,
    make: Callable[[], Connection],
    timeout_s: float,
) -> Connection:
    """Connect to a target. Raises ConnectFailed, TlsFailed or ConnectTimeout; nothing was sent then."""
    try:
        async with asyncio.timeout(timeout_s):
            stream = await _reach(guard, target, timeout_s)
            try:
                if target.proxy is not None:
                    await _tunnel(stream, target)
                return await _open(stream, target, tls_context, make)
            except BaseException:
                stream.close()
                raise
    except TimeoutError as error:
        raise ConnectTimeout("no connection in time") from error


async def _reach(guard: AddressGuard, target: Target, timeout_s: float) -> socket.socket:
    try:
        if target.proxy is None:
            addresses = await guard.addresses(target.host, target.port, permitted=target.permitted)
        else:
            await _check_behind_proxy(guard, target)
            addresses = await guard.addresses(target.proxy.host, target.proxy.port, permitted=target.permitted)
    except GuardError as error:
        raise ConnectFailed(str(error)) from error
    addresses = addresses[:ADDRESSES_MAX]
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + timeout_s
    failure: OSError | None = None
    for left, (family, address) in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            return await _connected(family, address, (ends_at - loop.time()) / left)
        except OSError as error:
            failure = error
    raise ConnectFailed("no connection to the peer") from failure


async def _check_behind_proxy(guard: AddressGuard, target: Target) -> None:
    """Test the addresses of a host that the proxy will resolve; a name that only the proxy knows passes."""
    try:
        await guard.addresses(target.host, target.port, permitted=target.permitted)
    except NameNotFound:
        return


async def _connected(family: int, address: SocketAddress, timeout_s: float) -> socket.socket:
    stream = socket.socket(family, socket.SOCK_STREAM)
    try:
        stream.setblocking(False)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(timeout_s):
            await asyncio.get_running_loop().sock_connect(stream, address)
    except BaseException:
        stream.close()
        raise
    return stream


async def _tunnel(stream: socket.socket, target: Target) -> None:
    """Ask the proxy for a way through."""
    assert target.proxy is not None
    loop = asyncio.get_running_loop()
    host = f"[{target.host}]" if ":" in target.host else target.host
    name = f"{host}:{target.port}".encode("ascii")
    lines = [b"CONNECT " + name + b" HTTP/1.1", b"host: " + name]
    if target.proxy.authorization is not None:
        lines.append(b"proxy-authorization: " + target.proxy.authorization)
    reply = b""
    try:
        await loop.sock_sendall(stream, b"\r\n".join(lines) + b"\r\n\r\n")
        while b"\r\n\r\n" not in reply and len(reply) < _REPLY_BYTES_MAX:
            piece = await loop.sock_recv(stream, 4096)
            if not piece:
                break
            reply += piece
    except OSError as error:
        raise ConnectFailed("the proxy closed the connection") from error
    words = reply.split(b"\r\n", 1)[0].split(b" ")
    if not reply.endswith(b"\r\n\r\n") or not words[0].startswith(b"HTTP/1.") or words[1:2] != [_TUNNELLED]:
        raise ConnectFailed("the proxy does not let us through")


async def _open(
    stream: socket.socket, target: Target, tls_context: ssl.SSLContext | None, make: Callable[[], Connection]
) -> Connection:
    loop = asyncio.get_running_loop()
    make_protocol = cast("Callable[[], asyncio.Protocol]", make)  # it is one by what it can do
    try:
        if target.scheme == "https":
            _, protocol = await loop.create_connection(
                make_protocol, sock=stream, ssl=tls_context, server_hostname=target.host, ssl_handshake_timeout=3600
            )
        else:
            _, protocol = await loop.create_connection(make_protocol, sock=stream)
    except (OSError, ssl.SSLError) as error:
        if target.scheme == "https":
            raise TlsFailed("the handshake with the peer failed") from error
        raise ConnectFailed("no connection to the peer") from error
    connection = cast("Connection", protocol)
    if not connection.is_open:
        raise ConnectFailed("the peer closed the connection at once")
    return connection
