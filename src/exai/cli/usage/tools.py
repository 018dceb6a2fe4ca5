"""`exai usage tools`: which tools the list could do without, and when they could go."""

import asyncio
from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from exai.app.watching.tool_use import tool_reports_of
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import opened_database
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.monitoring.baselines.markdown import milliseconds, table
from exai.monitoring.tool_use.reading import ToolReport
from exai.runtime.clock import SystemClock

__all__ = ["as_markdown", "tools"]

HEAD = (
    *("tool", "calls", "failed", "callers", "clients", "p50", "USD", "last"),
    *("entry", "lists", "tokens", "verdict"),
)


def tools(
    days: Annotated[float, typer.Option("--days", min=1, max=400, help="How far back to look.")] = 30.0,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Say which tools are used, which the list could do without, and when those could go."""
    settings = choose_data(config_file, overrides, demo).settings

    async def read() -> ToolReport:
        async with opened_database(settings) as database:
            return await tool_reports_of(settings, database, SystemClock()).tools(days)

    report = asyncio.run(read())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        typer.echo(as_markdown(report))


def as_markdown(report: ToolReport) -> str:
    """Write the report as Markdown."""
    return "\n".join(_lines(report))


def _lines(report: ToolReport) -> Iterator[str]:
    yield (
        f"Tools in {report.days:g} days: {report.callers} callers; EXAI ran for {report.coverage:.0%} of the time."
    )
    yield ""
    rows = [HEAD]
    for each in report.tools:
        p50 = "–" if each.p50_ms is None else milliseconds(each.p50_ms)
        tokens = "–" if each.list_tokens is None else str(each.list_tokens)
        counts = (str(each.calls), str(each.failures), str(each.callers), str(each.clients))
        cost = f"{each.cost_usd:.4f}"
        listed = (tokens, str(each.lists_sent), str(each.tokens_read))
        rows.append(
            (each.tool, *counts, p50, cost, each.last_day or "–", *listed, f"{each.verdict}: {each.why}")
        )
    yield from table(rows)
    yield ""
    yield (
        "entry: tokens of it in a list; lists: sent with it, usually one for each session; tokens: what models read of "
        "it by that."
    )
    if not report.plan:
        return
    yield ""
    yield "What the list could do without, step by step:"
    yield ""
    steps = [("tool", "hide", "older name from", "remove", "tokens saved")]
    steps += [
        (each.tool, f"{each.hide_on}", f"{each.alias_from}", f"{each.remove_on}", str(each.tokens_saved))
        for each in report.plan
    ]
    yield from table(steps)
    yield ""
    names = ", ".join(f'"{each.tool}"' for each in report.plan)
    yield f"To hide them: `[tools] hidden = [{names}]` in exai.toml. They answer as ever; lists leave them out."
