"""`exai errors archive`: a group that is put away."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import as_number, ask, operator
from exai.cli.errors.text import print_line
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.error_tracking.states import archive

__all__ = ["app"]

app = new_app()


@app.command("archive")
def archive_group(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="As E-17.")],
    days: Annotated[
        float | None, typer.Option("--days", min=0.001, max=3_650, help="Until so many days have passed.")
    ] = None,
    more: Annotated[
        int | None, typer.Option("--more", min=1, help="Until it is seen so many times more.")
    ] = None,
    hourly: Annotated[
        int | None, typer.Option("--per-hour", min=1, help="Until it is seen so often within an hour.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="Why, for the history.")] = "",
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Only if the group still has this version.")
    ] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Put a group away until a condition is met, or for good where none is given."""
    settings = choose_data(config_file, overrides, demo).settings
    number = as_number(group)
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    changed = asyncio.run(
        ask(
            settings,
            lambda console: console.decide(
                number,
                lambda group: archive(group, until=until, more=more, hourly=hourly),
                version=version,
                actor=operator(),
                note=note,
            ),
        )
    )
    print_line(changed, as_json=as_json)
