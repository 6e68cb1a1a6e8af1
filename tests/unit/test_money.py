"""Money: whole nano-dollars that never mix with plain numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yiapi.money import SINGLE_AMOUNT_MAX, ZERO, AmountOutOfRange, Money, money_text

nanos = st.integers(-(10**24) + 1, 10**24 - 1)


@given(nanos)
def test_an_amount_is_read_as_it_was_written(nano):
    assert Money.parse(money_text(nano)) == Money(nano)


@given(nanos)
def test_an_amount_is_written_without_zeros_at_its_end_and_with_at_most_nine_places(nano):
    whole, _, places = money_text(nano).partition(".")

    assert len(places) <= 9
    assert not places.endswith("0")
    assert whole.removeprefix("-").isdigit()


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("0", 0),
        ("0.042", 42_000_000),
        ("1", 10**9),
        ("-0.5", -500_000_000),
        ("0.000000001", 1),
        ("1.50", 1_500_000_000),
        ("007", 7 * 10**9),
    ],
)
def test_a_decimal_string_is_read_exactly(text, nano):
    assert Money.parse(text).nano == nano


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", ".5", "5.", "1,5", " 1", "1 ", "1\n", "1_0", "+1", "--1", "x", "nan", "inf", "１"),
        *("0.0000000001", "0.1000000000", "0.1234567890000000000000000000000001"),
        *("1e3", "1e999999", "1e-999999", "9" * 16, "9" * 5000),
    ],
    ids=lambda text: text[:20],
)
def test_anything_else_is_refused_and_never_rounded(text):
    with pytest.raises(ValueError, match="not an amount"):
        Money.parse(text)


@given(st.integers(), st.integers())
def test_sums_and_differences_are_those_of_the_numbers(first, second):
    assert Money(first) + Money(second) == Money(first + second)
    assert Money(first) - Money(second) == Money(first - second)
    assert (Money(first) < Money(second)) is (first < second)
    assert (Money(first) >= Money(second)) is (first >= second)


@pytest.mark.parametrize("number", [1, 1.5, True, "1", None])
def test_an_amount_mixes_with_no_number(number):
    for mix in (
        lambda: Money(1) + number,
        lambda: number + Money(1),
        lambda: Money(1) - number,
        lambda: Money(1) < number,
        lambda: Money(1) >= number,
    ):
        with pytest.raises(TypeError):
            mix()


def test_amounts_do_not_multiply():
    with pytest.raises(TypeError):
        Money(1) * 2


def test_only_nothing_is_false():
    assert not ZERO
    assert Money(-1)
    assert Money(1)


@pytest.mark.parametrize("nano", [0, 1, SINGLE_AMOUNT_MAX])
def test_what_may_move_is_itself(nano):
    assert Money(nano).movable() == Money(nano)


@pytest.mark.parametrize("nano", [-1, SINGLE_AMOUNT_MAX + 1, 2**63, 2**64 + 1])
def test_what_may_not_move_is_refused_and_never_wraps(nano):
    with pytest.raises(AmountOutOfRange):
        Money(nano).movable()
