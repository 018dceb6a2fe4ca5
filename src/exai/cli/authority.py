"""The authority that `exai token` and `exai keys` work with: over the database itself, without the daemon."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.auth.authority import Authority
from exai.config import Settings
from exai.config.tree import secret_values
from exai.monitoring import logs
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables

__all__ = ["open_authority"]


@asynccontextmanager
async def open_authority(settings: Settings) -> AsyncIterator[Authority]:
    """Open the database of these settings, with an authority over it.

    Raises:
        StartFault: the database cannot be used.
    """

    # The command prints what was done; the log is for what goes wrong.
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    try:
        yield Authority(settings.auth, IdentityTables(database), settings.data_dir, SystemClock())
    finally:
        await database.close()
