"""`exai errors archive`: a group that is put away."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import Group, Note, Version, decide
from exai.cli.errors.text import print_line
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.error_tracking.deciding import MOST_TIMES
from exai.error_tracking.states import archive

__all__ = ["app"]

app = new_app()


@app.command("archive")
def archive_group(
    group: Group,
    days: Annotated[
        float | None, typer.Option("--days", min=0.001, max=3_650, help="Until so many days have passed.")
    ] = None,
    more: Annotated[
        int | None, typer.Option("--more", min=1, max=MOST_TIMES, help="Until it is seen so many times more.")
    ] = None,
    hourly: Annotated[
        int | None,
        typer.Option("--per-hour", min=1, max=MOST_TIMES, help="Until it is seen so often within an hour."),
    ] = None,
    note: Note = "",
    version: Version = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Put a group away until a condition is met, or for good where none is given."""
    settings = choose_data(config_file, overrides, demo).settings
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    changed = asyncio.run(
        decide(
            settings,
            group,
            lambda found: archive(found, until=until, more=more, hourly=hourly),
            version=version,
            note=note,
        )
    )
    print_line(changed, as_json=as_json)
