"""What the commands of `exai notify` read, whether or not a daemon runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.config import Settings
from exai.config.tree import secret_values
from exai.monitoring import logs
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.notices.deliveries import Deliveries

__all__ = ["open_deliveries"]


@asynccontextmanager
async def open_deliveries(settings: Settings) -> AsyncIterator[Deliveries]:
    """Open the database.

    Raises:
        StartFault: it cannot be used.
    """
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    try:
        yield Deliveries(database, SystemClock())
    finally:
        await database.close()
