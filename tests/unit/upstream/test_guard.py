"""Nothing that is not public is connected to, in whatever way it is written or hidden."""

import ipaddress
import socket

import pytest

from yiapi.upstream import AddressGuard, AddressRefused, NameNotFound

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


def resolving(*texts: str):
    async def resolve(name: str, port: int) -> list[str]:
        return list(texts)

    return resolve


def is_canonical(host: str) -> bool:
    """Whether a resolver would give this answer."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


NOT_PUBLIC = [
    "0",
    "0.0.0.0",
    "0x0",
    "0x7f.1",
    "0x7f000001",
    "0X7F.0X1",
    "017700000001",
    "0177.0.0.1",
    "10.0.0.1",
    "10.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.255.255.255",
    "1２7.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "169.254.169.254",
    "2852039166",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "0300.0250.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "2130706433",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1:0:0:80ff:fffe",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "3ffe::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "4000::1",
]
PUBLIC = [
    ("8.8.8.8", "8.8.8.8"),
    ("134744072", "8.8.8.8"),
    ("172.15.0.1", "172.15.0.1"),
    ("172.32.0.1", "172.32.0.1"),
    ("100.128.0.1", "100.128.0.1"),
    ("::ffff:8.8.8.8", "8.8.8.8"),
    ("2606:4700::1111", "2606:4700::1111"),
    ("[2606:4700::1111]", "2606:4700::1111"),
    ("64:ff9b::8.8.8.8", "64:ff9b::808:808"),
]


@pytest.mark.parametrize("host", NOT_PUBLIC)
async def test_an_address_that_is_not_public_is_refused(host):
    with pytest.raises(AddressRefused):
        await AddressGuard().addresses(host, 443)


@pytest.mark.parametrize(("host", "address"), PUBLIC)
async def test_a_public_address_is_returned_as_it_is_connected_to(host, address):
    found = await AddressGuard().addresses(host, 443)

    assert [(family, sockaddr[:2]) for family, sockaddr in found] == [
        (socket.AF_INET6 if ":" in address else socket.AF_INET, (address, 443))
    ]


@pytest.mark.parametrize("host", [host for host in NOT_PUBLIC if is_canonical(host)])
async def test_a_name_that_leads_to_such_an_address_is_refused(host):
    with pytest.raises(AddressRefused):
        await AddressGuard(resolve=resolving(host)).addresses("a.example", 443)


@pytest.mark.parametrize(
    "answers", [("8.8.8.8", "10.0.0.1"), ("::1", "8.8.8.8"), ("8.8.8.8", "fe80::1%eth0"), ("junk",)]
)
async def test_one_bad_answer_refuses_them_all(answers):
    with pytest.raises(AddressRefused):
        await AddressGuard(resolve=resolving(*answers)).addresses("a.example", 443)


async def test_every_good_answer_is_returned_in_order():
    guard = AddressGuard(resolve=resolving("2606:4700::1", "8.8.8.8", "8.8.8.8"))

    found = await guard.addresses("A.Example.", 80)

    assert found == [(socket.AF_INET6, ("2606:4700::1", 80, 0, 0)), (socket.AF_INET, ("8.8.8.8", 80))]


@pytest.mark.parametrize("answer", [OSError("gone"), UnicodeError("label"), None])
async def test_a_name_without_an_address_is_not_found(answer):
    async def resolve(name, port):
        if answer is not None:
            raise answer
        return []

    with pytest.raises(NameNotFound):
        await AddressGuard(resolve=resolve).addresses("a.example", 443)


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        "a b",
        "a\nb",
        "-",
        "a" * 64,
        "a." * 130,
        "256.256.256.256",
        "1.2.3.4.5",
        "1.2.3.0x",
        "x]",
        "::g",
        "é" * 99,
    ],
)
async def test_what_is_neither_name_nor_address_is_refused(host):
    with pytest.raises(AddressRefused):
        await AddressGuard(resolve=resolving("8.8.8.8")).addresses(host, 443)


@pytest.mark.parametrize(
    ("permit", "host", "port", "is_permitted"),
    [
        ("127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1", "127.1", 80, True),
        ("127.0.0.1", "::ffff:127.0.0.1", 80, True),
        ("127.0.0.1", "127.0.0.2", 80, False),
        ("127.0.0.1", "inner.example", 80, False),
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("127.0.0.1:8080", "127.0.0.1", 80, False),
        ("::1", "[::1]", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[::1]:8080", "::1", 80, False),
        ("inner.example", "INNER.example.", 80, True),
        ("inner.example", "deep.inner.example", 80, False),
        ("inner.example:8080", "inner.example", 8080, True),
        ("inner.example:8080", "inner.example", 80, False),
    ],
)
async def test_the_operator_permits_a_host_by_name_or_literal(permit, host, port, is_permitted):
    for guard, permitted in (
        (AddressGuard([permit], resolving("10.0.0.1")), ()),
        (AddressGuard((), resolving("10.0.0.1")), [permit]),
    ):
        if is_permitted:
            assert await guard.addresses(host, port, permitted=permitted)
        else:
            with pytest.raises(AddressRefused):
                await guard.addresses(host, port, permitted=permitted)


@pytest.mark.parametrize("entry", ["", "a:b", "http://a", "[::1", "a:1:2", "a/b"])
def test_a_permission_that_is_no_host_is_a_mistake(entry):
    with pytest.raises((ValueError, AddressRefused)):
        AddressGuard([entry])


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example/",
        "ftp://a.example/",
        "file:///etc/passwd",
        "gopher://a.example/",
        "//a.example/",
        "a.example",
        "https:///x",
        "https://",
        "",
        "https://user@a.example/",
        "https://user:pass@a.example/",
        "https://@a.example/",
        "https://a.example:22/",
        "https://a.example:8443/",
        "https://a.example:0/",
        "https://a.example:99999/",
        "https://a.example:x/",
        "https://a.example/#top",
        "https://a.example/#",
        "https://a.example/a b",
        "https://a.example/\r\nx: y",
        "https://a.example/\t",
        "https://a.example\\@10.0.0.1/",
        "https://a.example/\x00",
        "https://a.example/\u2028",
        "https://a.example/" + "x" * 9000,
        "https://127.0.0.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://0/",
        "https://1２7.0.0.1/",
        "https://[::1/",
        "https://a..b/",
    ],
)
def test_an_untrusted_url_of_another_form_is_refused(url):
    with pytest.raises(AddressRefused):
        AddressGuard().check_url(url)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://a.example", "https://a.example/"),
        ("HTTPS://A.Example.:443/B?c=d%20e&f=/", "https://a.example/B?c=d%20e&f=/"),
        ("https://a.example:80/", "https://a.example:80/"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://[2606:4700::1]/x", "https://[2606:4700::1]/x"),
        ("https://bücher.example/é?ü", "https://xn--bcher-kva.example/%C3%A9?%C3%BC"),
        ('https://a.example/x|y"z', "https://a.example/x%7Cy%22z"),
    ],
)
def test_a_good_url_comes_back_in_canonical_form(url, canonical):
    assert AddressGuard().check_url(url).url == canonical


@pytest.mark.parametrize("url", ["http://inner.example:8080/x", "https://inner.example:8443/", "http://127.0.0.1:9/"])
def test_permitted_hosts_may_have_any_scheme_and_port(url):
    permits = ["inner.example", "127.0.0.1"]

    assert AddressGuard(permits).check_url(url).url == url
    assert AddressGuard().check_url(url, permitted=permits).url == url
    with pytest.raises(AddressRefused):
        AddressGuard(["other.example"]).check_url(url)


async def test_the_system_resolver_is_asked_by_default():
    with pytest.raises(AddressRefused):
        await AddressGuard().addresses("localhost", 80)

    assert await AddressGuard(["localhost"]).addresses("localhost", 80)
