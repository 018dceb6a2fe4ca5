"""`exai errors investigate`: have models look for the cause of a group, by the daemon or without one."""

import asyncio
import shutil

import msgspec
import typer

from exai.app.daemon import run_without_ports
from exai.app.services import Services
from exai.cli.command_group import new_app
from exai.cli.data_choice import choose_data
from exai.cli.errors.asking import Group, as_number, opened_database, operator
from exai.cli.errors.interruption import run_interruptibly
from exai.cli.errors.investigation_text import investigation_lines, stage_of
from exai.cli.options import AsJson, ConfigFile, Overrides, WhichData
from exai.config import Settings
from exai.config.tree import secret_values
from exai.error_tracking.investigation.desk import InvestigationDesk
from exai.error_tracking.investigation.view import InvestigationView
from exai.errors import ExaiError, StartFault
from exai.monitoring import logs
from exai.runtime.clock import SystemClock

__all__ = ["app"]

app = new_app()


@app.command("investigate")
def investigate(
    group: Group,
    as_json: AsJson = False,
    config_file: ConfigFile = None,
    overrides: Overrides = None,
    demo: WhichData = None,
) -> None:
    """Have models look for the cause of a group, within the budget, and print what they found and what of it holds.

    A running daemon does it; without one, this command does. Control-C and SIGTERM cancel it.
    """
    chosen = choose_data(config_file, overrides, demo)
    number, settings = as_number(group), chosen.settings
    if chosen.running:
        view = run_interruptibly(_by_daemon(settings, number))
    else:
        view = run_interruptibly(_here(settings, number, demo=chosen.loaded.demo))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(view)).decode())
    else:
        width = min(max(shutil.get_terminal_size((100, 24)).columns, 72), 110)
        typer.echo("\n".join(investigation_lines(view, width)))
    if view.report is None:
        raise typer.Exit(1)


async def _by_daemon(settings: Settings, number: int) -> InvestigationView:
    async with opened_database(settings) as database:
        return await _followed(
            InvestigationDesk(database, SystemClock(), settings.investigation.mode), number
        )


async def _here(settings: Settings, number: int, *, demo: bool) -> InvestigationView:
    async def work(services: Services) -> InvestigationView:
        return await _followed(services.faults.investigations.desk, number)

    quiet = settings.logging.model_copy(update={"level": "warning"})
    logs.configure(quiet, secrets=secret_values(settings))
    settings = settings.model_copy(update={"jobs": settings.jobs.model_copy(update={"run": True})})
    return await run_without_ports(settings, work, demo=demo)


async def _followed(desk: InvestigationDesk, number: int) -> InvestigationView:
    """Ask for an investigation and wait for its end.

    Raises:
        StartFault: it cannot be asked for.
    """
    try:
        asked = await desk.ask(number, operator())
        try:
            view = await desk.follow(asked.investigation, _print_stage)
        except asyncio.CancelledError:
            await desk.cancel(asked.investigation, operator())
            raise
    except StartFault:
        raise
    except ExaiError as fault:
        raise StartFault(str(fault)) from fault
    if view is None:
        raise StartFault(f"E-{number} is gone, and its investigation with it.")
    return view


def _print_stage(view: InvestigationView) -> None:
    typer.echo(stage_of(view), err=True)
