"""How many examples ran, told at the end of the run."""

import pytest

COUNTS = pytest.StashKey[tuple[int, int]]()
