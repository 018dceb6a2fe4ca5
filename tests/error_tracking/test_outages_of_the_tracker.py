"""Faults while the database is away are counted when it is back: every one, and none twice."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

from exai import config
from exai.errors import StoreFailed
from exai.storage import sqlite
from exai.storage.database import Database
from support.migrated_databases import migrated_postgresql, migrated_sqlite
from support.postgresql_server import PostgresqlServer
from support.tcp_proxy import tcp_proxy
from support.tracked_faults import Tracked, tracked
from support.waiting import wait_until

KINDS = (KeyError, ValueError, LookupError)


async def fails_throughout(process: Tracked, rounds: int) -> int:
    """Notice faults again and again, each round counted in vain; how many."""
    for number in range(rounds):
        for kind in KINDS:
            process.fail(f"call call_{number:016x} failed", kind)
        with pytest.raises(StoreFailed):
            await process.tracker.flush()
    return rounds * len(KINDS)


async def all_counted(process: Tracked, sent: int) -> None:
    async def is_counted() -> bool:
        try:
            groups = await process.counted()
        except StoreFailed:
            return False
        assert sum(group.seen for group in groups) <= sent, "none is counted twice"
        return sum(group.seen for group in groups) == sent

    await wait_until(is_counted, what="every fault is counted")
    groups = await process.counted()
    assert sorted(group.kind for group in groups) == sorted(kind.__name__ for kind in KINDS)
    assert (process.tracker.seen, process.tracker.lost) == (sent, 0)


@asynccontextmanager
async def process_on(url: str, folder: Path) -> AsyncIterator[Tracked]:
    database = await Database.open(config.Database.model_validate({"url": url}), folder)
    try:
        yield await tracked(database)
    finally:
        await database.close()


async def test_postgresql_that_is_cut_off_and_comes_back(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    async with (
        tcp_proxy(migrated_postgresql(postgresql, "tracker_outage")) as (proxy, url),
        process_on(url, tmp_path) as process,
    ):
        for kind in KINDS:
            process.fail("call call_0000000000000000 failed", kind)
        await process.tracker.flush()
        proxy.refuses = True
        proxy.cut()
        sent = await fails_throughout(process, 20)
        proxy.refuses = False
        await all_counted(process, sent + len(KINDS))


async def test_a_commit_whose_answer_was_cut_off_is_counted_once(
    postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    """Nobody knows whether it was kept: it goes again under its number."""
    async with (
        tcp_proxy(migrated_postgresql(postgresql, "tracker_cuts")) as (proxy, url),
        process_on(url, tmp_path) as process,
    ):
        sent, carried = 0, proxy.carried["questions"]
        for step in range(0, 6_000, 250):
            proxy.cuts_at = [carried + step]
            for kind in KINDS:
                process.fail("cut", kind)
                sent += 1
            with suppress(StoreFailed):
                await process.tracker.flush()
            proxy.cuts_at = []
            carried = proxy.carried["questions"]
        await all_counted(process, sent)


async def test_sqlite_that_somebody_holds_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 20)
    file = tmp_path / "exai.sqlite"
    async with process_on(migrated_sqlite(file), tmp_path) as process:
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            sent = await fails_throughout(process, 5)
            other.execute("ROLLBACK")
        await all_counted(process, sent)
