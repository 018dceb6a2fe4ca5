"""`exai baseline load`: sends a scenario, and collects it."""

import asyncio
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from exai.cli.baselines.access import duration, use_baselines, write_report
from exai.cli.baselines.loading import Loading
from exai.cli.baselines.rehearsal import Rehearsal
from exai.cli.baselines.scenario import Scenario, read_scenario
from exai.cli.command_group import new_app
from exai.cli.data_choice import ChosenData, choose_data
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.client.connection import CallFailed
from exai.errors import StartFault
from exai.monitoring.baselines.report import BaselineReport

__all__ = ["app"]

UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0}
MOST_PER_S = 200.0

app = new_app()


@app.command("load")
def load(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="A TOML file (docs/baselines.md).")],
    rate: Annotated[str, typer.Option("--rate", metavar="RATE", help="As 2/s, 30/m or 100/h.")] = "1/s",
    lasts: Annotated[str, typer.Option("--for", metavar="DURATION", help="As 24h, 90m or 30s.")] = "1h",
    name: Annotated[str, typer.Option("--name", help="By which it is asked for.")] = "load",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write the report there, when it is over.")
    ] = None,
    speed: Annotated[
        float,
        typer.Option(
            "--speed", min=1, max=100_000, help="Rehearse so much faster, with an emulator of its own."
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the moments.")] = 1,
    credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `exai token create --save FILE` wrote.")
    ] = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Send calls of a scenario at a steady rate, at moments drawn before, and collect them.

    It asks whatever the running daemon asks, real providers included. With --speed a day is rehearsed within a minute:
    by a demonstration of its own with a faster clock, never by a real provider.
    """
    what, lasts_for, per_s = read_scenario(scenario), duration(lasts), _rate(rate)
    if per_s * speed > MOST_PER_S:
        raise StartFault(
            f"{rate} at {speed:g} times the speed are {per_s * speed:,.0f} calls a second, and {MOST_PER_S:g} are the "
            "most; choose a lower --rate."
        )
    loading = Loading(what, per_s * speed, lasts_for.total_seconds() / speed, seed)
    if speed > 1:
        if demo is False:
            raise StartFault("A real provider cannot be hurried; leave out --speed or --no-demo.")
        report = asyncio.run(Rehearsal(what, name, lasts_for, speed, loading).run())
    else:
        if what.away:
            raise StartFault(
                f"{scenario} says when EXAI is away, which a rehearsal can do alone: name --speed."
            )
        chosen = choose_data(config_file, overrides, demo)
        try:
            report = asyncio.run(_send(chosen, what, name, lasts_for, loading, credentials))
        except CallFailed as fault:
            raise StartFault(str(fault)) from None
    typer.echo(loading.summary)
    typer.echo(f"{report.baseline.name} is {report.baseline.state}, with {report.calls} calls.")
    for sentence in report.remarks:
        typer.echo(sentence)
    for path in [] if out is None else write_report(report, out):
        typer.echo(f"written: {path}")


async def _send(
    chosen: ChosenData,
    scenario: Scenario,
    name: str,
    lasts: timedelta,
    loading: Loading,
    credentials: Path | None,
) -> BaselineReport:
    address = chosen.address
    if address is None:
        raise StartFault(f"No EXAI runs on {chosen.settings.data_dir}. {chosen.how_to_start}")
    sent = msgspec.json.encode(scenario).decode()
    await use_baselines(chosen.settings, lambda baselines: baselines.start(name, lasts, load=sent))
    await loading.send_all(address, credentials)
    return await use_baselines(chosen.settings, lambda baselines: baselines.stop(name))


def _rate(text: str) -> float:
    """Read a rate in calls a second.

    Raises:
        StartFault: it is none.
    """
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,4})?)/([smh])", text.strip().lower())
    if found is None or not float(found[1]):
        raise StartFault(f"{ascii(text)[:40]} is no rate; write it as 2/s, 30/m or 100/h.")
    return float(found[1]) / UNITS[found[2]]
