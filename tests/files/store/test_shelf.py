"""Files of owners, on both databases and a real folder."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from exai.errors import ExaiError
from exai.files.faults import (
    DigestDiffers,
    FileDamaged,
    FileTooLarge,
    LengthWrong,
    QuotaExceeded,
    StoreBusy,
    StoreFull,
    StoreUnavailable,
    UnknownFile,
)
from exai.files.store.resumable import Chunk
from exai.files.store.shelf import Collected
from exai.storage.database import Database
from exai.storage.files.rows import Quota, Usage
from exai.storage.files.tables import FileTables, Upload
from support.shelves import OpenShelf, pieces, sha256_of

CONTENT = os.urandom(3 * 2**20 + 17)
MakeShelf = Callable[..., OpenShelf]


@pytest.fixture
def make(database: Database, tmp_path: Path) -> MakeShelf:
    """Shelves on one database and one folder, as processes of one machine have them."""

    def shelf(**settings: object) -> OpenShelf:
        return OpenShelf(database, tmp_path / "files", **settings)

    return shelf


async def test_a_file_comes_back_as_it_was_put(make: MakeShelf) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "data.bin", CONTENT, expected=sha256_of(CONTENT))
    row = await shelf.shelf.get("alice", file_id)
    assert (row.name, row.bytes, row.sha256, row.kind) == (
        "data.bin",
        len(CONTENT),
        sha256_of(CONTENT),
        "binary",
    )
    assert await shelf.read("alice", file_id) == CONTENT
    assert (shelf.on_disk, shelf.incoming) == ({sha256_of(CONTENT)}, [])


async def test_part_of_a_file_is_read_alone(make: MakeShelf) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "data.bin", CONTENT)
    content = await shelf.shelf.open(await shelf.shelf.get("alice", file_id))
    part = b"".join([block async for block in content.read(2**20 - 5, 2**21 + 5)])
    assert part == CONTENT[2**20 - 5 : 2**21 + 5]


async def test_fifty_equal_uploads_at_once_are_one_content_and_fifty_files(make: MakeShelf) -> None:
    shelf = make()
    ids = await asyncio.gather(*(shelf.put(f"owner{n}", f"{n}.bin", CONTENT) for n in range(50)))
    assert len(set(ids)) == 50
    assert shelf.on_disk == {sha256_of(CONTENT)}
    assert shelf.incoming == []
    assert await shelf.read("owner49", ids[49]) == CONTENT


async def test_a_content_that_comes_byte_by_byte_is_kept_whole(make: MakeShelf) -> None:
    shelf = make()
    content = os.urandom(5_000)
    row = await shelf.shelf.put("alice", "a.bin", len(content), pieces(content, 1))
    assert await shelf.read("alice", row.file_id) == content


async def test_a_content_goes_after_its_last_file_and_the_grace(make: MakeShelf) -> None:
    shelf = make(grace_hours=24)
    first = await shelf.put("alice", "a.txt", b"equal bytes")
    second = await shelf.put("alice", "b.txt", b"equal bytes")
    await shelf.shelf.remove("alice", first)
    shelf.clock.advance(25 * 3600)
    assert (await shelf.shelf.collect()).contents == 0
    await shelf.shelf.remove("alice", second)
    shelf.clock.advance(23 * 3600)
    assert (await shelf.shelf.collect()).contents == 0
    assert shelf.on_disk
    shelf.clock.advance(2 * 3600)
    assert (await shelf.shelf.collect()).contents == 1
    assert shelf.on_disk == set()
    assert await shelf.shelf.newest("alice", 10) == []


async def test_a_put_within_the_grace_revives_the_content(make: MakeShelf) -> None:
    shelf = make(grace_hours=24)
    await shelf.shelf.remove("alice", await shelf.put("alice", "a.txt", b"back again"))
    shelf.clock.advance(23 * 3600)
    file_id = await shelf.put("bob", "b.txt", b"back again")
    shelf.clock.advance(48 * 3600)
    assert (await shelf.shelf.collect()).contents == 0
    assert await shelf.read("bob", file_id) == b"back again"


async def test_a_dry_run_reports_what_a_collection_then_deletes(make: MakeShelf) -> None:
    shelf = make(grace_hours=24)
    await shelf.put("alice", "kept.txt", b"kept")
    for content in (b"12345", b"123"):
        await shelf.shelf.remove("alice", await shelf.put("alice", "a.txt", content))
    assert await shelf.shelf.collect(dry_run=True) == Collected(0, 0, 2, 8)
    shelf.clock.advance(25 * 3600)
    few = make(grace_hours=24, collect_most=1)
    few.clock.advance(25 * 3600)
    assert await few.shelf.collect(dry_run=True) == Collected(1, 5, 1, 3)
    assert len(shelf.on_disk) == 3
    assert await few.shelf.collect() == Collected(1, 5, 1, 3)
    assert await shelf.shelf.collect() == Collected(1, 3, 0, 0)
    assert shelf.on_disk == {sha256_of(b"kept")}


async def test_a_put_waits_for_the_deletion_of_its_content_and_writes_it_again(make: MakeShelf) -> None:
    shelf, other = make(grace_hours=0), make(grace_hours=0)
    await shelf.shelf.remove("alice", await shelf.put("alice", "a.txt", b"contested"))
    shelf.clock.advance(1)
    digests = [content.sha256 for content in await shelf.tables.begin_deleting(shelf.clock.utc(), 10)]
    assert digests == [sha256_of(b"contested")]
    putting = asyncio.create_task(other.put("bob", "b.txt", b"contested"))
    await asyncio.sleep(0.1)
    assert not putting.done()
    await shelf.blobs.remove(digests[0])
    await shelf.tables.end_deleting(digests, shelf.clock.utc())
    assert await other.read("bob", await putting) == b"contested"


async def test_a_deletion_that_does_not_end_is_reported_as_busy(make: MakeShelf) -> None:
    shelf = make(grace_hours=0)
    await shelf.shelf.remove("alice", await shelf.put("alice", "a.txt", b"contested"))
    shelf.clock.advance(1)
    await shelf.tables.begin_deleting(shelf.clock.utc(), 10)

    async def waits() -> None:
        while True:
            await asyncio.sleep(0.01)
            shelf.clock.advance(1)

    waiting = asyncio.create_task(waits())
    with pytest.raises(StoreBusy):
        await shelf.put("bob", "b.txt", b"contested")
    waiting.cancel()
    assert (await shelf.tables.usage("bob")).bytes == 0
    assert shelf.incoming == []


async def test_a_deletion_that_was_left_is_finished_by_the_next_one(make: MakeShelf) -> None:
    shelf = make(grace_hours=0)
    await shelf.shelf.remove("alice", await shelf.put("alice", "a.txt", b"half gone"))
    shelf.clock.advance(1)
    await shelf.tables.begin_deleting(shelf.clock.utc(), 10)
    assert (await shelf.shelf.collect()).contents == 1
    assert shelf.on_disk == set()


async def test_the_file_of_another_owner_is_as_unknown_as_none(make: MakeShelf) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "a.txt", b"mine")
    errors = []
    for wanted in (file_id, "file_" + "0" * 32):
        for attempt in (shelf.shelf.get("bob", wanted), shelf.shelf.remove("bob", wanted)):
            with pytest.raises(UnknownFile) as refused:
                await attempt
            errors.append(str(refused.value))
    assert len(set(errors)) == 1
    assert await shelf.shelf.find_content("bob", sha256_of(b"mine")) is None
    assert await shelf.shelf.put_again("bob", "a.txt", sha256_of(b"mine")) is None
    assert await shelf.shelf.newest("bob", 10) == []
    assert await shelf.read("alice", file_id) == b"mine"


async def test_an_owner_names_a_content_again_without_sending_it(make: MakeShelf) -> None:
    shelf = make()
    first = await shelf.put("alice", "a.txt", b"known")
    again = await shelf.shelf.put_again("alice", "a.txt", sha256_of(b"known"))
    further = await shelf.shelf.put_again("alice", "b.txt", sha256_of(b"known"))
    assert again is not None
    assert further is not None
    assert again.file_id == first
    assert further.file_id != first
    await shelf.shelf.remove("alice", first)
    assert await shelf.read("alice", further.file_id) == b"known"


async def test_a_content_that_comes_again_under_its_name_is_the_same_file(make: MakeShelf) -> None:
    shelf = make()
    first = await shelf.put("alice", "a.txt", b"again")
    assert await shelf.put("alice", "a.txt", b"again") == first
    resumed = await shelf.uploads.begin("alice", "a.txt", 5)
    done = await shelf.uploads.append("alice", resumed.upload_id, Chunk(0, pieces(b"again")))
    assert done.file_id == first
    others = {
        await shelf.put("alice", "b.txt", b"again"),
        await shelf.put("alice", "a.txt", b"other"),
        await shelf.put("bob", "a.txt", b"again"),
    }
    assert len(others | {first}) == 4
    assert (await shelf.tables.usage("alice")).files == 3
    await shelf.shelf.remove("alice", first)
    assert await shelf.put("alice", "a.txt", b"again") != first, "what was removed stays removed"


async def test_files_are_listed_newest_first_and_page_by_page(make: MakeShelf) -> None:
    shelf = make()
    ids = []
    for number in range(5):
        ids.append(await shelf.put("alice", f"{number}.txt", str(number).encode()))
        shelf.clock.advance(0.5)
    await shelf.put("bob", "b.txt", b"not hers")
    listed: list[str] = []
    while page := await shelf.shelf.newest("alice", 2, after=listed[-1] if listed else None):
        listed += [row.file_id for row in page]
    assert listed == ids[::-1]


async def test_an_owner_may_have_so_many_bytes_and_files(make: MakeShelf) -> None:
    shelf = make(max_owner_bytes=100, max_owner_files=3)
    for number in range(2):
        await shelf.put("alice", f"{number}", bytes([number]) * 40)
    with pytest.raises(QuotaExceeded, match=r"files\.max_owner_bytes"):
        await shelf.put("alice", "too large", b"x" * 21)
    await shelf.put("alice", "fits", b"x" * 20)
    with pytest.raises(QuotaExceeded, match=r"3 files of 100 bytes"):
        await shelf.put("alice", "one too many", b"")
    with pytest.raises(QuotaExceeded):
        await shelf.shelf.put_again("alice", "another name", sha256_of(b"x" * 20))
    await shelf.put("bob", "his own", b"x" * 100)


async def test_space_is_reserved_before_a_byte_is_read(make: MakeShelf) -> None:
    shelf, read = make(max_owner_bytes=100), asyncio.Event()
    gate, asked = asyncio.Event(), list[str]()

    async def slow() -> AsyncIterator[bytes]:
        read.set()
        await gate.wait()
        yield b"x" * 60

    async def unread() -> AsyncIterator[bytes]:
        asked.append("a byte")
        yield b""

    first = asyncio.create_task(shelf.shelf.put("alice", "slow", 60, slow()))
    await read.wait()
    with pytest.raises(QuotaExceeded):
        await shelf.shelf.put("alice", "second", 60, unread())
    assert asked == []
    gate.set()
    await first


async def test_an_upload_that_breaks_off_leaves_nothing(make: MakeShelf) -> None:
    shelf = make()

    async def broken() -> AsyncIterator[bytes]:
        yield CONTENT
        raise ConnectionAbortedError("the client has gone")

    with pytest.raises(ConnectionAbortedError):
        await shelf.shelf.put("alice", "broken", len(CONTENT), broken())
    cancelled = asyncio.create_task(shelf.shelf.put("alice", "slow", 10, _forever()))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    for expected, error in ((sha256_of(b"other"), DigestDiffers), (None, LengthWrong)):
        with pytest.raises(error):
            await shelf.shelf.put(
                "alice", "wrong", 5, pieces(CONTENT[: 5 if expected else 9]), expected=expected
            )
    assert (shelf.on_disk, shelf.incoming) == (set(), [])
    assert (await shelf.tables.usage("alice")).files == 0


async def test_a_reservation_whose_caller_left_while_it_was_made_is_given_back(
    make: MakeShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = make()
    reserve, committed = FileTables.reserve, asyncio.Event()

    async def reserve_and_tarry(tables: FileTables, upload: Upload, quota: Quota) -> Usage | None:
        used = await reserve(tables, upload, quota)
        committed.set()
        await asyncio.sleep(3600)
        return used

    monkeypatch.setattr(FileTables, "reserve", reserve_and_tarry)
    put = asyncio.create_task(shelf.put("alice", "left", CONTENT))
    await committed.wait()
    assert (await shelf.tables.usage("alice")).files == 1
    put.cancel()
    with pytest.raises(asyncio.CancelledError):
        await put
    assert (await shelf.tables.usage("alice")).files == 0


async def test_a_file_larger_than_one_may_be_is_refused(make: MakeShelf) -> None:
    shelf = make(max_upload_bytes=10)
    with pytest.raises(FileTooLarge, match=r"files\.max_upload_bytes"):
        await shelf.put("alice", "large", b"x" * 11)
    assert shelf.on_disk == set()


async def test_a_disk_that_would_be_too_full_is_refused_unread(make: MakeShelf) -> None:
    with pytest.raises(StoreFull, match=r"files\.keep_free_bytes"):
        await make(keep_free_bytes=2**60).put("alice", "a", b"x")


@pytest.mark.parametrize(
    ("code", "error"),
    [(errno.ENOSPC, StoreFull), (errno.EIO, StoreUnavailable), (errno.EROFS, StoreUnavailable)],
)
@pytest.mark.parametrize("call", ["os.writev", "os.fsync", "pathlib.Path.rename"])
async def test_a_disk_that_fails_leaves_nothing_and_goes_on_later(
    make: MakeShelf, monkeypatch: pytest.MonkeyPatch, call: str, code: int, error: type[ExaiError]
) -> None:
    shelf = make()
    kept = await shelf.put("alice", "before", b"before")

    def fails(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as broken:
        broken.setattr(call, fails)
        with pytest.raises(error):
            await shelf.put("alice", "during", CONTENT)
        assert await shelf.read("alice", kept) == b"before"
    assert shelf.incoming == []
    assert (await shelf.tables.usage("alice")).files == 1
    assert await shelf.read("alice", await shelf.put("alice", "after", CONTENT)) == CONTENT


@pytest.mark.parametrize("how", ["changed", "shorter", "gone"])
async def test_damage_is_noticed_and_repaired_by_the_same_content(make: MakeShelf, how: str) -> None:
    shelf = make()
    file_id = await shelf.put("alice", "a.bin", CONTENT)
    place = next(file for file in (shelf.folder / "blobs").rglob("*") if file.is_file())
    match how:
        case "changed":
            place.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
        case "shorter":
            place.write_bytes(CONTENT[:-1])
        case _:
            place.unlink()
    row = await shelf.shelf.get("alice", file_id)
    with pytest.raises(FileDamaged):
        await shelf.read("alice", file_id)
    await shelf.shelf.note_damage(row)
    assert (await shelf.shelf.get("alice", file_id)).is_damaged
    with pytest.raises(FileDamaged):
        await shelf.read("alice", file_id)
    assert await shelf.shelf.put_again("alice", "a.bin", sha256_of(CONTENT)) is None
    await shelf.put("bob", "mine", CONTENT)
    assert await shelf.read("alice", file_id) == CONTENT


async def _forever() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""
