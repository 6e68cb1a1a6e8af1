"""Compile the way of a call: a copy of the package below ``.build``, with extension modules beside its files.

``./station build`` calls this. The sources stay as they are, so an edit is never hidden by what was compiled before it:
``tools/compiled.py`` decides at each start whether the copy still fits. Needs a C compiler and Python's headers.
"""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bind import bound, imported
from compiled import BUILDS, ROOT, SOURCES, builds, copy_of, fits

# What runs for each call, as far as mypyc keeps its meaning; see docs/decisions/0010-compiled.md.
COMPILED = (
    "apikeys/admission",
    "apikeys/models",
    "apikeys/service",
    "calls/journal",
    "calls/purse",
    "calls/service",
    "calls/settling",
    "calls/store",
    "channels/budget",
    "channels/health",
    "channels/models",
    "channels/service",
    "channels/snapshot",
    "clock",
    "cork",
    "decimals",
    "dispatch/exchange",
    "dispatch/loop",
    "dispatch/models",
    "edge/connection",
    "edge/heads",
    "edge/inbound",
    "edge/parsing",
    "edge/server",
    "edge/writing",
    "ids",
    "metrics",
    "pricing/book",
    "pricing/models",
    "pricing/switches",
    "providers/contract/answers",
    "providers/contract/bodies",
    "providers/contract/declaration",
    "providers/registry",
    "providers/*/counting",
    "relay/app",
    "relay/asking",
    "relay/bodies",
    "relay/call",
    "relay/express",
    "relay/intake",
    "relay/outgoing",
    "relay/passage",
    "relay/station",
    "relay/stream",
    "relay/sync",
    "relay/terms",
    "relay/watch",
    "upstream/client",
    "upstream/connection",
    "upstream/framing",
    "upstream/parsing",
    "upstream/pool",
    "upstream/request",
    "upstream/response",
    "upstream/sse",
)
SETUP = """
from setuptools import setup
from mypyc.build import mypycify
modules = mypycify({arguments}, debug_level="0", target_dir={c_files!r})
for module in modules:
    module.include_dirs.insert(0, {mended!r})
setup(name="yiapi", ext_modules=modules)
"""
# mypyc 2.4 breaks off with a SystemError where bytes are cut and the start lies behind the end: b"abcd"[3:2].
BROKEN = "Py_ssize_t slice_len = endn - startn;"
MENDED = "Py_ssize_t slice_len = endn > startn ? endn - startn : 0;"
BROKEN_FILE = "bytes_ops.c"
# The types are checked by "./station check"; here, what the project says about them must not be found by chance.
MYPY = ("--config-file=", "--ignore-missing-imports")
TYPES_READ = frozenset({"Struct", "Request", "BaseModel"})
KEPT = 2  # this copy and the one before, from which a station may still run


class CannotBuild(Exception):
    """Nothing was compiled; the text says why."""


def main() -> int:
    """Make a copy of the sources as they are, unless there is one."""
    if fits(ROOT):
        say("the build is of these sources already")
        return 0
    began = time.monotonic()
    say("compiling, which takes a minute or two")
    try:
        built = build(ROOT, compile_modules)
    except CannotBuild as error:
        say(str(error))
        return 1
    say(f"{len(COMPILED)} modules compiled in {time.monotonic() - began:.0f} s: {built.relative_to(ROOT)}")
    return 0


def build(root: Path, compile_in: Callable[[Path], None]) -> Path:
    """Return a new compiled copy of the package, which is there whole or not at all. Raises CannotBuild."""
    (root / BUILDS).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".half-", dir=root / BUILDS) as half:
        folder = Path(half, "copy")
        shutil.copytree(root / SOURCES, folder / "yiapi", ignore=shutil.ignore_patterns("__pycache__"))
        whole = copy_of(root, folder / "yiapi")  # named before anything comes in beside what was copied
        if found := [line for path in modules(folder) for line in misread(path, path.relative_to(folder).as_posix())]:
            raise CannotBuild("\n  ".join(["mypyc would compile these to something else:", *found]))
        compile_in(folder)
        folder.rename(whole)
    for old in builds(root)[KEPT:]:
        shutil.rmtree(old)
    return whole


