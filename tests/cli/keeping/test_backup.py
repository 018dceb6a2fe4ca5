"""A backup is of one moment, private and whole, and is put back whole or not at all."""

import asyncio
import json
import shutil
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from exai import config
from exai.callers import Caller, Door
from exai.cli.keeping.backup import write_backup
from exai.cli.keeping.places import Places, places_of
from exai.cli.keeping.restore import restore_backup
from exai.config import Settings
from exai.errors import StartFault
from exai.files.store.check import StoreCheck, StoreDifferences
from exai.runtime.clock import SystemClock
from exai.runtime.file_lock import try_lock
from exai.storage.calls.journal import CallBegun, Journal
from exai.storage.database import Database
from exai.storage.files.audit import AuditTables
from exai.storage.schema import calls
from support.shelves import OpenShelf, sha256_of

KEY = "0123456789abcdef01234567.pem"


def places(folder: Path) -> Places:
    return places_of(Settings(data_dir=folder))


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """Of an installation in `old` with a call, two contents and a key."""
    old = tmp_path / "old"
    database = await Database.open(config.Database(), old)
    shelf = OpenShelf(database, old / "files")
    await shelf.put("alice", "a", b"first")
    await shelf.put("alice", "b", b"second")
    await Journal(database, SystemClock()).begin(
        CallBegun("call_1", Caller("alice", Door.HTTP), "chat", None, None)
    )
    (old / "keys").mkdir()
    (old / "keys" / KEY).write_text("private")
    (old / "keys" / "notes.txt").write_text("an operator's")
    await asyncio.to_thread(write_backup, places(old), tmp_path / "backup.tar")
    shelf.blobs.close()
    await database.close()
    return tmp_path / "backup.tar"


async def compared(folder: Path) -> tuple[StoreDifferences, list[str]]:
    database = await Database.open(config.Database(), folder)
    shelf = OpenShelf(database, folder / "files")
    found = await StoreCheck(shelf.tables, AuditTables(database), shelf.blobs, shelf.clock).run()
    shelf.blobs.close()
    rows = await database.read(lambda connection: connection.scalars(calls.select()).all())
    await database.close()
    return found, list(rows)


def mode_of(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


async def test_what_was_kept_is_there_again(backup: Path, tmp_path: Path) -> None:
    assert mode_of(backup) == 0o600
    new = tmp_path / "new"
    restore_backup(places(new), backup)
    found, rows = await compared(new)
    assert (found.contents, found.count, rows) == (2, 0, ["call_1"])
    assert (new / "keys" / KEY).read_text() == "private"
    assert mode_of(new / "keys" / KEY) == 0o600
    assert sorted(file.name for file in (new / "keys").iterdir()) == [KEY]


async def test_a_backup_of_a_store_that_changes_has_the_bytes_of_every_row(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    database = await Database.open(config.Database(), old)
    shelf = OpenShelf(database, old / "files", grace_hours=0)

    async def change() -> None:
        for number in range(10_000):
            file_id = await shelf.put("alice", "a", b"content %d" % number)
            if number % 2:
                await shelf.shelf.remove("alice", file_id)

    changing = asyncio.create_task(change())
    for number in range(3):
        await asyncio.to_thread(write_backup, places(old), tmp_path / f"{number}.tar")
    changing.cancel()
    await asyncio.wait([changing])
    shelf.blobs.close()
    await database.close()
    await asyncio.to_thread(restore_backup, places(new), tmp_path / "2.tar")
    found, _ = await compared(new)
    assert found.contents > 0
    assert found.count == 0


def test_a_content_without_bytes_is_told_and_the_rest_is_kept(backup: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    places(old).blob(sha256_of(b"first")).unlink()
    written = write_backup(places(old), tmp_path / "second.tar")
    assert (written.contents, written.missing) == (1, (sha256_of(b"first"),))


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(StartFault) as fault:
        work()
    return str(fault.value)


def test_no_file_is_replaced(backup: Path, tmp_path: Path) -> None:
    before = backup.read_bytes()
    assert "replaces no file" in refused(lambda: write_backup(places(tmp_path / "old"), backup))
    assert backup.read_bytes() == before
    assert "replaces no file" in refused(lambda: restore_backup(places(tmp_path / "old"), backup))
    assert "nothing to back up" in refused(
        lambda: write_backup(places(tmp_path / "none"), tmp_path / "x.tar")
    )
    assert not (tmp_path / "x.tar").exists()


def test_no_running_daemon_is_restored_over(backup: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "daemons"
    folder.mkdir(parents=True)
    note = {"pid": 4711, "mcp_ws": "ws://127.0.0.1:1/mcp", "operations": "http://127.0.0.1:2", "errors": "e"}
    (folder / "1.json").write_text(json.dumps(note))
    with (folder / "1.lock").open("wb") as lock:
        assert try_lock(lock)
        assert "4711" in refused(lambda: restore_backup(places(tmp_path / "new"), backup))


def _cut(backup: Path) -> None:
    with backup.open("r+b") as file:
        file.truncate(backup.stat().st_size // 2)


def _changed(backup: Path) -> None:
    body = backup.read_bytes()
    backup.write_bytes(body.replace(b"second", b"SECOND"))


def _empty(backup: Path) -> None:
    backup.write_bytes(b"")


def _without_list(backup: Path) -> None:
    _rewrite(backup, lambda name: name != "manifest.json")


def _without_database(backup: Path) -> None:
    _rewrite(backup, lambda name: name != "database.sqlite")


def _with_a_path_outside(backup: Path) -> None:
    _rewrite(backup, lambda _: True, rename={f"keys/{KEY}": "../../etc/passwd"})


def _rewrite(backup: Path, keeps: Callable[[str], bool], rename: dict[str, str] | None = None) -> None:
    other = backup.with_suffix(".other")
    with tarfile.open(backup) as old, tarfile.open(other, "w") as new:
        for entry in old:
            if keeps(entry.name):
                source = old.extractfile(entry)
                entry.name = (rename or {}).get(entry.name, entry.name)
                new.addfile(entry, source)
    shutil.move(other, backup)


@pytest.mark.parametrize(
    "harm", [_cut, _changed, _empty, _without_list, _without_database, _with_a_path_outside]
)
def test_a_broken_backup_restores_nothing(backup: Path, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    harm(backup)
    new = tmp_path / "new"
    assert "is no whole backup" in refused(lambda: restore_backup(places(new), backup))
    assert list(new.iterdir()) == []


def test_a_backup_of_another_schema_names_the_version_that_restores_it(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exai.storage.migrate.head", lambda: "9999")
    sentence = refused(lambda: restore_backup(places(tmp_path / "new"), backup))
    assert "9999" in sentence
    assert "`exai migrate`" in sentence


def test_a_server_is_backed_up_by_its_own_means(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"data_dir": tmp_path, "database": {"url": "postgresql+asyncpg://user:secret@h/name"}}
    )
    sentence = refused(lambda: places_of(settings))
    assert "pg_dump" in sentence
    assert "secret" not in sentence
