"""``yiapi price`` and ``yiapi operation``."""

import pytest


def price(ask, sku):
    return next(one for one in ask("price", "list", "--text", sku) if one["sku"] == sku)


def test_the_prices_of_the_files_are_listed_in_usd(ask):
    one = price(ask, "V_2")

    assert (one["provider"], one["unit"], one["sell"], one["author"]) == ("ideogram", "image", "0.08", "file")


def test_a_price_that_was_set_stays(ask):
    ask("price", "set", "ideogram", "V_2", "image", "--sell", "0.1", "--cost", "0.08")

    one = price(ask, "V_2")

    assert (one["sell"], one["cost"], one["author"]) == ("0.1", "0.08", "operator")


def test_tokens_are_priced_by_the_million(ask):
    ask("price", "set", "openai", "new-model", "token_out", "--sell", "12", "--cost", "10")

    assert price(ask, "new-model")["sell"] == "12"


def test_what_is_given_away_costs_nothing(ask):
    ask("price", "set", "openai", "gift", "token_out", "--sell", "0", "--cost", "10")

    assert price(ask, "gift")["sell"] == "0"


@pytest.mark.parametrize("sell", ["x", "inf", "nan", "0.0000000000000001"])
def test_what_is_no_price_is_a_mistake_of_the_command_line(run, sell):
    result = run("price", "set", "openai", "m", "token_out", "--sell", sell, "--cost", "1")

    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


def test_a_price_names_a_provider_that_is_there(run):
    assert run("price", "set", "nobody", "m", "image", "--sell", "1", "--cost", "1").exit_code == 1


def test_a_group_pays_a_multiple(ask):
    assert ask("price", "group", "partners", "0.9") == {"group": "partners", "multiplier": "0.9"}


@pytest.mark.parametrize(("multiplier", "status"), [("x", 2), ("0.1234567", 2), ("1001", 1)])
def test_what_is_no_multiplier_is_refused(run, multiplier, status):
    assert run("price", "group", "partners", multiplier).exit_code == status


def operation(ask, name):
    return next(one for one in ask("operation", "list") if one["name"] == name)


def test_an_operation_is_switched_off_and_on(ask):
    ask("operation", "disable", "kling.extend")
    off = operation(ask, "kling.extend")["enabled"]
    ask("operation", "enable", "kling.extend")

    assert (off, operation(ask, "kling.extend")["enabled"]) == (False, True)


def test_where_files_stay_and_whether_it_is_on_are_two_decisions(ask):
    ask("operation", "disable", "kling.extend")
    ask("operation", "assets", "kling.extend", "original")
    still_off = operation(ask, "kling.extend")
    ask("operation", "enable", "kling.extend")

    assert (still_off["enabled"], still_off["assets"]) == (False, "original")
    assert operation(ask, "kling.extend")["assets"] == "original"


def test_files_are_mirrored_or_stay(run):
    assert run("operation", "assets", "kling.extend", "elsewhere").exit_code == 2


def test_an_operation_that_is_not_served_cannot_be_switched(run):
    result = run("operation", "disable", "kling.nothing")

    assert result.exit_code == 1
    assert result.stderr == "yiapi: no operation is named kling.nothing\n"
