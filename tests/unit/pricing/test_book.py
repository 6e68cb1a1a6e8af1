"""What usage costs: the closest row, the whole sum, one rounding upwards."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.errors import InvalidRequest, ModelNotFound
from yiapi.money import SINGLE_AMOUNT_MAX, Money
from yiapi.pricing import MULTIPLIER_ONE, PriceBook, PriceRow, units_per_price
from yiapi.pricing.book import _REMEMBERED_MAX
from yiapi.providers.contract import Unit, Usage

IN, CACHED, OUT = Unit.TOKEN_IN, Unit.TOKEN_IN_CACHED, Unit.TOKEN_OUT

# Which row


def test_an_exact_name_goes_before_every_pattern(row, book, price):
    prices = book(row("gpt-4o*", 1_000_000), row("gpt-4o-mini", 2_000_000), row("gpt-4o-min?", 3_000_000))

    assert price(prices, ("gpt-4o-mini", Unit.IMAGE, 1)) == 2


def test_the_pattern_with_more_literal_characters_goes_before_another(row, book, price):
    prices = book(row("*", 1_000_000), row("gpt-4o-*", 2_000_000), row("gpt-*", 3_000_000))

    assert price(prices, ("gpt-4o-mini", Unit.IMAGE, 1)) == 2
    assert price(prices, ("gpt-5", Unit.IMAGE, 1)) == 3
    assert price(prices, ("o1", Unit.IMAGE, 1)) == 1


def test_a_pattern_for_models_prices_no_variant(row, book, price):
    prices = book(row("kling-v*", 1_000_000), row("kling-v*:pro", 5_000_000))

    assert price(prices, ("kling-v2:pro", Unit.IMAGE, 1)) == 5
    with pytest.raises(ModelNotFound):
        price(prices, ("kling-v2:std", Unit.IMAGE, 1))


@pytest.mark.parametrize("stranger", ["GPT-4O", "gpt-4o ", "gpt-4", "gpt-4oo", "", "gpt.4o", "gpt-4o\n"])
def test_another_name_is_another_model(row, book, price, stranger):
    with pytest.raises(ModelNotFound):
        price(book(row("gpt-4o")), (stranger, Unit.IMAGE, 1))


@pytest.mark.parametrize(
    "hostile", ["m\0", "m\x1f", "m\x7f", "m\x85", "m\ud800", "m ", "m\n", "m\u3000", "m:"], ids=repr
)
def test_f020_a_pattern_lets_no_name_in_that_could_not_be_stored(row, book, price, hostile):
    prices = book(row("m*"), row("m?"))

    assert not prices.knows("acme", hostile)
    with pytest.raises(ModelNotFound):
        price(prices, (hostile, Unit.IMAGE, 1))


def test_special_characters_of_a_name_mean_themselves(row, book, price):
    prices = book(row("a.b+(c)[d]"), row("a.b*"))

    assert price(prices, ("a.b+(c)[d]", Unit.IMAGE, 1)) == 1
    with pytest.raises(ModelNotFound):
        price(prices, ("aXb", Unit.IMAGE, 1))


def test_another_unit_or_provider_has_no_price_of_this_one(row, book):
    prices = book(row("m"))

    for provider, unit in (("acme", Unit.SECOND), ("other", Unit.IMAGE)):
        with pytest.raises(ModelNotFound):
            prices.price(provider, [Usage("m", unit, 1)], MULTIPLIER_ONE)


def test_f018_an_unknown_model_is_named_without_its_variant_and_not_at_length(row, book, price):
    for sku, named in (("nobody:std", "`nobody`"), ("x" * 5000, "x" * 200)):
        with pytest.raises(ModelNotFound) as error:
            price(book(row()), (sku, Unit.IMAGE, 1))
        assert named in error.value.message
        assert len(error.value.message) < 300


def test_a_price_of_nothing_is_none_unless_it_is_marked_free(row, book, price):
    assert price(book(row("gift", 0)), ("gift", Unit.IMAGE, 10**6)) == 0
    with pytest.raises(ModelNotFound):
        price(book(row("slip", 0, is_free=False)), ("slip", Unit.IMAGE, 1))


names = st.text("ab:", max_size=4)
skus = st.text("ab:*?", min_size=1, max_size=5)


def reads_as(pattern: str, name: str) -> bool:
    """Match as the rules are told, letter by letter."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return reads_as(pattern[1:], name) or (bool(name) and name[0] != ":" and reads_as(pattern, name[1:]))
    if not name:
        return False
    fits = name[0] != ":" if pattern[0] == "?" else name[0] == pattern[0]
    return fits and reads_as(pattern[1:], name[1:])


