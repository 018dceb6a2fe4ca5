"""`exai workflows cancel`: ends a run."""

import asyncio
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import ConfigFile, Overrides, WhichData
from exai.cli.run_rows import open_runs, unknown_run

__all__ = ["app"]

app = new_app()


@app.command("cancel")
def cancel(
    workflow_id: Annotated[str, typer.Argument(metavar="RUN", help="As `exai workflows list` shows it.")],
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """End a run, so that no call goes on with it; one that works at it fails when its next request is due."""
    settings = choose_data(config_file, overrides, demo).settings

    async def cancelled() -> str | None:
        async with open_runs(settings) as (archive, _):
            if await archive.cancel(workflow_id):
                return None
            run = await archive.get(workflow_id)
            if run is None:
                raise unknown_run(workflow_id)
            return run.state

    was = asyncio.run(cancelled())
    typer.echo("Cancelled." if was is None else f"It is {was} already; nothing is changed.")
