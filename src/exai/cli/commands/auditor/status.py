"""`exai auditor status`: how the auditor stands."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import msgspec
import typer

from exai.cli.auditor_rows import open_auditor_rows
from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.config import Settings
from exai.monitoring.auditor.explaining import PURSE
from exai.storage.auditor.observations import SEVERITIES

__all__ = ["app"]

HOUR_S, DAY_S = 3_600.0, 86_400.0
MOST = 10_000

app = new_app()


class Precision(msgspec.Struct, frozen=True):
    """How people judged the latest reports of a rule."""

    useful: int
    noise: int


class Standing(msgspec.Struct, frozen=True):
    """How the auditor stands."""

    mode: str
    requests_in_the_last_hour: int
    usd_in_the_last_day: float
    open: Mapping[str, int]
    """By severity, the acknowledged ones too."""
    judged: Mapping[str, Precision]


@app.command("status")
def status(
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Show the auditor's mode, budget, what is open, and how often each rule was right."""
    standing = asyncio.run(_read(choose_data(config_file, overrides, demo).settings))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(standing)).decode())
        return
    lasting = ", ".join(f"{standing.open[severity]} {severity}" for severity in reversed(SEVERITIES))
    typer.echo(f"mode      {standing.mode}")
    typer.echo(
        f"asked     {standing.requests_in_the_last_hour} requests in the last hour, "
        f"{standing.usd_in_the_last_day:.4f} USD in the last day"
    )
    typer.echo(f"observed  {lasting}")
    if standing.judged:
        rows = [(name, str(each.useful), str(each.noise)) for name, each in sorted(standing.judged.items())]
        typer.echo("\n" + table([("rule", "useful", "noise"), *rows]))


async def _read(settings: Settings) -> Standing:
    async with open_auditor_rows(settings) as rows:
        observations = await rows.observations.listing(most=MOST)
        lasting = Counter(each.severity for each in observations if each.state != "gone")
        hour, day = await rows.budgets.spent(PURSE, HOUR_S), await rows.budgets.spent(PURSE, DAY_S)
        judged = await rows.observations.judged()
        return Standing(
            settings.auditor.mode,
            hour.requests,
            round(day.usd, 6),
            {severity: lasting[severity] for severity in SEVERITIES},
            {name: Precision(each.useful, each.noise) for name, each in judged.items()},
        )
