"""The copy that is compiled says of names that they never change; what it means stays what the source means."""

import pytest

from bind import bound

HEAD = '"""What it is."""\n\nfrom __future__ import annotations\n'
FINAL = "from typing import Final\n"


def indirect(module: str, name: str) -> bool:
    return False


def bound_below(head: str, text: str) -> str:
    """What becomes of ``text`` below ``head``, which stays as it is."""
    whole = bound(HEAD + head + text, indirect)
    assert whole.startswith(HEAD + FINAL + head)
    return whole.removeprefix(HEAD + FINAL + head)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SIZE = 2 * 1024", "SIZE: Final = 2 * 1024"),
        ("_WORD = b'x'  # why", "_WORD: Final = b'x'  # why"),
        ("_FRAME = Struct('<II')", "_FRAME: Final = Struct('<II')"),
        ("log = get_logger()", "log: Final = get_logger()"),
        ("_known: dict[str, int] = {}", "_known: Final[dict[str, int]] = {}"),
        ("LIMIT: int = 3", "LIMIT: Final[int] = 3"),
    ],
)
def test_what_gets_one_value_is_final(line, expected):
    assert bound_below("", f"{line}\n") == f"{expected}\n"


@pytest.mark.parametrize(
    "text",
    [
        "T = TypeVar('T')",
        "JSON = Any",
        "Pair = tuple[int, int]",
        "PAIRS = [(1, 2)]",
        "Word = msgspec.Raw",  # names of types are none
        "LIMIT: Final = 3",
        "def f():\n    SIZE = 1",
        "SIZE = 1\nSIZE = 2",
        "SIZE = 1\ndef f():\n    global SIZE\n    SIZE = 2",
    ],
)
def test_other_names_stay_as_they_are(text):
    assert bound_below("", f"{text}\n") == f"{text}\n"


@pytest.mark.parametrize("head", ["from zlib import crc32 as taken\n", "from a import taken\n"])
def test_what_functions_use_of_others_is_bound_once(head):
    text = "def f(x):\n    return [taken(y) for y in x]\n"

    assert bound_below(head, text) == "_bound_taken: Final = taken\n" + text.replace("taken", "_bound_taken")


def test_a_class_is_bound_as_one():
    text = "def f():\n    try:\n        g()\n    except Refused:\n        raise Refused('no') from None\n"

    expected = text.replace("Refused", "_bound_Refused")
    assert bound_below("from a import Refused\n", text) == f"_bound_Refused: Final[type[Refused]] = Refused\n{expected}"


@pytest.mark.parametrize(
    "text",
    [
        "def f(x: Taken) -> Taken: ...\n",
        "def f():\n    x: Taken\n    x = g()\n",
        "def f(x):\n    return isinstance(x, Taken)\n",
        "def f(x):\n    return g(x, Taken | None)\n",
        "def f(x):\n    return list[Taken](x)\n",
        "def f(x):\n    match x:\n        case Taken(): return 1\n",
        "def f():\n    return Taken.ONE\n",  # mypy tells the members of an enum by its own name
        "class B(Taken):\n    x = Taken()\n",
        "x = g(Taken)\n",
    ],
)
def test_where_mypy_wants_the_name_itself_it_stays(text):
    assert "_bound_" not in bound_below("from a import Taken\n", text)


@pytest.mark.parametrize(
    "text",
    [
        "def f(taken):\n    return taken\n",
        "def f():\n    taken = 1\n    return taken\n",
        "def f():\n    from b import taken\n    return taken\n",
        "def f(taken):\n    def g():\n        return taken\n    return g\n",
        "def f():\n    try:\n        pass\n    except ValueError as taken:\n        raise taken\n",
    ],
)
def test_a_name_of_a_functions_own_stays(text):
    assert "_bound_" not in bound_below("from a import taken\n", text)


@pytest.mark.parametrize("module", ["typing", "collections.abc", "mypy_extensions"])
def test_names_with_a_meaning_of_their_own_stay(module):
    assert "_bound_" not in bound_below(f"from {module} import taken\n", "def f(x):\n    return taken(x)\n")


def test_what_compiled_code_knows_by_itself_stays():
    text = HEAD + "from a import taken\nfrom b import other\n\n\ndef f():\n    return taken(other)\n"

    whole = bound(text, lambda module, name: (module, name) == ("a", "taken"))

    assert "_bound_taken" not in whole
    assert "return taken(_bound_other)" in whole


def test_a_line_with_letters_beyond_ascii_is_cut_in_the_right_place():
    text = 'def f():\n    return "für", taken("é", taken)\n'

    assert bound_below("from a import taken\n", text).endswith('return "für", _bound_taken("é", _bound_taken)\n')


def test_the_bound_copy_does_what_its_source_does():
    text = "from operator import add\n\nSTEP = 2\n\n\ndef f(x):\n    return add(x, STEP)\n"
    names: dict[str, object] = {}

    exec(bound(text, indirect), names)

    assert names["f"](40) == 42
    assert "_bound_add" in names
