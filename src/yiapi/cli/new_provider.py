"""``yiapi new-provider``: the five files of a provider, working as they are, to be changed into the real one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from yiapi.cli.desk import MISUSED, saying
from yiapi.providers.registry import Registry

TEMPLATES = Path(__file__).with_name("templates")
FILES = {
    "contract.md": "contracts/{name}.md",
    "provider.py.txt": "src/yiapi/providers/{name}.py",
    "prices.toml": "src/yiapi/providers/{name}.toml",
    "twin.py.txt": "src/yiapi_sandbox/vendors/{name}.py",
    "cases.json": "tests/cases/{name}.json",
}
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
RESERVED = frozenset({"admin", "console", "docs", "files", "v1"})  # paths of the station's own
TITLE = re.compile(r"[^\W_][\w .,&+'()-]{0,60}")  # it stands in strings, comments and headings


def new_provider(
    name: Annotated[str, typer.Argument(help="Lower case: letters, digits, underscores.")],
    title: Annotated[str | None, typer.Option(help="The vendor's name for people.")] = None,
    repo: Annotated[Path, typer.Option(help="The project's root.")] = Path(),
) -> None:
    """Write a provider's contract page, declaration, prices, sandbox twin and first examples."""
    title = title or name.replace("_", " ").title()
    with saying(MISUSED):
        if NAME.fullmatch(name) is None:
            raise ValueError("a name is lower-case letters, digits and underscores, and begins with a letter")
        if TITLE.fullmatch(title) is None:
            raise ValueError("a title is letters, digits, spaces and plain punctuation")
        paths = _paths(name, repo)
        values = {"name": name, "title": title, "host": name.replace("_", "-").rstrip("-")}
        for template, path in paths.items():
            path.write_text((TEMPLATES / template).read_text().format(**values))
    for path in paths.values():
        typer.echo(path)
    typer.echo(f"It works as it is: .venv/bin/pytest tests/providers -k {name}. Then make it the real one.")


def _paths(name: str, repo: Path) -> dict[str, Path]:
    """Return where the files go, none of which may be there. Raises ValueError."""
    paths = {template: repo / path.format(name=name) for template, path in FILES.items()}
    for path in paths.values():
        if not path.parent.is_dir():
            raise ValueError(f"{path.parent} is not there: run this in the project's root")
    if name in RESERVED or name in Registry.discover().providers or any(path.exists() for path in paths.values()):
        raise ValueError(f"{name} is taken: by a provider, a module or a path of the station")
    return paths
