"""Options that commands share, and the settings that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from yiapi.settings import Settings, SettingsUnusable, load_settings

Data = Annotated[Path | None, typer.Option("--data", help="The station's data folder (./data, or YIAPI_DATA).")]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database", help="postgresql://…; default: SQLite in the data folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def settings_of(**given: Any) -> Settings:
    """Return the settings of a command, or end with one clear line."""
    try:
        return load_settings(**given)
    except SettingsUnusable as error:
        typer.echo(f"yiapi: {error}", err=True)
        raise typer.Exit(2) from error
