"""S1: what a key looks like, and what is refused before anything is asked."""

import itertools
import math
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yiapi.apikeys.text import ALPHABET, PREFIXES, RANDOM_LENGTH, checked, checksum, hint, make_text

FORM = re.compile(r"sk-(live|test|admin)-[0-9A-Za-z]{38}")


@pytest.mark.parametrize("mode", PREFIXES)
def test_s1_a_key_is_a_prefix_190_random_bits_and_a_checksum(mode):
    text = make_text(mode)

    assert FORM.fullmatch(text)
    assert text.startswith(f"sk-{mode}-")
    assert len(set(ALPHABET)) == 62
    assert RANDOM_LENGTH * math.log2(62) >= 190
    assert checked(text) == text.encode()


def test_s1_no_place_of_a_key_is_ever_the_same_for_all():
    made = [make_text("live").removeprefix("sk-live-")[:RANDOM_LENGTH] for _ in range(300)]

    assert all(len(set(characters)) > 30 for characters in zip(*made, strict=True))
    assert len(set(made)) == 300


@given(st.binary(max_size=60))
def test_the_checksum_is_a_crc_32_in_base62(body):
    number = sum(ALPHABET.index(chr(byte)) * 62**place for place, byte in enumerate(reversed(checksum(body))))

    assert number == zlib.crc32(body)


def test_f022_any_one_wrong_character_is_noticed():
    text = make_text("live")

    for index, character in itertools.product(range(len(text)), "0zQ-_\n"):
        wrong = text[:index] + character + text[index + 1 :]
        assert (checked(wrong) is not None) == (wrong == text)


def test_f022_two_characters_that_changed_places_are_noticed():
    text = make_text("test")

    for index in range(len(text) - 1):
        swapped = text[:index] + text[index + 1] + text[index] + text[index + 2 :]
        assert (checked(swapped) is not None) == (swapped == text)


def test_f022_a_cut_or_longer_key_is_noticed():
    text = make_text("live")

    for wrong in [text[:length] for length in range(len(text))] + [text + "0", text * 2, f" {text}", f"{text}\n"]:
        assert checked(wrong) is None


@pytest.mark.parametrize("prefix", ["sk-prod-", "sk-LIVE-", "pk-live-", "sk_live_", "sk-admi-", "        "])
def test_f022_a_wrong_prefix_is_refused_although_its_checksum_is_right(prefix):
    body = prefix + "A" * RANDOM_LENGTH

    assert checked(body + checksum(body.encode()).decode()) is None


def test_f022_a_key_of_one_mode_is_none_of_another():
    text = make_text("test")

    assert checked(text.replace("sk-test-", "sk-live-")) is None


@pytest.mark.parametrize(
    "hostile",
    [
        None,
        "",
        "sk-live-",
        "' OR 1=1 --",
        "sk-live-' UNION SELECT hash FROM api_keys WHERE ''='0123",
        "a" * 8192,
        "sk-live-" + "０" * 38,
        "sk-live-" + "\0" * 38,
        "sk-live-" + "\ud800" * 38,
        "sk-live-" + "é" * 38,
    ],
    ids=lambda text: repr(text)[:20],
)
def test_f024_hostile_text_is_no_key(hostile):
    assert checked(hostile) is None


@given(st.text(max_size=60))
def test_f024_no_text_breaks_the_check(text):
    assert checked(text) is None or FORM.fullmatch(text)


def test_of_a_key_its_prefix_and_last_four_characters_may_be_shown():
    text = make_text("admin")

    assert hint(text) == f"sk-admin-…{text[-4:]}"
