"""The compiled copy: it is used for the sources that it was made from, and no other; nothing is compiled here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import build
import compiled
from build import CannotBuild

EDITED = "src/yiapi/clock.py"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of its own, whose sources can be edited."""
    shutil.copytree(compiled.ROOT / "src/yiapi", tmp_path / "src/yiapi", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("requirements", "tools"):
        shutil.copytree(compiled.ROOT / folder, tmp_path / folder)
    return tmp_path


def nothing(folder: Path) -> None:
    (folder / "yiapi/clock.so").touch()


def asked(root: Path) -> tuple[str, str]:
    """What ``./station`` is told before a start."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", root / "tools/compiled.py"], capture_output=True, text=True, check=True
    )
    return done.stdout, done.stderr


def edit(path: Path) -> None:
    path.write_text(path.read_text() + "\n")


def test_without_a_build_nothing_is_said(root):
    assert asked(root) == ("", "")


def test_a_build_is_used_for_the_sources_it_was_made_from(root):
    built = build.build(root, nothing)

    assert asked(root) == (f"{built}\n", "")
    assert (built / EDITED.removeprefix("src/")).read_bytes() == (root / EDITED).read_bytes()


@pytest.mark.parametrize("path", [EDITED, "requirements/dev.txt", "tools/bind.py", "tools/build.py"])
def test_a_build_is_not_used_after_an_edit(root, path):
    build.build(root, nothing)

    edit(root / path)

    assert asked(root) == ("", "station: the build is of other sources: ./station build makes it again\n")


@pytest.mark.parametrize("change", ["new.py", "db/queries/new.sql"])
def test_a_build_is_not_used_after_a_file_has_come(root, change):
    build.build(root, nothing)

    (root / "src/yiapi" / change).touch()

    assert not compiled.fits(root)


def test_an_edit_taken_back_makes_the_build_fit_again(root):
    build.build(root, nothing)
    before = (root / EDITED).read_text()

    edit(root / EDITED)
    (root / EDITED).write_text(before)

    assert compiled.fits(root)


def test_what_python_has_compiled_for_itself_is_no_edit(root):
    build.build(root, nothing)

    (root / "src/yiapi/__pycache__").mkdir()
    (root / "src/yiapi/__pycache__/clock.cpython-311.pyc").touch()

    assert compiled.fits(root)


def test_an_edit_during_the_build_is_not_in_it(root):
    build.build(root, lambda _: edit(root / EDITED))

    assert not compiled.fits(root)


def test_a_half_build_is_never_used(root):
    seen = []

    def look(folder: Path) -> None:
        seen.append((compiled.fits(root), compiled.builds(root)))

    build.build(root, look)

    assert seen == [(False, [])]


def test_a_build_that_fails_leaves_nothing(root):
    def fail(folder: Path) -> None:
        raise CannotBuild

    with pytest.raises(CannotBuild):
        build.build(root, fail)

    assert list((root / compiled.BUILDS).iterdir()) == []


def test_the_build_before_is_kept_for_who_still_runs_on_it(root):
    built = []
    for _ in range(3):
        edit(root / EDITED)
        built.append(build.build(root, nothing))

    assert [folder.exists() for folder in built] == [False, True, True]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("class A(Frame, frozen=True, gc=False):\n    a: int\n", ["a.py:1: class A has options: frozen, gc"]),
        ("class A(msgspec.Struct):\n    a: int\n", ["a.py:1: class A is a msgspec.Struct"]),
        ("class A(ABC, metaclass=ABCMeta):\n    a: int | str | None = None\n", []),
        (
            "class A:\n    a: int | None = None\n    b: int | str | None = None\n    def __init__(self): ...\n",
            ["a.py:1: class A: b is never None: set it in __init__"],
        ),
    ],
)
def test_a_class_that_would_become_something_else_is_named(tmp_path, text, told):
    path = tmp_path / "a.py"
    path.write_text(text)

    assert list(build.misread(path, "a.py")) == told


def test_a_listed_module_with_such_a_class_is_refused(root):
    (root / EDITED).write_text("class Tick(msgspec.Struct, gc=False): ...\n")

    with pytest.raises(CannotBuild, match=r"yiapi/clock\.py:1: class Tick has options: gc"):
        build.build(root, nothing)


def test_a_listed_module_that_does_not_exist_is_refused(root):
    (root / EDITED).unlink()

    with pytest.raises(CannotBuild, match="clock"):
        build.build(root, nothing)


@pytest.mark.parametrize(
    ("module", "name", "is_direct"),
    [
        ("yiapi.clock", "SystemClock", True),  # compiled
        ("yiapi.relay", "intake", True),  # a module
        ("yiapi.dispatch", "Begun", True),  # compiled, and named again by its package
        ("yiapi.errors", "StationError", False),
        ("yiapi.providers.contract", "Usage", False),
        ("zlib", "crc32", False),
    ],
)
def test_compiled_code_knows_modules_and_what_is_compiled_with_it(root, module, name, is_direct):
    assert build.direct(root / "src")(module, name) is is_direct
