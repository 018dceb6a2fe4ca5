"""`exai baseline status`: what collects now."""

import asyncio

import msgspec
import typer

from exai.cli.baselines.access import use_baselines
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.monitoring.baselines.baselines import Baselines
from exai.monitoring.baselines.report import BaselineReport
from exai.runtime.clock import SystemClock

__all__ = ["app"]

app = new_app()


@app.command("status")
def status(
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Say what collects, for how much longer, and what is in it so far."""
    settings = choose_data(config_file, overrides, demo).settings

    async def collecting(baselines: Baselines) -> list[BaselineReport]:
        rows = [row for row in await baselines.listed() if row.state == "collecting"]
        return [await baselines.report(row.name) for row in rows]

    found = asyncio.run(use_baselines(settings, collecting))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    if not found:
        typer.echo("Nothing collects. `exai baseline start --name NAME` begins.")
    for report in found:
        typer.echo("\n".join(_lines(report)))


def _lines(report: BaselineReport) -> list[str]:
    row = report.baseline
    left = (row.planned_end - SystemClock().utc()).total_seconds()
    until = f"{row.planned_end:%Y-%m-%d %H:%M:%S} UTC"
    rest = f"collects until {until}, for {left / 60:.0f} more minutes"
    if left <= 0:
        rest = f"was to end at {until}; a running daemon ends it, or `exai baseline stop {row.name}`"
    return [
        f"{row.name} {rest}.",
        f"  {report.calls} calls ended, {report.open} run; EXAI ran for {report.coverage.share:.1%} of the time.",
        *(f"  {sentence}" for sentence in report.remarks),
    ]
