"""The memory of what lies at a provider, on both databases."""

import asyncio
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
from exai.storage.uploads import CondemnedFile, Store, UploadRow, UploadTable
from exai.storage.write_operations import LockGroup, row_by_row

KIMI = Store("kimi", "account-1", "image")
OTHERS = (
    Store("kimi", "account-2", "image"),
    Store("kimi", "account-1", "file-extract"),
    Store("glm", "account-1", "image"),
)
AT = datetime(2026, 11, 1, tzinfo=UTC)


def row(sha256: str, remote_id: str, at: datetime = AT) -> UploadRow:
    return UploadRow(sha256, remote_id, 3_000_000_000, at)


async def condemned(table: UploadTable, since: datetime) -> list[str]:
    """The ids of what is condemned once everything unused since then is."""
    await table.condemn_unused(KIMI, since, since, 10)
    return sorted(file.remote_id for file in await table.condemned(10))


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
    assert await table.use(KIMI, "bob", ["aa"], AT + timedelta(days=9)) == {}
    await table.keep(KIMI, "bob", row("aa", "file_2"))
    assert await table.find(KIMI, "alice", ["aa"]) == {"aa": "file_1"}
    assert await table.find(KIMI, "bob", ["aa"]) == {"aa": "file_2"}
    assert await condemned(table, AT + timedelta(days=1)) == ["file_1", "file_2"]


async def test_one_file_of_two_rows_is_condemned_once(table: UploadTable) -> None:
    await table.keep(KIMI, "alice", row("aa", "file_1"))
    await table.keep(KIMI, "bob", row("aa", "file_1"))
    assert await condemned(table, AT + timedelta(days=1)) == ["file_1"]
    await table.keep(KIMI, "bob", row("aa", "file_1"))
    assert await condemned(table, AT + timedelta(days=1)) == ["file_1"]


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


async def test_the_longest_unused_are_condemned_first(table: UploadTable) -> None:
    for day, digest in enumerate(("aa", "bb", "cc")):
        await table.keep(KIMI, "alice", row(digest, f"file_{digest}", AT + timedelta(days=day)))
    used = AT + timedelta(days=9)
    assert await table.use(KIMI, "alice", ["aa", "zz"], used) == {"aa": "file_aa"}
    await table.keep(OTHERS[0], "alice", row("dd", "file_dd"))
    week = AT + timedelta(days=7)
    assert await table.condemn_unused(KIMI, week, used, 1) == 1
    assert [file.remote_id for file in await table.condemned(10)] == ["file_bb"]
    assert await condemned(table, week) == ["file_bb", "file_cc"]
    assert await table.find(KIMI, "alice", ["aa", "bb", "cc"]) == {"aa": "file_aa"}
    assert await table.find(OTHERS[0], "alice", ["dd"]) == {"dd": "file_dd"}


async def test_a_condemned_upload_is_unused_and_its_content_can_be_uploaded_again(
    table: UploadTable,
) -> None:
    await table.keep(KIMI, "alice", row("aa", "file_1"))
    later = AT + timedelta(days=40)
    assert await table.condemn_unused(KIMI, later, later, 10) == 1
    assert await table.use(KIMI, "alice", ["aa"], later) == {}
    await table.keep(KIMI, "alice", row("aa", "file_2", later))
    assert await table.use(KIMI, "alice", ["aa"], later) == {"aa": "file_2"}
    (file,) = await table.condemned(10)
    assert file == CondemnedFile("kimi", "account-1", "file_1", "alice")
    await table.forget_condemned(file)
    assert await table.condemned(10) == []
    assert await table.find(KIMI, "alice", ["aa"]) == {"aa": "file_2"}


async def test_a_use_that_is_known_is_not_condemned_and_a_recent_one_is_not_written_again(
    table: UploadTable,
) -> None:
    await table.keep(KIMI, "alice", row("aa", "file_1"))
    shortly, later = AT + timedelta(minutes=59), AT + timedelta(minutes=61)
    await table.use(KIMI, "alice", ["aa"], shortly)
    assert await table.condemn_unused(KIMI, AT + timedelta(seconds=1), shortly, 0) == 0
    await table.use(KIMI, "alice", ["aa"], later)
    assert await table.condemn_unused(KIMI, later, later, 10) == 0
    assert await table.condemn_unused(KIMI, later + timedelta(seconds=1), later, 10) == 1


async def test_of_a_use_and_a_condemnation_at_once_one_comes_first(table: UploadTable) -> None:
    later = AT + timedelta(days=40)
    for round_ in range(20):
        digest, name = f"digest_{round_}", f"file_{round_}"
        await table.keep(KIMI, "alice", row(digest, name))
        used, _ = await asyncio.gather(
            table.use(KIMI, "alice", [digest], later), table.condemn_unused(KIMI, later, later, 10)
        )
        gone = [file.remote_id for file in await table.condemned(100)]
        assert (used == {digest: name}) is (name not in gone)


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
    assert await condemned(table, AT) == []
    assert await condemned(table, AT + timedelta(seconds=1)) == ["file_1"]
    await database.close()


@row_by_row(LockGroup.UPLOADS)
def _keep_as_before(connection: Connection, moment: datetime) -> None:
    columns = [column for column in provider_file_uploads.c if column.name != "owner"]
    before = Table("provider_file_uploads", MetaData(), *(Column(each.name, each.type) for each in columns))
    values = {"provider": "kimi", "account": "account-1", "purpose": "image", "sha256": "aa"}
    rest = {"remote_id": "file_1", "bytes": 3, "uploaded_at": moment, "used_at": moment}
    connection.execute(insert(before), {**values, **rest})
