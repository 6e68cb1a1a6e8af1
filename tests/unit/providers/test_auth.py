"""How we show our credential."""

import base64
import hmac
import json

import pytest

from yiapi.providers.contract import Bearer, HeaderKey, JwtHS256
from yiapi.providers.registry import Registry

NOW = 1_795_000_000


def test_a_bearer_is_the_credential_as_it_is():
    assert Bearer().headers("sk-1", NOW) == ((b"authorization", b"Bearer sk-1"),)
    assert Bearer().lifetime_s == 0


def test_a_header_of_the_vendors_own_has_the_credential_alone():
    assert HeaderKey("api-key").headers("k-1", NOW) == ((b"api-key", b"k-1"),)


def opened(headers, secret):
    [(name, value)] = headers
    assert name == b"authorization"
    signed, _, signature = value.removeprefix(b"Bearer ").rpartition(b".")
    expected = base64.urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")
    assert signature == expected
    assert b"=" not in value
    return [json.loads(base64.urlsafe_b64decode(part + b"==")) for part in signed.split(b".")]


def test_a_token_is_signed_with_the_secret_part_and_names_the_other():
    auth = JwtHS256(valid_s=1800, backdate_s=5)

    head, claims = opened(auth.headers("access|the-secret", NOW), b"the-secret")

    assert head == {"alg": "HS256", "typ": "JWT"}
    assert claims == {"iss": "access", "exp": NOW + 1800, "nbf": NOW - 5}


def test_a_token_is_made_anew_well_before_it_ends():
    auth = JwtHS256(valid_s=1800, backdate_s=5)

    assert 0 < auth.lifetime_s <= auth.valid_s / 2


def test_the_secret_part_never_goes_up():
    [(_, value)] = JwtHS256(valid_s=1800, backdate_s=5).headers("access|the-secret-part", NOW)

    assert b"the-secret-part" not in value
    assert base64.urlsafe_b64encode(b"the-secret-part").rstrip(b"=") not in value


def test_a_secret_part_may_have_bars_itself():
    opened(JwtHS256(valid_s=10, backdate_s=0).headers("access|a|b", NOW), b"a|b")


def test_a_credential_without_a_secret_part_goes_up_as_it_is():
    auth = JwtHS256(valid_s=10, backdate_s=0)

    assert auth.headers("sk-of-another-gateway", NOW) == ((b"authorization", b"Bearer sk-of-another-gateway"),)
    assert auth.headers("access|", NOW) == ((b"authorization", b"Bearer access|"),)


@pytest.mark.parametrize("slug", sorted(Registry.discover().providers))
def test_every_provider_shows_the_sandboxs_credential_in_printable_headers(slug):
    provider = Registry.discover().providers[slug]

    for name, value in provider.auth.headers(provider.sandbox_credential.format(key="k" * 64), NOW):
        assert name == name.lower()
        assert value.decode("ascii").isprintable()
