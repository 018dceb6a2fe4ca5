"""The memory of what lies at a provider, on both databases."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
from sqlalchemy import Column, Connection, DateTime, MetaData, Table, Text, insert, select

from exai import config
from exai.storage import migrate
from exai.storage.database import Database, migrate_database
from exai.storage.files.copies import CopyTables
from exai.storage.files.copy_rows import Begun, CondemnedCopy, CopyKey, CopyRow, Status, Store, StoreUsage
from exai.storage.fleet.beating import BeatingRuns
from exai.storage.schema import deletions, provider_file_uploads
from exai.storage.write_operations import LockGroup, row_by_row
from support.copies import keep, new_copy

KIMI = Store("kimi", "account-1")
OTHERS = (
    (Store("kimi", "account-2"), "image"),
    (KIMI, "file-extract"),
    (Store("glm", "account-1"), "image"),
)
AT = datetime(2026, 11, 1, tzinfo=UTC)


def key(sha256: str, owner: str = "alice") -> CopyKey:
    return CopyKey(KIMI, "image", owner, sha256)


async def condemned(table: CopyTables, since: datetime) -> list[str]:
    """The ids of what is condemned once everything unused since then is."""
    await table.condemn_unused(KIMI, since, since, 10)
    return sorted(file.provider_file_id for file in await table.condemned(10))


async def file_id(table: CopyTables, key: CopyKey, at: datetime = AT) -> str | None:
    row = await table.use(key, at)
    return None if row is None else row.provider_file_id


async def status(table: CopyTables, copy_id: str) -> Status:
    row = await table.find(copy_id)
    assert row is not None
    return row.status


@pytest.fixture
async def table(database_settings: config.Database, tmp_path: Path) -> AsyncIterator[CopyTables]:
    database = await Database.open(database_settings, tmp_path)
    yield CopyTables(database)
    await database.close()


async def test_a_copy_is_found_in_its_own_store_alone(table: CopyTables) -> None:
    await keep(table, KIMI, "image", "alice", "aa", "file_1", AT)
    assert await file_id(table, key("aa")) == "file_1"
    assert await file_id(table, key("bb")) is None
    for store, purpose in OTHERS:
        assert await file_id(table, CopyKey(store, purpose, "alice", "aa")) is None


async def test_another_owners_copy_is_not_found_and_not_touched(table: CopyTables) -> None:
    await keep(table, KIMI, "image", "alice", "aa", "file_1", AT)
    assert await file_id(table, key("aa", "bob"), AT + timedelta(days=9)) is None
    await keep(table, KIMI, "image", "bob", "aa", "file_2", AT)
    assert await file_id(table, key("aa")) == "file_1"
    assert await file_id(table, key("aa", "bob")) == "file_2"
    assert [row.provider_file_id for row in await table.of_content("alice", "aa")] == ["file_1"]
    assert await condemned(table, AT + timedelta(days=1)) == ["file_1", "file_2"]


async def test_of_one_key_one_copy_is_live(table: CopyTables) -> None:
    first, second = (new_copy(key("aa"), table.run_id, AT) for _ in range(2))
    assert await table.begin(first) is Begun.BEGUN
    assert await table.begin(second) is Begun.TAKEN
    row = await table.use(key("aa"), AT)
    assert row is not None
    assert (row.copy_id, row.status, row.provider_file_id) == (first.copy_id, Status.SENDING, None)
    await table.fail(first.copy_id, "provider_refused", AT)
    assert await table.begin(second) is Begun.BEGUN


async def test_one_file_of_two_copies_is_condemned_once_and_gone_for_both(table: CopyTables) -> None:
    """A provider may have one id for equal contents."""
    first = await keep(table, KIMI, "image", "alice", "aa", "file_1", AT)
    second = await keep(table, KIMI, "image", "bob", "aa", "file_1", AT + timedelta(days=2))
    assert await condemned(table, AT + timedelta(days=1)) == ["file_1"]
    assert await file_id(table, key("aa", "bob")) is None
    await table.end_deleting(KIMI, "file_1", "deleted", AT)
    assert [await status(table, each) for each in (first, second)] == [Status.GONE, Status.GONE]


async def test_the_longest_unused_are_condemned_first(table: CopyTables) -> None:
    for day, digest in enumerate(("aa", "bb", "cc")):
        await keep(table, KIMI, "image", "alice", digest, f"file_{digest}", AT + timedelta(days=day))
    used = AT + timedelta(days=9)
    assert await file_id(table, key("aa"), used) == "file_aa"
    await keep(table, OTHERS[0][0], "image", "alice", "dd", "file_dd", AT)
    week = AT + timedelta(days=7)
    assert await table.condemn_unused(KIMI, week, used, 1) == 1
    assert [file.provider_file_id for file in await table.condemned(10)] == ["file_bb"]
    assert await condemned(table, week) == ["file_bb", "file_cc"]
    assert [await file_id(table, key(each)) for each in ("aa", "bb", "cc")] == ["file_aa", None, None]
    assert await file_id(table, CopyKey(OTHERS[0][0], "image", "alice", "dd")) == "file_dd"


async def test_a_condemned_copy_is_unused_and_its_content_can_be_sent_again(table: CopyTables) -> None:
    copy_id = await keep(table, KIMI, "image", "alice", "aa", "file_1", AT)
    later = AT + timedelta(days=40)
    assert await table.condemn_unused(KIMI, later, later, 10) == 1
    assert await file_id(table, key("aa"), later) is None
    await keep(table, KIMI, "image", "alice", "aa", "file_2", later)
    assert await file_id(table, key("aa"), later) == "file_2"
    (file,) = await table.condemned(10)
    assert file == CondemnedCopy("kimi", "account-1", "file_1", "alice", 0)
    await table.end_deleting(KIMI, "file_1", "deleted", later)
    assert await table.condemned(10) == []
    assert await status(table, copy_id) is Status.GONE
    assert await file_id(table, key("aa"), later) == "file_2"


async def test_a_use_that_is_known_is_not_condemned_and_a_recent_one_is_not_written_again(
    table: CopyTables,
) -> None:
    await keep(table, KIMI, "image", "alice", "aa", "file_1", AT)
    shortly, later = AT + timedelta(minutes=59), AT + timedelta(minutes=61)
    await table.use(key("aa"), shortly)
    assert await table.condemn_unused(KIMI, AT + timedelta(seconds=1), shortly, 0) == 0
    await table.use(key("aa"), later)
    assert await table.condemn_unused(KIMI, later, later, 10) == 0
    assert await table.condemn_unused(KIMI, later + timedelta(seconds=1), later, 10) == 1


async def test_of_a_use_and_a_condemnation_at_once_one_comes_first(table: CopyTables) -> None:
    later = AT + timedelta(days=40)
    for round_ in range(20):
        digest, name = f"digest_{round_}", f"file_{round_}"
        await keep(table, KIMI, "image", "alice", digest, name, AT)
        used, _ = await asyncio.gather(
            file_id(table, key(digest), later), table.condemn_unused(KIMI, later, later, 10)
        )
        gone = [file.provider_file_id for file in await table.condemned(100)]
        assert (used == name) is (name not in gone)


async def test_what_is_condemned_while_it_is_sent_is_deleted_when_it_arrives(table: CopyTables) -> None:
    arriving, failing = (new_copy(key(each), table.run_id, AT) for each in ("aa", "bb"))
    for copy in (arriving, failing):
        await table.begin(copy)
    assert await table.condemn([arriving.copy_id, failing.copy_id], AT) == 2
    assert await table.condemned(10) == []
    assert await table.settle(arriving.copy_id, "file_1", None, AT) is Status.DELETING
    assert [file.provider_file_id for file in await table.condemned(10)] == ["file_1"]
    await table.fail(failing.copy_id, "provider_failed", AT)
    assert await status(table, failing.copy_id) is Status.GONE


async def test_what_was_in_doubt_is_used_unless_another_one_took_its_place(table: CopyTables) -> None:
    alone, replaced = (new_copy(key(each), table.run_id, AT) for each in ("aa", "bb"))
    for copy in (alone, replaced):
        await table.begin(copy)
        await table.doubt(copy.copy_id, "provider_timeout")
    await keep(table, KIMI, "image", "alice", "bb", "file_new", AT)
    assert await table.settle(alone.copy_id, "file_1", None, AT) is Status.READY
    assert await table.settle(replaced.copy_id, "file_2", None, AT) is Status.DELETING
    assert [await file_id(table, key(each)) for each in ("aa", "bb")] == ["file_1", "file_new"]


async def test_what_lies_or_may_lie_there_counts(table: CopyTables) -> None:
    await keep(table, KIMI, "image", "alice", "aa", "file_1", AT)
    gone = await keep(table, KIMI, "image", "alice", "bb", "file_2", AT)
    doubtful = new_copy(key("cc"), table.run_id, AT)
    await table.begin(doubtful)
    await table.doubt(doubtful.copy_id, "provider_timeout")
    await table.condemn([gone], AT)
    assert await table.usage(KIMI) == StoreUsage(3, 9_000_000_000)
    await table.end_deleting(KIMI, "file_2", "deleted", AT)
    assert await table.usage(KIMI) == StoreUsage(2, 6_000_000_000)
    assert await table.usage(OTHERS[0][0]) == StoreUsage(0, 0)


async def test_what_was_given_up_is_begun_again_under_another_number(table: CopyTables) -> None:
    copy_id = await keep(table, KIMI, "image", "alice", "aa", "file_1", AT)
    await table.condemn([copy_id], AT)
    (file,) = await table.condemned(10)
    assert await table.give_up(file, "provider_failed")
    assert not await table.give_up(file, "provider_failed")
    row = await table.find(copy_id)
    assert row is not None
    assert (row.status, row.error_code) == (Status.UNDELETED, "provider_failed")
    assert await table.condemned(10) == []
    assert await table.retry() == 1
    (again,) = await table.condemned(10)
    assert again == CondemnedCopy("kimi", "account-1", "file_1", "alice", 1)


async def test_an_imported_copy_is_unverified_and_known_once(table: CopyTables) -> None:
    row = CopyRow(
        copy_id="copy_old",
        provider="kimi",
        account="account-1",
        purpose="file-extract",
        owner="alice",
        sha256="aa",
        provider_file_id="file_1",
        filename="",
        upload_method="gateway",
        status=Status.UNVERIFIED,
        bytes=3,
        attempts=0,
        error_code=None,
        run_id=None,
        uploaded_at=AT,
        used_at=AT,
        verified_at=None,
        expires_at=None,
        ended_at=None,
    )
    assert await table.adopt(row)
    assert not await table.adopt(row)
    assert await table.find("copy_old") == row
    await table.verify("copy_old", None, AT)
    assert await status(table, "copy_old") is Status.READY


async def test_what_ended_is_forgotten_after_a_while(table: CopyTables) -> None:
    copy_id = await keep(table, KIMI, "image", "alice", "aa", "file_1", AT)
    await table.condemn([copy_id], AT)
    assert await table.prune(AT + timedelta(days=365)) == 0
    await table.end_deleting(KIMI, "file_1", "deleted", AT)
    assert await table.prune(AT) == 0
    assert await table.prune(AT + timedelta(seconds=1)) == 1
    assert await table.find(copy_id) is None


async def test_what_lay_there_before_keeps_its_rows(
    empty_database_settings: config.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures from before there were callers are the local user's; what was to be deleted still is."""
    await _as_of("0007", empty_database_settings, tmp_path, monkeypatch, _keep_as_before_callers)
    await _as_of("0017", empty_database_settings, tmp_path, monkeypatch, _condemn_as_before)
    await migrate_database(empty_database_settings, tmp_path)
    database = await Database.open(empty_database_settings, tmp_path)
    table = CopyTables(database)
    row = await table.use(key("aa", "local"), AT)
    assert row is not None
    assert (row.provider_file_id, row.status, row.upload_method, row.bytes, row.verified_at) == (
        "file_1",
        Status.READY,
        "picture",
        3,
        AT,
    )
    assert await table.condemned(10) == [CondemnedCopy("kimi", "account-1", "file_2", "alice", 0)]
    asked = await database.read(
        lambda connection: connection.execute(select(deletions.c.place, deletions.c.asked_at)).all()
    )
    assert [tuple(each) for each in asked] == [("kimi", AT)]
    await database.close()


