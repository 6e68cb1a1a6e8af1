"""Every package that is installed has a licence that ``tools/licences.txt`` allows.

The accident: a gateway that had to be taken back because a small helper, fetched by a helper of a helper, was under a
licence that asked for the source of everything linked with it. Each new licence is now one line that a person wrote.
"""

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

ALLOWED = Path("tools/licences.txt")
OURS = "yiapi"


def main() -> int:
    """Name every package whose licence nobody allowed; return 1 if there is one."""
    licences, packages = allowed()
    found = [
        f"{name}: {licence}"
        for name, licence in installed()
        if packages.get(name.lower()) != licence and not all(part in licences for part in parts(licence))
    ]
    gone = sorted(set(packages) - {name.lower() for name, _ in installed()})
    print("\n".join(found + [f"{name}: allowed in {ALLOWED}, but not installed" for name in gone]))
    return 1 if found or gone else 0


def allowed() -> tuple[set[str], dict[str, str]]:
    """Return the licences that any package may have, and those that one package may have."""
    licences: set[str] = set()
    packages: dict[str, str] = {}
    for line in ALLOWED.read_text().splitlines():
        entry = line.partition("#")[0].strip()
        package, is_one, licence = entry.partition(": ")
        if is_one:
            packages[package.lower()] = licence.strip()
        elif entry:
            licences.add(entry)
    return licences, packages


@functools.cache
def installed() -> list[tuple[str, str]]:
    """Return every installed package but our own, with its licence as its author wrote it."""
    command = [str(Path(sys.executable).with_name("pip-licenses")), "--from=mixed", "--format=json", "--with-system"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return sorted((one["Name"], one["License"]) for one in json.loads(listed.stdout) if one["Name"] != OURS)


def parts(licence: str) -> list[str]:
    """Split a licence at its words; of a choice, each must be allowed, which keeps the list honest."""
    return re.split(r" AND | OR |; ", licence)


if __name__ == "__main__":
    sys.exit(main())
