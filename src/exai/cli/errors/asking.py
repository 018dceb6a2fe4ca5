"""The groups of faults in the database of these settings, for commands.

Whoever can write the database is the administrator, so commands on it require no token. They work beside a daemon.
"""

import os
import pwd
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

import typer

from exai.app.watching.sources import open_sources_of
from exai.config import Settings
from exai.config.tree import secret_values
from exai.error_tracking.console import Console, GroupLine
from exai.error_tracking.deciding import LONGEST_NOTE, MOST_TIMES
from exai.error_tracking.investigation.gathering.suspects import FirstSuspects
from exai.errors import ExaiError, StartFault
from exai.monitoring import logs
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.error_tracking.projects import ProjectTables
from exai.storage.error_tracking.rows import Change, GroupRow

__all__ = ["Group", "Note", "Version", "as_number", "ask", "decide", "opened_database", "operator"]

T = TypeVar("T")
Group = Annotated[str, typer.Argument(metavar="GROUP", help="As E-17.")]


def _note(given: str) -> str:
    if len(given) > LONGEST_NOTE:
        raise typer.BadParameter(f"it has more than {LONGEST_NOTE} characters")
    return given


Note = Annotated[str, typer.Option("--note", callback=_note, help="Why, for the history.")]
Version = Annotated[
    int | None,
    typer.Option("--version", min=1, max=MOST_TIMES, help="Only if the group still has this version."),
]


def as_number(name: str) -> int:
    """Read the number of a group, as `E-17` or `17`.

    Raises:
        StartFault: it is none.
    """
    digits = name.strip().upper().removeprefix("E-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise StartFault(
            f"{ascii(name)[1:-1][:40]} is no group; groups are named as E-17 (`exai errors list`)."
        )
    return int(digits)


def operator() -> str:
    """Return who decides, as the history is to have it: the user of this machine."""
    try:
        return f"local:{pwd.getpwuid(os.getuid()).pw_name}"
    except (KeyError, OSError):
        return f"local:{os.getuid()}"


async def decide(
    settings: Settings, group: str, change: Callable[[GroupRow], Change], *, version: int | None, note: str
) -> GroupLine:
    """Change the state of a group.

    Raises:
        StartFault: the database cannot be used, there is no such group, or its state does not allow it.
    """
    number = as_number(group)
    return await ask(
        settings,
        lambda console: console.decide(number, change, version=version, actor=operator(), note=note),
    )


async def ask(settings: Settings, what: Callable[[Console], Awaitable[T]]) -> T:
    """Ask or change something.

    Raises:
        StartFault: the database cannot be used, or the request cannot be met.
    """
    async with _console(settings) as console:
        try:
            return await what(console)
        except StartFault:
            raise
        except ExaiError as fault:
            raise StartFault(str(fault)) from fault


@asynccontextmanager
async def _console(settings: Settings) -> AsyncIterator[Console]:
    async with opened_database(settings) as database:
        sources = open_sources_of(ProjectTables(database, SystemClock()), settings.investigation.repository)
        yield Console(database, SystemClock(), FirstSuspects(sources))


@asynccontextmanager
async def opened_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the database of some settings, beside a daemon.

    Raises:
        StartFault: it cannot be used.
    """
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    try:
        yield database
    finally:
        await database.close()
