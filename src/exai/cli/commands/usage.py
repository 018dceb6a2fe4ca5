"""`exai usage`: calls, tokens and cost by caller, from the journal; works with and without a running daemon."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.runtime.clock import SystemClock
from exai.storage.calls.usage import Usage, UsageReports
from exai.storage.database import Database

__all__ = ["app"]

COLUMNS = (
    "caller",
    "model",
    "calls",
    "unanswered",
    "input",
    "cached",
    "output",
    "USD",
    "without price",
    "unreported",
)

app = new_app()


@app.command("usage")
def usage(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    days: Annotated[float, typer.Option("--days", min=0.001, max=3_650, help="How far back to look.")] = 30.0,
    caller: Annotated[
        str | None, typer.Option("--caller", metavar="SUBJECT", help="Of this caller alone.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List calls, tokens and cost by caller and model."""
    settings = choose_data(config_file, overrides, demo).settings

    async def report() -> Sequence[Usage]:
        database = await Database.open(settings.database, settings.data_dir)
        try:
            return await UsageReports(database, SystemClock()).report(days=days, caller=caller)
        finally:
            await database.close()

    found = asyncio.run(report())
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        typer.echo(_table(found) if found else f"No calls within {days:g} days.")


def _table(found: Sequence[Usage]) -> str:
    rows = [COLUMNS, *(_cells(each) for each in found)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, "", _total(found)])


def _total(found: Sequence[Usage]) -> str:
    """The sum, and what it lacks; what a demonstration's emulator answered is beside it."""
    emulated = [each for each in found if each.emulated]
    found = [each for each in found if not each.emulated]
    calls = sum(each.calls for each in found)
    usd = sum(each.cost_usd for each in found)
    unpriced = sum(each.without_price for each in found)
    unreported = sum(each.unreported for each in found)
    lacks = []
    if unpriced:
        lacks.append(f"a part of {unpriced} requests has no known price")
    if unreported:
        lacks.append(f"{unreported} of the requests sent ended before the provider told their usage")
    least = "at least " if unpriced else ""
    total = (
        ": ".join([f"{calls} calls, {least}{usd:.4f} USD by list price", *filter(None, ["; ".join(lacks)])])
        + "."
    )
    return f"{total} {_emulated(emulated)}" if emulated else total


def _emulated(found: Sequence[Usage]) -> str:
    calls, usd = sum(each.calls for each in found), sum(each.cost_usd for each in found)
    return f"Emulated, and not in this sum: {calls} calls, which would have cost {usd:.4f} USD; nothing was charged."


def _cells(usage: Usage) -> tuple[str, ...]:
    return (
        usage.caller if usage.caller.isprintable() else ascii(usage.caller),
        f"{usage.model or '(none chosen)'}{' (emulated)' if usage.emulated else ''}",
        str(usage.calls),
        str(usage.unanswered),
        str(usage.input_tokens),
        str(usage.cached_tokens),
        str(usage.output_tokens),
        f"{usage.cost_usd:.4f}",
        str(usage.without_price),
        str(usage.unreported),
    )
