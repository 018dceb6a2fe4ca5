"""`exai workflows list`: runs, without what was asked and answered in them."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from exai.cli.columns import table
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.cli.run_rows import open_runs
from exai.storage.workflows.archive import RunSelection, RunSummary
from exai.storage.workflows.runs import RunState

__all__ = ["app"]

HEAD = ("run", "tool", "state", "stage", "requests", "dollars", "owner", "begun", "last step")

app = new_app()


@app.command("list")
def listing(
    owner: Annotated[
        str | None, typer.Option("--owner", metavar="SUBJECT", help="Those of this subject alone.")
    ] = None,
    tool: Annotated[
        str | None, typer.Option("--tool", metavar="NAME", help="Those of this tool alone.")
    ] = None,
    state: Annotated[RunState | None, typer.Option("--state", help="Those in this state alone.")] = None,
    most: Annotated[int, typer.Option("--most", min=1, help="How many to show.")] = 100,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """List runs, the latest worked at first; nothing of what was asked or answered."""
    settings = choose_data(config_file, overrides, demo).settings
    selection = RunSelection(owner, tool, state)

    async def found() -> tuple[Sequence[RunSummary], int]:
        async with open_runs(settings) as (archive, _):
            return await archive.listing(selection, most), await archive.count(selection)

    rows, count = asyncio.run(found())
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(rows)).decode())
    elif rows:
        typer.echo(table([HEAD, *(_cells(row) for row in rows)]))
        if count > len(rows):
            typer.echo(f"\n{count - len(rows)} more; --most shows them.")
    else:
        typer.echo("There are none.")


def _cells(row: RunSummary) -> tuple[str, ...]:
    return (
        row.workflow_id,
        row.tool,
        row.state,
        row.stage or "-",
        str(row.requests),
        f"{row.usd:.4f}",
        row.owner if row.owner.isprintable() else ascii(row.owner),
        f"{row.created_at:%Y-%m-%d %H:%M}",
        f"{row.updated_at:%Y-%m-%d %H:%M}",
    )
