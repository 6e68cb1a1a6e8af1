"""No tracked file names a folder of somebody's machine or a package registry.

The accident: a lock file that carried the address of its author's mirror on every line. It installed nowhere else, and
told the world where that company kept its packages. Registries are named in the configuration of whoever installs.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Written in pieces, so that this file passes its own check.
_FOLDERS = "|".join(("ro" + "ot", "wo" + "rk", r"ho" + r"me/[a-z]\w*", r"Us" + r"ers/\w+"))
_REGISTRIES = "|".join((r"pypi\." + "org", r"pythonhosted\." + "org", r"registry\." + r"npmjs\.org", r"/simple" + "/"))
FORBIDDEN = re.compile(rf"(?<![\w.}}-])/(?:{_FOLDERS})/|{_REGISTRIES}")


def main() -> int:
    """Name every place; return 1 if there is one."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True)  # noqa: S607
    found = [line for name in sorted(filter(None, listed.stdout.split("\0"))) for line in addresses(Path(name))]
    print("\n".join(found))
    return 1 if found else 0


def addresses(path: Path) -> Iterator[str]:
    """Yield the places of one file; what is no text has none."""
    try:
        lines = path.read_text().splitlines()
    except (UnicodeDecodeError, FileNotFoundError):
        return
    for number, line in enumerate(lines, 1):
        if found := FORBIDDEN.search(line):
            yield f"{path}:{number}: {found[0]}"


if __name__ == "__main__":
    sys.exit(main())
