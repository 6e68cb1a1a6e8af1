"""Our own count of tokens."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yiapi.tokens import count_tokens


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("Hello", 1), ("Hello world", 2), ("全球 AI 分发站", 5), ("a" * 1000, 125)],
)
def test_text_is_counted_by_the_table_of_today(text, count):
    assert count_tokens(text) == count


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_has_a_count_and_none_has_more_tokens_than_bytes(text):
    assert (count_tokens(text) == 0) is (text == "")
    assert count_tokens(text) <= len(text.encode())


def test_a_station_that_never_counts_never_loads_the_table():
    script = "import sys, yiapi.tokens; assert 'rs_bpe' not in sys.modules"

    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
