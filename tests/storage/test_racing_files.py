"""Processes that store the same at the same time, on both databases: an owner has one file of a content and a name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, make_url, select, text

from exai import config
from exai.storage.database import Database
from exai.storage.files.tables import FileRow
from exai.storage.schema import files
from support.shelves import OpenShelf, sha256_of

PROCESSES = 4
ROUNDS = 15
LEVELS = ("read committed", "repeatable read", "serializable")


@pytest.fixture(params=LEVELS)
async def databases(
    request: pytest.FixtureRequest, database_settings: config.Database, tmp_path: Path
) -> AsyncIterator[list[Database]]:
    """The database of each process, which may be set up so that a transaction sees what was before it began."""
    async with AsyncExitStack() as opened:

        async def connected() -> Database:
            database = await Database.open(database_settings, tmp_path)
            opened.push_async_callback(database.close)
            return database

        first = await connected()
        if first.kind == "postgresql":
            url = database_settings.url
            assert url is not None
            name = make_url(url.get_secret_value()).database
            level = f"ALTER DATABASE {name} SET default_transaction_isolation = '{request.param}'"
            await first.read(lambda connection: connection.execute(text(level)))
        elif request.param != LEVELS[0]:
            pytest.skip("SQLite has no levels: its writers follow one another")
        yield [await connected() for _ in range(PROCESSES)]


async def test_equal_uploads_of_several_processes_at_once_are_one_file(
    databases: list[Database], tmp_path: Path
) -> None:
    shelves = [OpenShelf(database, tmp_path / "files") for database in databases]
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
