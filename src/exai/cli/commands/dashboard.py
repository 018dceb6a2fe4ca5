"""`exai dashboard`: signs a browser in; whoever can write the database may do this."""

import asyncio
from typing import Annotated

import typer

from exai.auth.tickets import Tickets
from exai.cli.command_group import new_app
from exai.cli.options import ConfigFile, Overrides, load_settings
from exai.doctor.ports import readiness
from exai.errors import StartFault
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.identity.tickets import TicketTable
from exai.web.hosts import EVERY_ADDRESS

__all__ = ["app"]

app = new_app()


@app.command("dashboard")
def dashboard(
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="URL", help="Where the browser finds the operations port."),
    ] = None,
    subject: Annotated[str, typer.Option("--subject", metavar="NAME", help="As whom to sign in.")] = "local",
) -> None:
    """Print an address that signs a browser in to the dashboard: once, within 30 seconds."""
    settings = load_settings(config_file, overrides).settings
    server = settings.server
    if address is None:
        if server.operations_port == 0:
            raise StartFault(
                "`server.operations_port` is 0, so the port is known to the daemon alone; name it: --address URL."
            )
        host = EVERY_ADDRESS.get(server.host, server.host)
        address = f"http://{f'[{host}]' if ':' in host else host}:{server.operations_port}"
        if readiness(server.host, server.operations_port) is None:
            raise StartFault(
                f"No EXAI answers at {address}, so there is nothing to sign in to. Start it with `exai serve`, or name "
                "where it is: --address URL."
            )

    async def issue() -> str:
        database = await Database.open(settings.database, settings.data_dir)
        try:
            return await Tickets(TicketTable(database), SystemClock()).issue(subject)
        finally:
            await database.close()

    typer.echo(f"{address.rstrip('/')}/#ticket={asyncio.run(issue())}")
