"""`exai baseline stop`: ends one before its time."""

import asyncio
from typing import Annotated

import typer

from exai.cli.baselines.access import use_baselines
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.errors import StartFault
from exai.monitoring.baselines.baselines import Baselines
from exai.monitoring.baselines.report import BaselineReport

__all__ = ["app"]

app = new_app()


@app.command("stop")
def stop(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Without it the only one that collects.")
    ] = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """End a baseline before its time, and keep its report."""
    settings = choose_data(config_file, overrides, demo).settings

    async def end(baselines: Baselines) -> BaselineReport:
        if name is not None:
            return await baselines.stop(name)
        collecting = [row.name for row in await baselines.listed() if row.state == "collecting"]
        if len(collecting) != 1:
            which = f"Name one of {', '.join(collecting)}." if collecting else "Nothing collects."
            raise StartFault(which)
        return await baselines.stop(collecting[0])

    report = asyncio.run(use_baselines(settings, end))
    typer.echo(f"{report.baseline.name} is {report.baseline.state}, with {report.calls} calls.")
    for sentence in report.remarks:
        typer.echo(sentence)