def modules(folder: Path) -> list[Path]:
    """Return the files to compile. Raises CannotBuild for one that does not exist."""
    found = {name: sorted((folder / "yiapi").glob(f"{name}.py")) for name in COMPILED}
    if missing := [name for name, paths in found.items() if not paths]:
        raise CannotBuild(f"tools/build.py lists what does not exist: {', '.join(missing)}")
    return [path for paths in found.values() for path in paths]


def misread(path: Path, name: str) -> Iterator[str]:
    """Yield what mypyc takes without a word and makes something else of.

    Options of a class are dropped, structs and models find other types in their annotations than were written, and a
    default of None is left out where several other types are possible.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ClassDef):
            continue
        place = f"{name}:{node.lineno}: class {node.name}"
        if options := [str(option.arg) for option in node.keywords if option.arg != "metaclass"]:
            yield f"{place} has options: {', '.join(options)}"
        if bases := [base for base in map(ast.unparse, node.bases) if base.rpartition(".")[2] in TYPES_READ]:
            yield f"{place} is a {bases[0]}"
        if any(isinstance(line, ast.FunctionDef) and line.name == "__init__" for line in node.body):
            yield from (f"{place}: {attribute} is never None: set it in __init__" for attribute in left_out(node))


def left_out(node: ast.ClassDef) -> Iterator[str]:
    """Yield the attributes of a class whose default of None is left out: those with two other types or more."""
    for line in node.body:
        match line:
            case ast.AnnAssign(annotation=ast.BinOp(left=ast.BinOp()), value=ast.Constant(value=None)):
                yield ast.unparse(line.target)


def direct(folder: Path) -> Callable[[str, str], bool]:
    """Return whether a name of a module, wherever that has it from, is a module or compiled with the others."""
    compiled = {_module(path, folder) for path in modules(folder)}

    def is_direct(module: str, name: str) -> bool:
        place = folder.joinpath(*module.split("."))
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if not path.is_file():  # of another package
            return False
        if (place / name).is_dir() or (place / f"{name}.py").is_file():
            return True
        origin = dict(imported(ast.parse(path.read_text()))).get(name)
        return module in compiled if origin is None else is_direct(*origin)

    return is_direct


def _module(path: Path, folder: Path) -> str:
    return ".".join(path.relative_to(folder).with_suffix("").parts)


def compile_modules(folder: Path) -> None:
    """Put extension modules beside the files of a copy. Raises CannotBuild."""
    if lacking := needed():
        raise CannotBuild(f"there is no {' and no '.join(lacking)} (Debian: apt install gcc python3-dev)")
    found = modules(folder)
    is_direct = direct(folder)
    texts = {path: bound(path.read_text(), is_direct) for path in found}
    for path, text in texts.items():
        path.write_text(text)
    paths = [path.relative_to(folder).as_posix() for path in found]
    scratch = folder.parent
    mend(scratch / "mended")
    setup = scratch / "setup.py"
    setup.write_text(
        SETUP.format(arguments=[*MYPY, *paths], c_files=str(scratch / "c"), mended=str(scratch / "mended"))
    )
    command = [sys.executable, str(setup), "-q", "build_ext", "--inplace"]
    command += ["--build-lib", str(scratch / "lib"), "--build-temp", str(scratch / "objects")]
    environment = os.environ | {"MYPY_CACHE_DIR": str(scratch / "types")}
    environment.pop("MYPYPATH", None)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotBuild(f"mypyc could not compile:\n{done.stdout}{done.stderr}")


def mend(folder: Path) -> None:
    """Put a mended file of mypyc's runtime where it is found first. Raises CannotBuild for another mypyc."""
    import mypyc

    text = Path(mypyc.__path__[0], "lib-rt", BROKEN_FILE).read_text()
    if text.count(BROKEN) != 1:
        raise CannotBuild(
            f"another mypyc: see whether it cuts bytes rightly, and what tools/build.py says of {BROKEN_FILE}"
        )
    folder.mkdir()
    (folder / BROKEN_FILE).write_text(text.replace(BROKEN, MENDED))


def needed() -> list[str]:
    """Return what compiling needs and this machine lacks."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return [compiler] * (shutil.which(compiler) is None) + [str(headers)] * (not headers.exists())


def say(text: str) -> None:
    """Tell the operator."""
    print(f"station: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
