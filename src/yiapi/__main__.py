"""The command line of the station: ``yiapi serve`` and everything beside it."""

from __future__ import annotations

import typer

from yiapi.cli import (
    accounts,
    backups,
    books,
    catalogue,
    channels,
    doctors,
    keys,
    new_provider,
    serve,
    tasks,
    webhooks,
)

app = typer.Typer(
    name="yiapi",
    help="One key, one bill, one task API for every generative-AI provider.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve.serve)
app.command(hidden=True)(serve.gateway)
app.command()(serve.worker)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
    serve.sandbox
)
app.command("migrate")(serve.migrate_command)
app.command()(books.check)
app.command()(doctors.doctor)
app.command()(backups.backup)
app.command()(backups.restore)
app.command("new-provider")(new_provider.new_provider)
app.add_typer(accounts.account, name="account")
app.add_typer(keys.key, name="key")
app.add_typer(channels.channel, name="channel")
app.add_typer(webhooks.webhook, name="webhook")
app.add_typer(catalogue.price, name="price")
app.add_typer(catalogue.operation, name="operation")
app.add_typer(tasks.task, name="task")


def main() -> None:
    """Run one command."""
    app()


if __name__ == "__main__":
    main()
