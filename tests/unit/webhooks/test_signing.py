"""Signatures are those of Standard Webhooks, as its own library sees them."""

import base64
import time

import pytest
import standardwebhooks

from yiapi.webhooks.signing import is_genuine, is_secret, new_secret, signed_headers

BODY = '{"type":"task.succeeded","data":{"text":"你好"}}'.encode()


def headers_of(*secrets: str, age_s: int = 0) -> dict[str, str]:
    pairs = signed_headers(secrets, "evt_1", int(time.time()) - age_s, BODY)
    return {name.decode(): value.decode() for name, value in pairs}


def test_a_secret_has_24_to_64_random_bytes_behind_its_prefix():
    secrets = {new_secret() for _ in range(100)}

    assert len(secrets) == 100
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
        assert is_secret(secret)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_AAAA", "whsec_***", "AAAA" * 11, "whsec_" + "A" * 88])
def test_other_texts_are_no_secrets(text):
    assert not is_secret(text)


def test_the_library_verifies_what_we_sign():
    secret = new_secret()

    assert standardwebhooks.Webhook(secret).verify(BODY, headers_of(secret))["type"] == "task.succeeded"


def test_the_library_refuses_another_secret():
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(new_secret()).verify(BODY, headers_of(new_secret()))


def test_f094_each_of_two_secrets_verifies():
    older, newer = new_secret(), new_secret()
    headers = headers_of(newer, older)

    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (older, newer):
        standardwebhooks.Webhook(secret).verify(BODY, headers)


def test_without_a_secret_there_is_no_signature():
    assert headers_of().keys() == {"webhook-id", "webhook-timestamp"}


def test_we_verify_what_the_library_signs():
    secret = new_secret()

    assert is_genuine(secret, headers_of(new_secret(), secret), BODY, now_s=time.time())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"webhook-signature": ""}, id="unsigned"),
        pytest.param({"webhook-signature": "v1,AAAA v1a,BBBB"}, id="wrongly signed"),
        pytest.param({"webhook-id": "evt_2"}, id="another id"),
        pytest.param({"webhook-id": ""}, id="no id"),
        pytest.param({"webhook-timestamp": "1"}, id="another time"),
        pytest.param({"webhook-timestamp": "-1"}, id="no time"),
        pytest.param({"webhook-timestamp": "9" * 400}, id="a long time"),
        pytest.param({"webhook-timestamp": "١٢٣"}, id="digits of another script"),
    ],
)
def test_s9_a_forged_message_is_not_genuine(change):
    secret = new_secret()

    assert not is_genuine(secret, headers_of(secret) | change, BODY, now_s=time.time())


@pytest.mark.parametrize(("age_s", "is_taken"), [(299, True), (302, False), (-299, True), (-302, False)])
def test_s9_a_message_is_genuine_for_five_minutes(age_s, is_taken):
    secret = new_secret()

    assert is_genuine(secret, headers_of(secret, age_s=age_s), BODY, now_s=int(time.time())) is is_taken


def test_s9_an_altered_body_is_not_genuine():
    secret = new_secret()

    assert not is_genuine(secret, headers_of(secret), BODY + b" ", now_s=time.time())
