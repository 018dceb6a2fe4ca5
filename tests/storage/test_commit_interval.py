"""How often writes of several callers are committed: at most once per `database.commit_interval_ms`."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from exai import config
from exai.storage.database import Database
from exai.storage.group_writer import SHARED
from exai.storage.write_operations import LockGroup, row_by_row
from support.virtual_time import now


@row_by_row(LockGroup.WORKFLOWS)
def _touch(connection: Connection, _: int) -> None:
    connection.execute(text("SELECT 1"))


@pytest.mark.virtual_time
@pytest.mark.parametrize("interval_s", [0.0, 0.9])
async def test_a_commit_after_a_shared_one_waits_for_the_interval_and_one_of_a_single_caller_does_not(
    tmp_path: Path, interval_s: float
) -> None:
    settings = config.Database(commit_interval_ms=interval_s * 1_000)
    database = await Database.open(settings, tmp_path)
    try:
        for _ in range(3):
            await database.write(_touch, 0)
        assert now() < 0.1, "nobody else writes"
        await asyncio.gather(*[database.write(_touch, number) for number in range(SHARED + 1)])
        began = now()
        await database.write(_touch, 0)
        assert now() - began == pytest.approx(interval_s, abs=0.05)
    finally:
        await database.close()
