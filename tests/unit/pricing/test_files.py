"""Price files: what is read from them, and what is refused."""

import pytest

from yiapi.pricing import PriceFileInvalid, PriceRow
from yiapi.pricing.files import parse_prices, read_prices
from yiapi.providers.contract import Unit
from yiapi.providers.registry import Registry


def test_a_table_names_one_sku_or_several_in_some_units():
    text = """
    [[price]]
    sku = ["a", "b:pro"]
    token_in = { sell = "2.5", cost = "2", quantity_max = 128000 }
    image = { sell = "0.04", cost = "0.03" }

    [[price]]
    sku = "gift"
    call = { sell = "0", cost = "1", is_free = true }
    """

    rows = parse_prices("acme", text)

    assert rows[0] == PriceRow("acme", "a", Unit.TOKEN_IN, 2_500_000_000, 2_000_000_000, 128000)
    assert rows[1] == PriceRow("acme", "a", Unit.IMAGE, 40_000_000_000_000, 30_000_000_000_000)
    assert [row.sku for row in rows] == ["a", "a", "b:pro", "b:pro", "gift"]
    assert rows[4].is_free


@pytest.mark.parametrize(
    "line",
    [
        'sku = "m"\nimage = { sell = 0.04, cost = "0.03" }',
        'sku = "m"\nimage = { sell = "0.04" }',
        'sku = "m"\nimage = { sell = "-0.04", cost = "0" }',
        'sku = "m"\nimage = { sell = "0.0000000001", cost = "0" }',
        'sku = "m"\nimage = { sell = "0", cost = "0" }',
        'sku = "m"\nimage = { sell = "1", cost = "0", is_free = true }',
        'sku = "m"\nimage = { sell = "1", cost = "0", quantity_max = 0 }',
        'sku = "m"\nimage = { sell = "1", cost = "0", discount = "2" }',
        'sku = "m"\nhour = { sell = "1", cost = "0" }',
        'sku = "m m"\nimage = { sell = "1", cost = "0" }',
        'sku = ""\nimage = { sell = "1", cost = "0" }',
        'sku = ["m", "m"]\nimage = { sell = "1", cost = "0" }',
        'sku = "m"\nimage = { sell = "999999999999999", cost = "0" }',
        'image = { sell = "1", cost = "0" }',
        "sku = ",
    ],
)
def test_what_is_no_price_is_refused_with_the_name_of_the_file(line):
    with pytest.raises(PriceFileInvalid, match=r"^acme\.toml"):
        parse_prices("acme", f"[[price]]\n{line}\n")


def test_two_prices_of_one_sku_in_one_unit_are_refused():
    table = '[[price]]\nsku = "m"\nimage = { sell = "1", cost = "0" }\n'

    with pytest.raises(PriceFileInvalid, match="two prices"):
        parse_prices("acme", table + table)


@pytest.mark.parametrize("text", ["", "[[prices]]\nsku = 'm'", "[price]\nsku = 'm'", "[[price]]\n[other]"])
def test_a_file_of_another_form_is_refused(text):
    with pytest.raises(PriceFileInvalid):
        parse_prices("acme", text)


def test_a_provider_without_a_file_has_no_prices(tmp_path):
    assert read_prices("acme", tmp_path) == []


@pytest.mark.parametrize("slug", sorted(Registry.discover().providers))
def test_the_prices_that_we_ship_can_be_read_and_sell_at_no_loss(slug):
    rows = read_prices(slug)

    assert rows
    assert [row for row in rows if row.sell < row.cost and not row.is_free] == []
