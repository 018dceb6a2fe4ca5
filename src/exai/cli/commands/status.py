"""`exai status`: what the running daemon says of itself."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.client.connection import Answer, CallFailed, connect

__all__ = ["app"]

PATIENCE_S = 3.0

app = new_app()


@app.command("status")
def status(
    url: Annotated[
        str | None,
        typer.Argument(help="The daemon, as ws://host:port/mcp. Left out: as the settings have it."),
    ] = None,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
    credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `exai token create --save FILE` wrote.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what the running daemon says of itself: providers, limits, usage, recent errors.

    Exit code 1 where none answers.
    """
    if demo and url is not None:
        raise typer.BadParameter("name a daemon by its URL, or the demonstration by --demo")
    chosen = choose_data(config_file, overrides, demo)
    daemon = None if url is not None else chosen.daemon
    address = url or chosen.address
    if address is None:
        typer.echo(f"No EXAI runs on {chosen.settings.data_dir}. {chosen.how_to_start}", err=True)
        raise typer.Exit(1)
    try:
        answer = asyncio.run(_ask(address, credentials))
    except CallFailed as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None
    if as_json and answer.structured is not None:
        typer.echo(json.dumps({"address": address, **answer.structured}, indent=2))
        return
    process = f" (process {daemon.pid})" if daemon is not None else ""
    typer.echo(f"EXAI at {address}{process}\n\n{answer.text}")
    if answer.is_error:
        raise typer.Exit(1)


async def _ask(address: str, credentials: Path | None) -> Answer:
    async with connect(address, credentials=credentials, patience_s=PATIENCE_S) as session:
        return await session.call("status")