async def test_a_copy_without_its_method_is_not_kept(table: CopyTables) -> None:
    column = provider_file_uploads.c.upload_method
    assert not column.nullable
    assert column.default is None
    assert column.server_default is None


async def _as_of(
    version: str, settings: config.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    """Bring a database to an older version, and write into it."""
    older = tmp_path / f"migrations_{version}"
    shutil.copytree(migrate.MIGRATIONS, older)
    for file in (older / "versions").glob("*.py"):
        if file.name[:4] > version:
            file.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(migrate, "MIGRATIONS", older)
        patched.setattr(BeatingRuns, "begin", AsyncMock())  # its table came later
        migrate._known.cache_clear()
        await migrate_database(settings, tmp_path)
        database = await Database.open(settings, tmp_path)
        await database.write(write, AT)  # type: ignore[arg-type]
        await database.close()
    migrate._known.cache_clear()


_TEXTS = ("provider", "account", "remote_id")


@row_by_row(LockGroup.FILES)
def _keep_as_before_callers(connection: Connection, moment: datetime) -> None:
    known = {"purpose": "image", "sha256": "aa", "bytes": 3, "uploaded_at": moment, "used_at": moment}
    _insert(connection, "provider_file_uploads", {**known, "remote_id": "file_1"})


@row_by_row(LockGroup.FILES)
def _condemn_as_before(connection: Connection, moment: datetime) -> None:
    values = {"owner": "alice", "remote_id": "file_2", "condemned_at": moment}
    _insert(connection, "provider_file_deletions", values)


def _insert(connection: Connection, name: str, values: dict[str, object]) -> None:
    values = {"provider": "kimi", "account": "account-1", **values}
    types = [DateTime(timezone=True) if isinstance(each, datetime) else Text() for each in values.values()]
    columns = [
        Column(each, None if each == "bytes" else kind) for each, kind in zip(values, types, strict=True)
    ]
    connection.execute(insert(Table(name, MetaData(), *columns)), values)
