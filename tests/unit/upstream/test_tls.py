"""Nobody is spoken to who cannot prove the name, directly or through a proxy."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from yiapi.upstream import (
    AddressGuard,
    AnswerCut,
    Client,
    ConnectFailed,
    ConnectTimeout,
    Fetcher,
    FetchFailed,
    Limits,
    TlsFailed,
    UpstreamError,
    target_of,
)

pytestmark = pytest.mark.anyio

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    folder: Path
    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def server(self, host: str, *, until: dt.datetime = NOW + DAY) -> ssl.SSLContext:
        """Return the context of a server with a certificate for a host."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = signed(name_of(host), key, self.name, self.key, until=until, host=host)
        file = self.folder / f"{x509.random_serial_number()}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def trust(self) -> ssl.SSLContext:
        """Return the context of a client that trusts this authority alone."""
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def signed(subject, key, issuer, issuer_key, *, until, host=None) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 30 * DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    )
    if host is not None:
        try:
            other = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            other = x509.DNSName(host)
        builder = builder.add_extension(x509.SubjectAlternativeName([other]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


def make_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = name_of("Test authority")
    return Authority(folder, name, key, signed(name, key, name, key, until=NOW + DAY))


async def hello(talk) -> None:
    with suppress(asyncio.IncompleteReadError):
        while True:
            await talk.request()
            await talk.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def here(name: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@pytest.fixture
async def trusting(authority):
    client = Client(AddressGuard(["127.0.0.1", "vendor.example"], resolve=here), tls_context=authority.trust())
    yield client
    await client.aclose()


@pytest.mark.parametrize("host", ["vendor.example", "127.0.0.1"])
async def test_a_peer_that_proves_its_name_is_spoken_to(serve, authority, trusting, host):
    peer = await serve(hello, authority.server(host))
    target = target_of(f"https://{host}:{peer.port}")

    answers = [await trusting.send(target, "POST", "/", [], b"x" * size) for size in (10, 500_000, 10)]

    assert [await answer.read() for answer in answers] == [b"ok"] * 3
    assert trusting.stats().made == 1


@pytest.mark.parametrize("fault", ["wrong name", "expired", "unknown authority", "not TLS", "hangs up"])
async def test_a_peer_that_does_not_is_sent_nothing(serve, authority, trusting, tmp_path, fault):
    heard = []

    async def listen(talk):
        heard.append(await talk.request())

    async def plain(talk):
        await talk.reader.read(100)
        await talk.send(b"HTTP/1.1 400 TLS, please\r\n\r\n")

    async def hang_up(talk):
        await talk.reader.read(100)

    server = {
        "wrong name": (listen, authority.server("other.example")),
        "expired": (listen, authority.server("vendor.example", until=NOW - DAY)),
        "unknown authority": (listen, make_authority(tmp_path).server("vendor.example")),
        "not TLS": (plain, None),
        "hangs up": (hang_up, None),
    }[fault]
    peer = await serve(*server)

    with pytest.raises(TlsFailed) as caught:
        await trusting.send(target_of(f"https://vendor.example:{peer.port}"), "POST", "/", [], b"secret")

    assert caught.value.sent is False
    assert heard == []


async def test_a_handshake_that_stands_still_is_a_connect_timeout(serve, trusting):
    async def script(talk):
        await talk.silence()

    peer = await serve(script)
    target = target_of(f"https://vendor.example:{peer.port}")

    with pytest.raises(ConnectTimeout):
        await trusting.send(target, "POST", "/", [], b"", Limits(connect_s=0.1))


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})])  # asyncio's own loop cannot tell
async def test_a_body_without_length_that_ends_without_a_farewell_is_cut(serve, authority, trusting):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        await asyncio.sleep(0.02)
        talk.writer.transport.abort()

    peer = await serve(script, authority.server("vendor.example"))
    answer = await trusting.send(target_of(f"https://vendor.example:{peer.port}"), "GET", "/", [])

    with pytest.raises(AnswerCut):
        await answer.read()


async def test_a_body_without_length_that_ends_with_a_farewell_is_complete(serve, authority, trusting):
    async def script(talk):
        await talk.request()
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    peer = await serve(script, authority.server("vendor.example"))
    answer = await trusting.send(target_of(f"https://vendor.example:{peer.port}"), "GET", "/", [])

    assert await answer.read() == b"all of it"


