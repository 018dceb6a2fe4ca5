"""`exai usage`: calls, tokens, cost and the names that calls had; works with and without a running daemon."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated, TypeVar

import msgspec
import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.cli.usage.tools import tools
from exai.runtime.clock import SystemClock
from exai.storage.calls.usage import Usage, UsageReports
from exai.storage.calls.use import NamedUse, UseCounts
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

NAME_COLUMNS = ("kind", "tool", "name", "calls", "failures", "USD")

T = TypeVar("T")

app = new_app()


app.command("tools")(tools)


@app.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    days: Annotated[float, typer.Option("--days", min=0.001, max=3_650, help="How far back to look.")] = 30.0,
    caller: Annotated[
        str | None, typer.Option("--caller", metavar="SUBJECT", help="Of this caller alone.")
    ] = None,
    names: Annotated[
        bool,
        typer.Option(
            "--names", help="By name: tools, arguments, older names, models and clients; never a value."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List calls, tokens and cost by caller and model, or under which names tools were called."""
    if context.invoked_subcommand is not None:
        return
    settings = choose_data(config_file, overrides, demo).settings

    async def report(read: Callable[[Database], Awaitable[Sequence[T]]]) -> Sequence[T]:
        database = await Database.open(settings.database, settings.data_dir, settings.fleet)
        try:
            return await read(database)
        finally:
            await database.close()

    nothing = f"No calls within {days:g} days."
    if names:
        used = asyncio.run(report(lambda database: _names_in(database, days, caller)))
        as_rows = [(each.kind.value, each.tool, each.name, *_sums(each)) for each in used]
        shown = msgspec.json.format(msgspec.json.encode(used)).decode() if as_json else nothing
        typer.echo(_rows([NAME_COLUMNS, *as_rows], texts=3) if used and not as_json else shown)
        return
    found = asyncio.run(
        report(lambda database: UsageReports(database, SystemClock()).report(days=days, caller=caller))
    )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
    else:
        typer.echo(_table(found) if found else nothing)


async def _names_in(database: Database, days: float, caller: str | None) -> Sequence[NamedUse]:
    return await UseCounts(database, SystemClock()).report(days=days, owner=caller)


def _sums(use: NamedUse) -> tuple[str, ...]:
    return str(use.calls), str(use.failures), f"{use.cost_usd:.4f}"


def _table(found: Sequence[Usage]) -> str:
    return "\n".join([_rows([COLUMNS, *map(_cells, found)], texts=2), "", _total(found)])


def _rows(rows: Sequence[Sequence[str]], *, texts: int) -> str:
    """Render rows in columns; the first `texts` of these are texts, the others numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < texts else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


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
