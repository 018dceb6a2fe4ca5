"""A disk that is really full: a small file system where one may be mounted, else one with most of it kept free."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from exai import config
from exai.errors import StoreFailed
from exai.files.faults import StoreFull
from exai.runtime.disk_reserve import RESERVE_BYTES
from exai.storage.database import Database
from support.shelves import OpenShelf, sha256_of

SIZE = 8 * 2**20
KEPT = os.urandom(2**20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, dict[str, int]]]:
    """A folder with room for a few files, and the settings that make it so."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", str(place)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        yield place, {"keep_free_bytes": max(0, shutil.disk_usage(place).free - SIZE)}
        return
    try:
        yield place, {"keep_free_bytes": 0}
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.sqlite
async def test_a_full_disk_refuses_reads_on_and_takes_files_again_once_there_is_room(
    database: Database, small_disk: tuple[Path, dict[str, int]]
) -> None:
    place, settings = small_disk
    shelf = OpenShelf(database, place / "files", grace_hours=0, **settings)
    kept = await shelf.put("alice", "kept", KEPT)
    ids: list[str] = []
    with pytest.raises(StoreFull, match=r"files\.keep_free_bytes"):
        while len(ids) < 20:
            ids += [await shelf.put("alice", f"{len(ids)}", os.urandom(2**20))]
    assert 1 < len(ids) < 12
    assert shelf.incoming == []
    assert await shelf.read("alice", kept) == KEPT
    for file_id in ids[:3]:
        await shelf.shelf.remove("alice", file_id)
    shelf.clock.advance(1)
    assert (await shelf.shelf.collect()).contents == 3
    again = await shelf.put("alice", "again", b"x" * 2**20)
    assert (await shelf.shelf.get("alice", again)).sha256 == sha256_of(b"x" * 2**20)
    assert (await shelf.tables.usage("alice")).files == len(ids) - 3 + 2
    shelf.blobs.close()


async def test_files_are_removed_although_the_disk_of_the_database_is_full(
    small_disk: tuple[Path, dict[str, int]],
) -> None:
    place, settings = small_disk
    if settings["keep_free_bytes"]:
        pytest.skip("no small file system can be mounted here, and the disk of this machine is not filled")
    database = await Database.open(config.Database(), place)
    shelf = OpenShelf(database, place / "files", grace_hours=0, **settings)
    ids = [await shelf.put("alice", f"{number}", os.urandom(2**17)) for number in range(6)]
    await database.close()  # what it has written ahead is in the database then, and takes no space of its own
    database = await Database.open(config.Database(), place)
    shelf = OpenShelf(database, place / "files", grace_hours=0, **settings)
    reserve = place / "exai.sqlite-reserve"
    assert reserve.stat().st_size == RESERVE_BYTES
    await shelf.shelf.remove("alice", ids[0])
    with suppress(OSError), (place / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(b"\0" * 2**12)
    for number in range(200):  # until what was written ahead has no space left in its file
        with suppress(StoreFailed):
            await shelf.put("alice", f"more {number}", b"x")
    for file_id in ids[1:]:
        await shelf.shelf.remove("alice", file_id)
    assert not reserve.exists()
    shelf.clock.advance(1)
    assert (await shelf.shelf.collect()).contents >= len(ids)
    assert await shelf.tables.find("alice", ids[-1]) is None
    (place / "filler").unlink()
    await shelf.put("alice", "again", b"x" * 2**17)
    assert reserve.exists(), "it is kept again once there is room"
    shelf.blobs.close()
    await database.close()


@pytest.mark.sqlite
async def test_a_disk_that_fills_up_while_a_file_comes_leaves_nothing_of_it(
    database: Database, small_disk: tuple[Path, dict[str, int]]
) -> None:
    place, settings = small_disk
    shelf = OpenShelf(database, place / "files", **settings)
    kept = await shelf.put("alice", "kept", KEPT)

    async def fills() -> AsyncIterator[bytes]:
        yield b"x" * 2**20
        with suppress(OSError), (place / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 2**16)
        for _ in range(4):
            yield b"y" * 2**20

    if not settings["keep_free_bytes"]:  # else it would fill the disk of this machine
        with pytest.raises(StoreFull):
            await shelf.shelf.put("alice", "too late", 5 * 2**20, fills())
    assert shelf.incoming == []
    assert shelf.on_disk == {sha256_of(KEPT)}
    assert await shelf.read("alice", kept) == KEPT
    shelf.blobs.close()
