"""Where the compiled copy of the package is, if it was made from the sources as they are now.

A copy's folder is named after everything that it was made from, so whether it fits is whether the folder exists: a
copy of other sources, for another interpreter or half made has another name. ``./station`` asks this before each start,
hence the few imports.
"""

import hashlib
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILDS = ".build"
SOURCES = "src/yiapi"
RECIPE = ("requirements/dev.txt", "requirements/run.txt", "tools/bind.py", "tools/build.py")


def main() -> None:
    """Print the folder to put before everything else that Python imports from, if there is one."""
    if fits(ROOT):
        print(copy_of(ROOT))
    elif builds(ROOT):
        print("station: the build is of other sources: ./station build makes it again", file=sys.stderr)


def fits(root: Path) -> bool:
    """Whether there is a copy of the sources as they are."""
    return copy_of(root).is_dir()


def copy_of(root: Path, sources: Path | None = None) -> Path:
    """Return the folder that a copy of these sources has, or will have."""
    digest = hashlib.blake2b(digest_size=12)
    for said in (sys.version, sys.base_prefix, EXTENSION_SUFFIXES[0]):
        digest.update(said.encode() + b"\0")
    for name in RECIPE:
        _add(digest, name, root / name)
    sources = sources or root / SOURCES
    for path in sorted(sources.rglob("*")):
        if path.parent.name != "__pycache__" and path.is_file():
            _add(digest, path.relative_to(sources).as_posix(), path)
    return root / BUILDS / digest.hexdigest()


def _add(digest: "hashlib.blake2b", name: str, path: Path) -> None:
    content = path.read_bytes()
    digest.update(f"{name}\0{len(content)}\0".encode() + content)


def builds(root: Path) -> list[Path]:
    """Return every whole copy, the newest first."""
    found = [path for path in (root / BUILDS).glob("*") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


if __name__ == "__main__":
    main()
