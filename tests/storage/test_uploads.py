"""The memory of what lies at a provider, on both databases."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exai import config
from exai.storage.database import Database
from exai.storage.uploads import Store, UploadRow, UploadTable

KIMI = Store("kimi", "account-1", "image")
OTHERS = (
    Store("kimi", "account-2", "image"),
    Store("kimi", "account-1", "file-extract"),
    Store("glm", "account-1", "image"),
)
AT = datetime(2026, 11, 1, tzinfo=UTC)


def row(sha256: str, remote_id: str, at: datetime = AT) -> UploadRow:
    return UploadRow(sha256, remote_id, 3_000_000_000, at)


@pytest.fixture
async def table(database_settings: config.Database, tmp_path: Path) -> AsyncIterator[UploadTable]:
    database = await Database.open(database_settings, tmp_path)
    yield UploadTable(database)
    await database.close()


async def test_a_file_is_found_in_its_own_store_alone(table: UploadTable) -> None:
    await table.keep(KIMI, row("aa", "file_1"))
    await table.keep(KIMI, row("bb", "file_2"))
    assert await table.find(KIMI, ["aa", "bb", "cc"]) == {"aa": "file_1", "bb": "file_2"}
    for other in OTHERS:
        assert await table.find(other, ["aa", "bb"]) == {}


async def test_of_two_uploads_of_one_content_the_later_counts(table: UploadTable) -> None:
    await table.keep(KIMI, row("aa", "file_1"))
    await table.keep(KIMI, row("aa", "file_2"))
    assert await table.find(KIMI, ["aa"]) == {"aa": "file_2"}


async def test_what_is_forgotten_is_gone_and_nothing_else(table: UploadTable) -> None:
    await table.keep(KIMI, row("aa", "file_1"))
    await table.keep(KIMI, row("bb", "file_2"))
    await table.keep(OTHERS[0], row("aa", "file_1"))
    await table.forget(KIMI, "file_1")
    assert await table.find(KIMI, ["aa", "bb"]) == {"bb": "file_2"}
    assert await table.find(OTHERS[0], ["aa"]) == {"aa": "file_1"}


async def test_the_longest_unused_come_first(table: UploadTable) -> None:
    for day, digest in enumerate(("aa", "bb", "cc")):
        await table.keep(KIMI, row(digest, f"file_{digest}", AT + timedelta(days=day)))
    table.used_soon(KIMI, ["aa"], AT + timedelta(days=9))
    await table.keep(OTHERS[0], row("dd", "file_dd"))
    week = AT + timedelta(days=7)
    assert await table.unused_since(KIMI, week, 10) == ["file_bb", "file_cc"]
    assert await table.unused_since(KIMI, week, 1) == ["file_bb"]
