"""A fresh database of either kind, for the measures that need one."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.tool_figures.figure import DatabaseKind
from exai import config
from exai.storage.database import Database
from support.postgresql_server import postgresql_server

__all__ = ["opened"]


@asynccontextmanager
async def opened(kind: DatabaseKind, place: Path) -> AsyncIterator[Database]:
    """Open one, which is gone at the end."""
    with ExitStack() as scope:
        settings = config.Database()
        if kind == "postgresql":
            server = scope.enter_context(postgresql_server())
            settings = config.Database.model_validate({"url": server.create_database("measured")})
        database = await Database.open(settings, place / "database")
        try:
            yield database
        finally:
            await database.close()
