"""The runs of workflows in the database of these settings.

Whoever can write the database is the administrator, so commands on it require no token.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.config import Settings
from exai.config.tree import secret_values
from exai.errors import StartFault
from exai.monitoring import logs
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.workflows.archive import RunArchive
from exai.storage.workflows.runs import WorkflowTables

__all__ = ["open_runs", "unknown_run"]


@asynccontextmanager
async def open_runs(settings: Settings) -> AsyncIterator[tuple[RunArchive, WorkflowTables]]:
    """Open the database.

    Raises:
        StartFault: it cannot be used.
    """
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    clock = SystemClock()
    try:
        yield RunArchive(database, clock), WorkflowTables(database, clock)
    finally:
        await database.close()


def unknown_run(workflow_id: str) -> StartFault:
    """Say that there is no such run."""
    return StartFault(f"There is no run {ascii(workflow_id)[1:-1]}. `exai workflows list` has them.")
