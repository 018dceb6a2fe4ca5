"""`exai errors show`: one group, with the report on it."""

import asyncio

import msgspec
import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import Group, as_number, ask
from exai.cli.errors.text import as_report
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData

__all__ = ["app"]

app = new_app()


@app.command("show")
def show(
    group: Group,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Show a group: what it is, whose it is, what to do; what its occurrences share, and its history."""
    settings = choose_data(config_file, overrides, demo).settings
    number = as_number(group)
    details = asyncio.run(ask(settings, lambda console: console.shown(number)))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(details)).decode())
    else:
        typer.echo(as_report(details))