@settings(max_examples=100)
@given(st.lists(skus, unique=True, max_size=8), names)
def test_whatever_rows_there_are_the_closest_one_is_taken(names_of_rows, name):
    book = PriceBook(1, [PriceRow("acme", sku, Unit.IMAGE, number + 1, 0) for number, sku in enumerate(names_of_rows)])

    found = book.row("acme", name, Unit.IMAGE)

    fitting = [sku for sku in names_of_rows if reads_as(sku, name)]
    if not fitting:
        assert found is None
    elif name in fitting:
        assert found.sku == name
    else:
        most = max(len(sku.replace("*", "").replace("?", "")) for sku in fitting)
        assert found.sku in [sku for sku in fitting if len(sku.replace("*", "").replace("?", "")) == most]


def test_what_is_remembered_of_lookups_has_an_end(row, book):
    prices = book(row("m*"))

    for number in range(_REMEMBERED_MAX * 2):
        prices.row("acme", f"m{number}", Unit.IMAGE)
    prices.row("acme", "m" * 10_000, Unit.IMAGE)

    prices.row("acme", "m" * 200, Unit.IMAGE)

    assert 0 < len(prices._found) <= _REMEMBERED_MAX
    assert max(len(sku) for _, sku, _ in prices._found) <= 200


# Cached tokens


def test_cached_tokens_have_a_price_of_their_own(row, book, price):
    prices = book(row("m", 10_000_000, IN), row("m", 1_000_000, CACHED))

    assert price(prices, ("m", IN, 3), ("m", CACHED, 5)) == 35


def test_cached_tokens_without_a_price_of_their_own_cost_what_others_cost(row, book, price):
    assert price(book(row("m", 10_000_000, IN)), ("m", CACHED, 5)) == 50


def test_the_discount_of_a_wide_pattern_is_not_for_a_model_with_its_own_price(row, book, price):
    prices = book(row("m-large", 10_000_000, IN), row("m*", 5_000_000, IN), row("m*", 1_000_000, CACHED))

    assert price(prices, ("m-large", CACHED, 1)) == 10
    assert price(prices, ("m-small", CACHED, 1)) == 1


def test_a_quote_reckons_with_the_dearer_of_plain_and_cached(row, book):
    """Before the call nobody knows what the vendor has in its cache."""
    prices = book(row("m", 10_000_000, IN), row("m", 12_000_000, CACHED))

    assert prices.quote("acme", [Usage("m", IN, 100)], MULTIPLIER_ONE).amount == Money(1200)


# The sum

quantities = st.integers(0, 10**7)
sells = st.integers(1, 10**9)
multipliers = st.integers(0, 5 * MULTIPLIER_ONE)
bills = st.lists(st.tuples(sells, quantities), min_size=1, max_size=5)


def priced(bill, multiplier):
    rows = [PriceRow("acme", f"m{number}", Unit.IMAGE, sell, 0) for number, (sell, _) in enumerate(bill)]
    used = [Usage(f"m{number}", Unit.IMAGE, quantity) for number, (_, quantity) in enumerate(bill)]
    return PriceBook(1, rows), used


@given(bills, multipliers)
def test_a_price_is_the_exact_sum_rounded_up_once(bill, multiplier):
    prices, used = priced(bill, multiplier)

    exact = sum(Fraction(sell * quantity, 10**6) for sell, quantity in bill) * Fraction(multiplier, MULTIPLIER_ONE)
    assert prices.price("acme", used, multiplier).nano == ceil(exact)


@given(bills, multipliers)
def test_one_bill_is_never_dearer_than_its_parts(bill, multiplier):
    prices, used = priced(bill, multiplier)

    whole = prices.price("acme", used, multiplier).nano
    parts = sum(prices.price("acme", [one], multiplier).nano for one in used)
    assert parts - len(used) < whole <= parts


@given(bills, multipliers)
def test_the_parts_of_a_quote_add_up_to_it_and_it_covers_the_price(bill, multiplier):
    prices, used = priced(bill, multiplier)

    quote = prices.quote("acme", used, multiplier)

    assert sum(part.amount.nano for part in quote.parts) == quote.amount.nano
    assert quote.amount == prices.price("acme", used, multiplier)
    assert all(part.amount.nano >= 0 for part in quote.parts)
    assert (quote.version, quote.multiplier) == (1, multiplier)


def test_f049_a_price_below_one_unit_is_one_unit(row, book, price):
    prices = book(row("m", 1, IN))

    assert price(prices, ("m", IN, 1)) == 1
    assert price(prices, ("m", IN, 10**6)) == 1
    assert price(prices, ("m", IN, 10**6 + 1)) == 2
    assert price(prices, ("m", IN, 0)) == 0


