"""`exai baseline list`."""

import asyncio

import msgspec
import typer

from exai.cli.baselines.access import use_baselines
from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData

__all__ = ["app"]

COLUMNS = ("name", "state", "began", "until", "only", "note")
MOMENT = "%Y-%m-%d %H:%M"

app = new_app()


@app.command("list")
def listing(
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """List the baselines, the latest first."""
    settings = choose_data(config_file, overrides, demo).settings
    found = asyncio.run(use_baselines(settings, lambda baselines: baselines.listed()))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    rows = [
        (
            row.name,
            row.state + (" (compressed)" if row.speed > 1 else ""),
            f"{row.began_at:{MOMENT}}",
            f"{row.ended_at or row.planned_end:{MOMENT}}",
            row.filter or "every call",
            row.note,
        )
        for row in found
    ]
    typer.echo(table([COLUMNS, *rows]) if rows else "None. `exai baseline start --name NAME` begins one.")
