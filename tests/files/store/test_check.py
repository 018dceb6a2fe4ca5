"""Rows and bytes are compared in both directions; what is deleted or put meanwhile is no difference."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exai import config
from exai.files.store.check import StoreCheck
from exai.storage.database import Database
from exai.storage.files.audit import AuditTables
from support.shelves import OpenShelf, sha256_of

Checked = tuple[OpenShelf, StoreCheck]


@pytest.fixture
async def checked(database_settings: config.Database, tmp_path: Path) -> AsyncIterator[Checked]:
    database = await Database.open(database_settings, tmp_path)
    shelf = OpenShelf(database, tmp_path / "files", grace_hours=1)
    yield shelf, StoreCheck(shelf.tables, AuditTables(database), shelf.blobs, shelf.clock)
    shelf.blobs.close()
    await database.close()


def place(shelf: OpenShelf, content: bytes) -> Path:
    digest = sha256_of(content)
    return shelf.folder / "blobs" / digest[:2] / digest[2:4] / digest


async def test_a_whole_store_has_no_differences_and_is_read_once(checked: Checked) -> None:
    shelf, check = checked
    for number in range(3):
        await shelf.put("alice", f"{number}", b"content" * (number + 1))
    await shelf.put("bob", "a", b"content")
    await shelf.shelf.remove("alice", await shelf.put("alice", "b", b"condemned"))
    seen: list[int] = []
    found = await check.run(seen.append)
    assert (found.contents, found.bytes, found.count) == (3, 42, 0)
    assert sorted(seen) == [7, 14, 21]


async def test_what_is_missing_changed_or_unknown_is_found_and_mended(checked: Checked) -> None:
    shelf, check = checked
    for content in (b"missing", b"changed", b"shorter", b"whole"):
        await shelf.put("alice", "a", content)
    place(shelf, b"missing").unlink()
    place(shelf, b"changed").write_bytes(b"CHANGED")
    place(shelf, b"shorter").write_bytes(b"short")
    stray = place(shelf, b"stray")
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"stray")
    (stray.parent / "notes.txt").write_bytes(b"an operator's")
    found = await check.run()
    assert found.missing == (sha256_of(b"missing"),)
    assert set(found.damaged) == {sha256_of(b"changed"), sha256_of(b"shorter")}
    assert found.unknown == (sha256_of(b"stray"),)
    assert await check.repair_damaged(found) == 3
    assert await check.condemn_unknown(found) == 1
    for content in (b"missing", b"changed", b"shorter"):
        assert await shelf.read("alice", await shelf.put("alice", "a", content)) == content
    assert (await check.run()).count == 0
    shelf.clock.advance(3601)
    await shelf.shelf.collect()
    assert not stray.exists()
    assert (stray.parent / "notes.txt").exists()


async def test_unknown_bytes_that_are_put_meanwhile_are_kept(checked: Checked) -> None:
    shelf, check = checked
    stray = place(shelf, b"stray")
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"stray")
    found = await check.run()
    file_id = await shelf.put("alice", "a", b"stray")
    assert await check.condemn_unknown(found) == 0
    shelf.clock.advance(3601)
    await shelf.shelf.collect()
    assert await shelf.read("alice", file_id) == b"stray"


async def test_what_is_put_while_a_check_runs_is_no_difference(checked: Checked) -> None:
    shelf, check = checked

    async def puts() -> None:
        for number in range(30):
            await shelf.put("alice", f"{number}", f"content {number}".encode())

    putting = asyncio.create_task(puts())
    while not putting.done():
        found = await check.run()
        assert found.count == 0
    await putting
