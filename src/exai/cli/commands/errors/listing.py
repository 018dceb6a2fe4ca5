"""`exai errors list`: groups of faults in a table that fits the terminal."""

import asyncio
from typing import Annotated, Literal

import msgspec
import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import ask
from exai.cli.errors.text import as_table
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.error_tracking.console import Sort

__all__ = ["app"]

Shown = Literal["open", "resolved", "archived", "all"]

app = new_app()


@app.command("list")
def listing(
    state: Annotated[Shown, typer.Option("--state", help="Those in this state alone.")] = "open",
    matching: Annotated[
        str, typer.Option("--matching", metavar="TEXT", help="Whose title, place or code has this text.")
    ] = "",
    sort: Annotated[
        Sort,
        typer.Option(
            "--sort",
            help="Which come first: last or first seen, most seen, most callers, or dearest failed calls.",
        ),
    ] = "last",
    most: Annotated[int, typer.Option("--most", min=1, max=1_000, help="How many to show.")] = 50,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """List what went wrong, by groups: how often, since when, and in which state."""
    settings = choose_data(config_file, overrides, demo).settings
    wanted = None if state == "all" else state
    found = asyncio.run(
        ask(
            settings,
            lambda console: console.listed(state=wanted, matching=matching, sort=sort, most=most),
        )
    )
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    elif found:
        typer.echo(as_table(found, with_cost=sort == "cost"))
    else:
        typer.echo("Nothing." if state == "all" else f"Nothing is {state}; `--state all` shows every group.")
