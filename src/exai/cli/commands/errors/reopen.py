"""`exai errors reopen`: a group that is opened again."""

import asyncio
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import as_number, ask, operator
from exai.cli.errors.text import print_line
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.error_tracking.states import reopen

__all__ = ["app"]

app = new_app()


@app.command("reopen")
def reopen_group(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="As E-17.")],
    note: Annotated[str, typer.Option("--note", help="Why, for the history.")] = "",
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Only if the group still has this version.")
    ] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Open a group again, whether it was resolved or archived."""
    settings = choose_data(config_file, overrides, demo).settings
    number = as_number(group)
    changed = asyncio.run(
        ask(
            settings,
            lambda console: console.decide(number, reopen, version=version, actor=operator(), note=note),
        )
    )
    print_line(changed, as_json=as_json)
