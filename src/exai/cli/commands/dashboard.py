"""`exai dashboard`: signs a browser in; whoever can write the database may do this."""

import asyncio
from typing import Annotated

import typer

from exai.auth.tickets import BROWSER_SCOPES, Tickets
from exai.cli.command_group import new_app
from exai.cli.data_choice import ChosenData, choose_data
from exai.cli.doctor.ports import readiness
from exai.cli.options import ConfigFile, Overrides, WhichData
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
    demo: WhichData = None,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="URL", help="Where the browser finds the operations port."),
    ] = None,
    subject: Annotated[str, typer.Option("--subject", metavar="NAME", help="As whom to sign in.")] = "local",
) -> None:
    """Print an address that signs a browser in to the dashboard: once, within 30 seconds."""
    chosen = choose_data(config_file, overrides, demo)
    settings = chosen.settings
    if address is None:
        address = _operations_of(chosen)

    async def issue() -> str:
        database = await Database.open(settings.database, settings.data_dir, settings.fleet)
        try:
            return await Tickets(TicketTable(database), SystemClock()).issue(subject, scopes=BROWSER_SCOPES)
        finally:
            await database.close()

    typer.echo(f"{address.rstrip('/')}/#ticket={asyncio.run(issue())}")


def _operations_of(chosen: ChosenData) -> str:
    """Return where the operations port of the chosen data's daemon is found.

    Raises:
        StartFault: no daemon answers.
    """
    if chosen.daemon is not None:
        return chosen.daemon.operations
    server = chosen.settings.server
    if chosen.address is None:
        raise StartFault(
            f"No EXAI runs on {chosen.settings.data_dir}, so there is nothing to sign in to. {chosen.how_to_start}"
        )
    if server.operations_port == 0:
        raise StartFault(
            "`server.operations_port` is 0, so the port is known to the daemon alone; name it: --address URL."
        )
    host = EVERY_ADDRESS.get(server.host, server.host)
    address = f"http://{f'[{host}]' if ':' in host else host}:{server.operations_port}"
    if readiness(server.host, server.operations_port) is None:
        raise StartFault(
            f"No EXAI answers at {address}, so there is nothing to sign in to. {chosen.how_to_start[:-1]}, or name "
            "where it is: --address URL."
        )
    return address
