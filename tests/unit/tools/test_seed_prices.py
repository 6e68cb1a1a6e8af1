"""A price file that is printed again has the list prices of today, and what was written by hand stays."""

from datetime import date

import pytest

import seed_prices
from seed_prices import BY_HAND, price_file
from yiapi.pricing.files import FOLDER

TODAY = date(2026, 11, 24)


def test_the_file_in_the_tree_is_what_is_printed():
    assert price_file("openai", today=TODAY) == (FOLDER / "openai.toml").read_text(encoding="utf-8")


def test_a_file_that_lost_what_was_written_by_hand_is_not_printed_over(tmp_path, monkeypatch):
    present = (FOLDER / "openai.toml").read_text(encoding="utf-8")
    (tmp_path / "openai.toml").write_text(present.partition(BY_HAND)[0], encoding="utf-8")
    monkeypatch.setattr(seed_prices, "FOLDER", tmp_path)

    with pytest.raises(LookupError, match="no line '# By hand"):
        price_file("openai", today=TODAY)
