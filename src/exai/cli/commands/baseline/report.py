"""`exai baseline report`: writes what a baseline showed."""

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from exai.cli.baselines.access import use_baselines, write_report
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.errors import StartFault
from exai.monitoring.baselines.baselines import Baselines
from exai.monitoring.baselines.markdown import as_markdown
from exai.monitoring.baselines.report import BaselineReport

__all__ = ["app"]

app = new_app()


@app.command("report")
def report(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Without it the latest.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Write report.html, report.json, report.md there."),
    ] = None,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Write a report as HTML with plots, JSON and Markdown; without --out, Markdown to stdout."""
    settings = choose_data(config_file, overrides, demo).settings

    async def read(baselines: Baselines) -> BaselineReport:
        if name is not None:
            return await baselines.report(name)
        if not (rows := await baselines.listed()):
            raise StartFault("There is no baseline yet. `exai baseline start --name NAME` begins one.")
        return await baselines.report(rows[0].name)

    found = asyncio.run(use_baselines(settings, read))
    if out is not None:
        for path in write_report(found, out):
            typer.echo(f"written: {path}")
    elif as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        typer.echo(as_markdown(found), nl=False)
