"""`exai status`: what the running daemon says of itself."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from exai.cli.command_group import new_app
from exai.cli.options import AsJson, ConfigFile, Overrides, load_settings
from exai.cli.running import daemon_address, running_daemons
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
    credentials: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What `exai token create --save FILE` wrote.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what the running daemon says of itself: providers, limits, usage, recent errors.

    Exit code 1 where none answers.
    """
    settings = load_settings(config_file, overrides).settings
    running = [] if url is not None else running_daemons(settings.data_dir)
    address = url or daemon_address(settings.server)
    if len(running) == 1:
        address = running[0].mcp_ws
    try:
        answer = asyncio.run(_ask(address, credentials))
    except CallFailed as fault:
        typer.echo(str(fault), err=True)
        raise typer.Exit(1) from None
    if as_json and answer.structured is not None:
        typer.echo(json.dumps({"address": address, **answer.structured}, indent=2))
        return
    process = f" (process {running[0].pid})" if len(running) == 1 else ""
    typer.echo(f"EXAI at {address}{process}\n\n{answer.text}")
    if answer.is_error:
        raise typer.Exit(1)


async def _ask(address: str, credentials: Path | None) -> Answer:
    async with connect(address, credentials=credentials, patience_s=PATIENCE_S) as session:
        return await session.call("status")
