"""The memory of what lies at a provider, on both databases."""

import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, MetaData, Table, insert

from exai import config
from exai.storage import migrate
from exai.storage.database import Database, migrate_database
from exai.storage.schema import provider_file_uploads
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
    await table.keep(KIMI, "alice", row("aa", "file_1"))
    await table.keep(KIMI, "alice", row("bb", "file_2"))
    assert await table.find(KIMI, "alice", ["aa", "bb", "cc"]) == {"aa": "file_1", "bb": "file_2"}
    for other in OTHERS:
        assert await table.find(other, "alice", ["aa", "bb"]) == {}


async def test_another_owners_file_is_not_found_and_not_touched(table: UploadTable) -> None:
    await table.keep(KIMI, "alice", row("aa", "file_1"))
    assert await table.find(KIMI, "bob", ["aa"]) == {}
    table.used_soon(KIMI, "bob", ["aa"], AT + timedelta(days=9))
    await table.keep(KIMI, "bob", row("aa", "file_2"))
    assert await table.find(KIMI, "alice", ["aa"]) == {"aa": "file_1"}
    assert await table.find(KIMI, "bob", ["aa"]) == {"aa": "file_2"}
    assert sorted(await table.unused_since(KIMI, AT + timedelta(days=1), 10)) == ["file_1", "file_2"]


async def test_of_two_uploads_of_one_content_the_later_counts(table: UploadTable) -> None:
    await table.keep(KIMI, "alice", row("aa", "file_1"))
    await table.keep(KIMI, "alice", row("aa", "file_2"))
    assert await table.find(KIMI, "alice", ["aa"]) == {"aa": "file_2"}


async def test_what_is_forgotten_is_gone_and_nothing_else(table: UploadTable) -> None:
    await table.keep(KIMI, "alice", row("aa", "file_1"))
    await table.keep(KIMI, "alice", row("bb", "file_2"))
    await table.keep(OTHERS[0], "alice", row("aa", "file_1"))
    await table.forget(KIMI, "file_1")
    assert await table.find(KIMI, "alice", ["aa", "bb"]) == {"bb": "file_2"}
    assert await table.find(OTHERS[0], "alice", ["aa"]) == {"aa": "file_1"}


async def test_the_longest_unused_come_first(table: UploadTable) -> None:
    for day, digest in enumerate(("aa", "bb", "cc")):
        await table.keep(KIMI, "alice", row(digest, f"file_{digest}", AT + timedelta(days=day)))
    table.used_soon(KIMI, "alice", ["aa"], AT + timedelta(days=9))
    await table.keep(OTHERS[0], "alice", row("dd", "file_dd"))
    week = AT + timedelta(days=7)
    assert await table.unused_since(KIMI, week, 10) == ["file_bb", "file_cc"]
    assert await table.unused_since(KIMI, week, 1) == ["file_bb"]


async def test_what_lay_there_before_there_were_callers_is_the_local_users(
    database_settings: config.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, older)
    for file in (older / "versions").glob("*.py"):
        if file.name[:4] > "0007":
            file.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "MIGRATIONS", older)
        migrate._known.cache_clear()
        database = await Database.open(database_settings, tmp_path)
        await database.write(_keep_as_before, AT)
        await database.close()
    migrate._known.cache_clear()
    await migrate_database(database_settings, tmp_path)
    database = await Database.open(database_settings, tmp_path)
    table = UploadTable(database)
    assert await table.find(KIMI, "local", ["aa"]) == {"aa": "file_1"}
    assert await table.unused_since(KIMI, AT + timedelta(seconds=1), 10) == ["file_1"]
    assert await table.unused_since(KIMI, AT, 10) == []
    await database.close()


def _keep_as_before(connection: Connection, moments: list[datetime]) -> list[None]:
    columns = [column for column in provider_file_uploads.c if column.name != "owner"]
    before = Table("provider_file_uploads", MetaData(), *(Column(each.name, each.type) for each in columns))
    values = {"provider": "kimi", "account": "account-1", "purpose": "image", "sha256": "aa"}
    rest = {"remote_id": "file_1", "bytes": 3, "uploaded_at": moments[0], "used_at": moments[0]}
    connection.execute(insert(before), {**values, **rest})
    return [None]