async def test_an_idle_tls_connection_that_the_peer_closed_is_not_used(serve, authority, trusting, ok, until):
    async def script(talk):
        await talk.request()
        await talk.send(ok)

    peer = await serve(script, authority.server("vendor.example"))
    target = target_of(f"https://vendor.example:{peer.port}")

    for _ in range(2):
        assert await (await trusting.send(target, "GET", "/", [])).read() == b"ok"
        await until(lambda: trusting.stats().open == 0)

    assert peer.talks == 2


def test_a_context_that_does_not_verify_is_refused():
    with pytest.raises(ValueError, match="verifies"):
        Client(AddressGuard(), tls_context=ssl._create_unverified_context())


async def test_a_fetch_verifies_too(serve, authority, tmp_path):
    peer = await serve(hello, make_authority(tmp_path).server("vendor.example"))
    fetcher = Fetcher(AddressGuard(["vendor.example"], resolve=here), tls_context=authority.trust())

    with pytest.raises(FetchFailed):
        await fetcher.post(f"https://vendor.example:{peer.port}/", [], b"{}", timeout_s=5)


# Proxies


@pytest.fixture
def proxy(serve):
    """A CONNECT proxy that lets everything through, to where the test says."""

    async def start(port: int, reply: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n"):
        async def script(talk):
            peer.seen.append(await talk.head())
            await talk.send(reply)
            if b" 200 " not in reply:
                return
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(pipe(talk.reader, writer), pipe(reader, talk.writer))
            finally:
                writer.close()
                with suppress(OSError, asyncio.CancelledError):
                    await writer.wait_closed()

        peer = await serve(script)
        return peer

    return start


async def pipe(reader, writer) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_tunnels_to_the_host_of_the_url(serve, proxy, authority, trusting, scheme):
    peer = await serve(hello, authority.server("vendor.example") if scheme == "https" else None)
    tunnel = await proxy(peer.port)
    target = target_of(f"{scheme}://vendor.example:444", proxy=f"http://me:p%40ss@127.0.0.1:{tunnel.port}")

    for _ in range(2):
        assert await (await trusting.send(target, "POST", "/", [], b"{}")).read() == b"ok"

    lines = b"CONNECT vendor.example:444 HTTP/1.1", b"host: vendor.example:444"
    assert tunnel.seen == [b"\r\n".join([*lines, b"proxy-authorization: Basic bWU6cEBzcw==", b"", b""])]
    assert "p@ss" not in repr(target)


async def test_a_certificate_is_checked_through_a_proxy(serve, proxy, authority, trusting):
    peer = await serve(hello, authority.server("other.example"))
    tunnel = await proxy(peer.port)
    target = target_of("https://vendor.example", proxy=f"http://127.0.0.1:{tunnel.port}")

    with pytest.raises(TlsFailed):
        await trusting.send(target, "POST", "/", [], b"{}")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nunasked",
        b"nonsense",
        b"",
        b"x" * 100_000,
    ],
)
async def test_a_proxy_that_does_not_tunnel_is_a_failed_connection(proxy, trusting, reply):
    tunnel = await proxy(1, reply)
    target = target_of("http://vendor.example", proxy=f"http://127.0.0.1:{tunnel.port}")

    with pytest.raises(ConnectFailed) as caught:
        await trusting.send(target, "POST", "/", [], b"{}")

    assert caught.value.sent is False


async def test_a_private_address_is_not_reached_through_a_proxy(proxy, trusting):
    tunnel = await proxy(1)
    target = target_of("http://10.0.0.1", proxy=f"http://127.0.0.1:{tunnel.port}")

    with pytest.raises(UpstreamError):
        await trusting.send(target, "POST", "/", [], b"{}")

    assert tunnel.talks == 0


@pytest.mark.parametrize(
    "url",
    ["ftp://x", "https://", "https://u:p@x", "https://x?y", "https://x/#y", "https://x y", "x", "https://x:99999"],
)
def test_a_base_url_that_is_none_is_refused(url):
    with pytest.raises(ValueError):  # noqa: PT011 - the texts differ
        target_of(url)


def test_a_target_knows_its_parts():
    target = target_of("https://API.Example.com:443/v1/", permitted=["a"])

    assert (target.scheme, target.host, target.port, target.prefix) == ("https", "api.example.com", 443, "/v1")
    assert target.key == target_of("https://api.example.com/v2", permitted=["a"]).key
    assert target.key != target_of("https://api.example.com/v1").key