def test_a_multiplier_of_zero_gives_everything_away(row, book, price):
    assert price(book(row("m", 10**12)), ("m", Unit.IMAGE, 5), multiplier=0) == 0


def test_what_it_costs_us_knows_no_multiplier(row, book):
    prices = book(row("m", 10_000_000, cost=3_000_001))

    assert prices.cost("acme", [Usage("m", Unit.IMAGE, 2)]) == Money(7)


def test_nothing_used_costs_nothing(row, book):
    assert book(row()).price("acme", [], MULTIPLIER_ONE) == Money(0)
    assert book(row()).quote("acme", [], MULTIPLIER_ONE).parts == ()


# What cannot be


@pytest.mark.parametrize("quantity", [-1, -(10**9)])
def test_a_negative_quantity_is_refused(row, book, quantity):
    prices = book(row())

    for ask in (prices.price, prices.quote):
        with pytest.raises(InvalidRequest):
            ask("acme", [Usage("m", Unit.IMAGE, quantity)], MULTIPLIER_ONE)


def test_a_negative_part_does_not_lower_a_sum(row, book):
    with pytest.raises(InvalidRequest):
        book(row()).price("acme", [Usage("m", Unit.IMAGE, 10), Usage("m", Unit.IMAGE, -9)], MULTIPLIER_ONE)


def test_an_amount_that_cannot_be_moved_is_refused_and_never_wraps(row, book):
    prices = book(row("m", 10**6))

    assert prices.price("acme", [Usage("m", Unit.IMAGE, SINGLE_AMOUNT_MAX)], MULTIPLIER_ONE).nano == SINGLE_AMOUNT_MAX
    for quantity in (SINGLE_AMOUNT_MAX + 1, 2**63, 2**200):
        for ask in (prices.price, prices.quote):
            with pytest.raises(InvalidRequest):
                ask("acme", [Usage("m", Unit.IMAGE, quantity)], MULTIPLIER_ONE)


# The most that one call can use


def test_a_quote_counts_no_more_than_one_call_can_use(row, book):
    prices = book(row("m", 1_000_000, OUT, quantity_max=4096))

    quote = prices.quote("acme", [Usage("m", OUT, 10**9)], MULTIPLIER_ONE)

    assert quote.amount == Money(4096)
    assert quote.parts[0].quantity == 4096


def test_a_quote_counts_less_where_less_was_asked_for(row, book):
    prices = book(row("m", 1_000_000, OUT, quantity_max=4096))

    assert prices.quote("acme", [Usage("m", OUT, 10)], MULTIPLIER_ONE).amount == Money(10)


def test_each_of_several_answers_can_use_the_most(row, book):
    prices = book(row("m", 1_000_000, OUT, quantity_max=4096))

    assert prices.quote("acme", [Usage("m", OUT, 10**9, choices=3)], MULTIPLIER_ONE).amount == Money(3 * 4096)


def test_a_price_counts_what_was_used_whatever_the_most_is(row, book, price):
    assert price(book(row("m", 1_000_000, OUT, quantity_max=10)), ("m", OUT, 12)) == 12


def test_a_quote_is_read_by_the_unit_that_people_price(row, book):
    prices = book(row("chat", 5_000_000_000, IN), row("picture", 40_000_000_000_000, Unit.IMAGE))

    tokens, picture = prices.quote(
        "acme", [Usage("chat", IN, 1000), Usage("picture", Unit.IMAGE, 2)], MULTIPLIER_ONE // 2
    ).parts

    assert (tokens.per, tokens.unit_price) == (1_000_000, Money(2_500_000_000))
    assert (picture.per, picture.unit_price) == (1, Money(20_000_000))
    assert units_per_price(Unit.CHARACTER) == 1_000_000


# What there is


def test_a_model_is_known_by_any_unit_and_variant(row, book):
    prices = book(row("kling-v1:std"), row("gpt-4o-20??-??-??"), row("tts-1", unit=Unit.CHARACTER))

    for known in ("kling-v1", "gpt-4o-2026-01-31", "tts-1"):
        assert prices.knows("acme", known)
    for unknown in ("kling-v2", "gpt-4o", "gpt-4o-2026-01-31x", "", "kling-v1:std", "x" * 300):
        assert not prices.knows("acme", unknown)
    assert not prices.knows("other", "tts-1")


def test_models_that_are_named_in_full_are_listed_once(row, book):
    prices = book(row("b:std"), row("b:pro"), row("a"), row("c*"))

    assert [model.id for model in prices.models()] == ["a", "b"]
