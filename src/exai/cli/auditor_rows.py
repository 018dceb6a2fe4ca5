"""What the commands of `exai auditor` read, whether or not a daemon runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from exai.config import Settings
from exai.config.tree import secret_values
from exai.monitoring import logs
from exai.runtime.clock import SystemClock
from exai.storage.auditor.observations import Observations
from exai.storage.calls.budgets import BudgetGrants
from exai.storage.database import Database

__all__ = ["AuditorRows", "open_auditor_rows"]


@dataclass(frozen=True)
class AuditorRows:
    """The tables."""

    observations: Observations
    budgets: BudgetGrants


@asynccontextmanager
async def open_auditor_rows(settings: Settings) -> AsyncIterator[AuditorRows]:
    """Open the database.

    Raises:
        StartFault: it cannot be used.
    """
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    clock = SystemClock()
    try:
        yield AuditorRows(Observations(database, clock), BudgetGrants(database, clock))
    finally:
        await database.close()
