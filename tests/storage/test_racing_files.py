"""Processes that store the same at the same time, on both databases: an owner has one file of a content and a name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, make_url, select, text

from exai import config
from exai.storage.database import Database
from exai.storage.files.tables import FileRow
from exai.storage.schema import files
from support.postgresql_server import PostgresqlServer
from support.shelves import OpenShelf, sha256_of

PROCESSES = 4
ROUNDS = 15


@asynccontextmanager
async def opened(settings: config.Database, folder: Path, level: str | None) -> AsyncIterator[list[Database]]:
    """The database of each process; a level lets a transaction of PostgreSQL see what was before it began."""
    async with AsyncExitStack() as stack:

        async def connected() -> Database:
            database = await Database.open(settings, folder)
            stack.push_async_callback(database.close)
            return database

        first = await connected()
        if level is not None:
            assert settings.url is not None
            name = make_url(settings.url.get_secret_value()).database
            change = f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'"
            await first.read(lambda connection: connection.execute(text(change)))
        yield [await connected() for _ in range(PROCESSES)]


@pytest.mark.sqlite
async def test_equal_uploads_of_several_processes_at_once_are_one_file_on_sqlite(
    database_settings: config.Database, tmp_path: Path
) -> None:
    async with opened(database_settings, tmp_path, None) as databases:
        await race(databases, tmp_path / "files")


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
async def test_equal_uploads_of_several_processes_at_once_are_one_file_at_every_level_of_postgresql(
    postgresql: PostgresqlServer, tmp_path: Path, level: str
) -> None:
    url = postgresql.create_database(f"racing_{level.replace(' ', '_')}")
    async with opened(config.Database.model_validate({"url": url}), tmp_path, level) as databases:
        await race(databases, tmp_path / "files")


async def race(databases: list[Database], folder: Path) -> None:
    """Store the same by all of them, round after round."""
    shelves = [OpenShelf(database, folder) for database in databases]
    for number in range(ROUNDS):
        content = f"content {number}".encode()
        ids = await asyncio.gather(*(shelf.put("alice", "a.txt", content) for shelf in shelves))
        again: list[FileRow | None] = await asyncio.gather(
            *(shelf.shelf.put_again("alice", "b.txt", sha256_of(content)) for shelf in shelves)
        )
        assert len(set(ids)) == 1
        assert len({row.file_id for row in again if row is not None}) == 1
    assert await databases[0].read(most_alike) == 1


def most_alike(connection: Connection) -> int:
    """How many files there are at most of one owner, name and content."""
    alike = (
        select(func.count().label("many"))
        .select_from(files)
        .group_by(files.c.owner, files.c.name, files.c.sha256)
    )
    return int(connection.execute(select(func.max(alike.subquery().c.many))).scalar_one())
