"""Which addresses may be connected to.

A URL that came from a caller or a vendor must not lead into our own network, whatever way its
host is written and whatever its name resolves to. Everything that opens a connection asks the
guard, and connects to the very address that the guard returned.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlsplit

from yiapi.upstream.errors import AddressRefused, NameNotFound

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
SocketAddress = tuple[str, int] | tuple[str, int, int, int]
Resolve = Callable[[str, int], Awaitable[Iterable[str]]]

URL_LENGTH_MAX = 8192
PORTS = {"http": 80, "https": 443}

_REFUSED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relay anycast, withdrawn
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_TRANSLATED_V6 = ipaddress.IPv6Network("64:ff9b::/96")  # NAT64: the last four bytes are the IPv4 address
_REFUSED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo, which can wrap any IPv4 address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which can wrap any IPv4 address
        "3ffe::/16",  # withdrawn
        "3fff::/20",  # documentation
    )
)

_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ufeff]")
_NAME = re.compile(r"(?!.{254})[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_PERMIT = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+)(?::(?P<port>\d{1,5}))?")
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"
_RESOLVING = ThreadPoolExecutor(64, thread_name_prefix="resolve")


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """An untrusted URL whose form was found acceptable; its host is in canonical form."""

    scheme: str
    host: str
    port: int
    path: str  # with the query, percent-encoded

    @property
    def url(self) -> str:
        """Return the whole URL in canonical form."""
        return self.origin + self.path

    @property
    def origin(self) -> str:
        """Return the URL without its path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if PORTS[self.scheme] == self.port else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


class AddressGuard:
    """Decide which addresses may be connected to.

    ``permitted`` names hosts that the operator allows although they are not public: a name or a
    literal, optionally with a port. ``resolve`` replaces the system's resolver.
    """

    def __init__(self, permitted: Iterable[str] = (), resolve: Resolve | None = None) -> None:
        self._permitted = _permits(permitted)
        self._resolve = resolve or _system_resolve

    async def addresses(
        self, host: str, port: int, *, permitted: Iterable[str] = frozenset()
    ) -> list[tuple[int, SocketAddress]]:
        """Resolve a host and return every address of it, each tested, in the resolver's order.

        Raises AddressRefused when one of the addresses is not public and the host is not
        permitted, NameNotFound when there is none.
        """
        name = canonical_host(host)
        literal = _literal(name)
        found = [literal] if literal is not None else await self._answers(name, port)
        if not self.permits(name, port, permitted=permitted):
            for address in found:
                if not is_public(address):
                    raise AddressRefused(f"{host} leads to an address that is not public")
        return [_socket_address(address, port) for address in found]

    def permits(self, host: str, port: int, *, permitted: Iterable[str] = frozenset()) -> bool:
        """Whether the operator allows this host and port, be it public or not."""
        allowed = self._permitted | _permits(permitted) if permitted else self._permitted
        name = canonical_host(host)
        return (name, None) in allowed or (name, port) in allowed

    def check_url(self, url: str, *, permitted: Iterable[str] = frozenset()) -> CheckedUrl:
        """Test the form of an untrusted URL, and its host where that is a literal address.

        Https on the ports 443 and 80 is accepted; for permitted hosts http and any port too. Names
        are not resolved here: ``addresses`` does that when the connection is made. Raises
        AddressRefused.
        """
        parsed = _split(url)
        if not self.permits(parsed.host, parsed.port, permitted=permitted):
            if parsed.scheme != "https":
                raise AddressRefused("only https is accepted")
            if parsed.port not in PORTS.values():
                raise AddressRefused("only the ports 80 and 443 are accepted")
            literal = _literal(parsed.host)
            if literal is not None and not is_public(literal):
                raise AddressRefused("the address is not public")
        return parsed

    async def _answers(self, name: str, port: int) -> list[IpAddress]:
        try:
            texts = list(await self._resolve(name, port))
        except (OSError, UnicodeError) as error:
            raise NameNotFound(f"{name} has no address") from error
        try:
            found = [_unwrapped(ipaddress.ip_address(text)) for text in dict.fromkeys(texts)]
        except ValueError as error:
            raise AddressRefused(f"{name} leads to something that is not an address") from error
        if not found:
            raise NameNotFound(f"{name} has no address")
        return found


def is_public(address: IpAddress) -> bool:
    """Whether an address is globally routable unicast, whatever it is wrapped in."""
    address = _unwrapped(address)
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_V4)
    if address in _TRANSLATED_V6:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return False
    return not any(address in network for network in _REFUSED_V6)


def canonical_host(host: str) -> str:
    """Return a host in the one form that is compared and connected to.

    Literals in decimal, hexadecimal, octal and short notation become dotted quads, names become
    lower-case ASCII without a final dot. Raises AddressRefused for what is neither.
    """
    text = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if ":" in text:
        try:
            return str(_unwrapped(ipaddress.IPv6Address(text)))
        except ValueError as error:
            raise AddressRefused("the host is not an address") from error
    name = _ascii(text).lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise AddressRefused("the host is not a name")
    try:
        return str(ipaddress.IPv4Address(socket.inet_aton(name)))
    except OSError:
        pass
    if name.rsplit(".", 1)[-1].isdigit() or name.rsplit(".", 1)[-1].startswith("0x"):
        raise AddressRefused("the host is not an address")
    return name


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise AddressRefused("the host is not a name") from error


def _literal(name: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _unwrapped(address: IpAddress) -> IpAddress:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _socket_address(address: IpAddress, port: int) -> tuple[int, SocketAddress]:
    if isinstance(address, ipaddress.IPv4Address):
        return socket.AF_INET, (str(address), port)
    return socket.AF_INET6, (str(address), port, 0, 0)


def _permits(entries: Iterable[str]) -> frozenset[tuple[str, int | None]]:
    return frozenset(_permit(entry) for entry in entries)


def _permit(entry: str) -> tuple[str, int | None]:
    literal = _literal(entry)
    if literal is not None:
        return str(_unwrapped(literal)), None
    match = _PERMIT.fullmatch(entry)
    if match is None:
        raise ValueError(f"{entry!r} is neither a host nor host:port")
    return canonical_host(match["host"]), int(match["port"]) if match["port"] else None


def _split(url: str) -> CheckedUrl:
    if len(url) > URL_LENGTH_MAX or _NOT_IN_URL.search(url):
        raise AddressRefused("the URL is too long or has characters that do not belong there")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("the URL cannot be read") from error
    scheme = parts.scheme.lower()
    if scheme not in PORTS or not parts.hostname:
        raise AddressRefused("the URL is not a web address")
    if "@" in parts.netloc or "#" in url:
        raise AddressRefused("user names and fragments are not accepted")
    if port == 0:
        raise AddressRefused("the URL cannot be read")
    path = quote(parts.path or "/", safe=_PATH_SAFE)
    query = f"?{quote(parts.query, safe=_PATH_SAFE + '?')}" if parts.query else ""
    return CheckedUrl(scheme, canonical_host(parts.hostname), port or PORTS[scheme], path + query)


async def _system_resolve(name: str, port: int) -> Iterable[str]:
    """Ask the system, in threads kept for that: a name server that is silent holds one long after we gave up."""
    ask = partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
    answers = await asyncio.get_running_loop().run_in_executor(_RESOLVING, ask)
    return [str(answer[4][0]) for answer in answers]
