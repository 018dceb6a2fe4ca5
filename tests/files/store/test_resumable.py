"""Resumable uploads, on both databases and a real folder."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from exai.errors import ExaiError
from exai.files.faults import (
    ChecksumDiffers,
    FileTooLarge,
    LengthWrong,
    QuotaExceeded,
    StoreFull,
    UnknownUpload,
    UploadExpired,
    UploadFinished,
    UploadLocked,
    WrongOffset,
)
from exai.files.store.receiving import CHECKPOINT_BYTES, Checksum
from exai.files.store.resumable import Chunk
from exai.storage.database import Database
from exai.storage.files.resumable import ResumableUpload
from support.shelves import OpenShelf, pieces, sha256_of

CONTENT = os.urandom(2**20 + 17)
DIGEST = sha256_of(CONTENT)
HALF = len(CONTENT) // 2
MakeShelf = Callable[..., OpenShelf]


class Cut(Exception):
    """The connection broke."""


@pytest.fixture
def make(database: Database, tmp_path: Path) -> MakeShelf:
    """Shelves on one database and one folder: each is what a restarted daemon has."""

    def shelf(**settings: object) -> OpenShelf:
        return OpenShelf(database, tmp_path / "files", **settings)

    return shelf


async def begin(shelf: OpenShelf, length: int = len(CONTENT), expected: str | None = None) -> str:
    upload = await shelf.uploads.begin("alice", "data.bin", length, expected=expected)
    return upload.upload_id


async def send(
    shelf: OpenShelf, upload_id: str, offset: int, content: bytes, checksum: Checksum | None = None
) -> ResumableUpload:
    chunk = Chunk(offset, pieces(content), len(content), checksum)
    return await shelf.uploads.append("alice", upload_id, chunk)


async def cut_after(content: bytes) -> AsyncIterator[bytes]:
    async for piece in pieces(content):
        yield piece
    raise Cut


async def test_an_upload_in_two_parts_becomes_a_file(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf, expected=DIGEST)
    half = await send(shelf, upload_id, 0, CONTENT[:HALF])
    assert (half.received, half.is_done) == (HALF, False)
    assert (await shelf.uploads.look("alice", upload_id)).received == HALF
    done = await send(shelf, upload_id, HALF, CONTENT[HALF:])
    assert (done.is_done, done.sha256) == (True, DIGEST)
    assert done.file_id is not None
    assert await shelf.read("alice", done.file_id) == CONTENT
    assert (await shelf.shelf.get("alice", done.file_id)).name == "data.bin"
    assert (shelf.on_disk, shelf.parts) == ({DIGEST}, [])
    assert (await shelf.uploads.look("alice", upload_id)).file_id == done.file_id


async def test_an_empty_upload_is_done_at_once(make: MakeShelf) -> None:
    upload = await make().uploads.begin("alice", "empty", 0)
    assert (upload.is_done, upload.sha256) == (True, sha256_of(b""))


async def test_what_came_before_a_cut_is_kept(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf)
    with pytest.raises(Cut):
        await shelf.uploads.append("alice", upload_id, Chunk(0, cut_after(CONTENT[:HALF])))
    assert (await shelf.uploads.look("alice", upload_id)).received == HALF
    assert (await send(shelf, upload_id, HALF, CONTENT[HALF:])).sha256 == DIGEST


async def test_an_upload_goes_on_after_a_restart(make: MakeShelf) -> None:
    upload_id = await begin(make())
    await send(make(), upload_id, 0, CONTENT[:HALF])
    restarted = make()
    await restarted.shelf.sweep()
    await restarted.uploads.sweep()
    assert (await restarted.uploads.look("alice", upload_id)).received == HALF
    assert (await send(restarted, upload_id, HALF, CONTENT[HALF:])).sha256 == DIGEST


async def test_bytes_that_were_not_acknowledged_are_cut_off(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf)
    await send(shelf, upload_id, 0, CONTENT[:HALF])
    with (shelf.folder / "resumable" / upload_id).open("ab") as part:
        part.write(b"written, and never flushed")
    restarted = make()
    assert (await restarted.uploads.look("alice", upload_id)).received == HALF
    assert (await send(restarted, upload_id, HALF, CONTENT[HALF:])).sha256 == DIGEST


async def test_a_row_that_is_ahead_of_the_disk_counts_as_far_as_the_disk_has_come(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf)
    await send(shelf, upload_id, 0, CONTENT[:HALF])
    os.truncate(shelf.folder / "resumable" / upload_id, 100)
    restarted = make()
    assert (await restarted.uploads.look("alice", upload_id)).received == 100
    with pytest.raises(WrongOffset, match="100 bytes"):
        await send(restarted, upload_id, HALF, CONTENT[HALF:])
    assert (await send(restarted, upload_id, 100, CONTENT[100:])).sha256 == DIGEST


async def test_a_long_request_is_noted_on_the_way(make: MakeShelf) -> None:
    shelf, size = make(), CHECKPOINT_BYTES + 2**21
    upload_id = await begin(shelf, 2 * size)
    noted: list[int] = []

    async def watched() -> AsyncIterator[bytes]:
        async for piece in pieces(bytes(size)):
            yield piece
        noted.append((await make().uploads.look("alice", upload_id)).received)

    await shelf.uploads.append("alice", upload_id, Chunk(0, watched()))
    assert noted[0] >= CHECKPOINT_BYTES


async def test_the_checksum_of_a_request_decides_whether_it_is_kept(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf)
    for algorithm in ("sha256", "sha1"):
        wrong = Checksum(algorithm, hashlib.new(algorithm, b"other").digest())
        with pytest.raises(ChecksumDiffers):
            await send(shelf, upload_id, 0, CONTENT[:HALF], wrong)
        assert (await shelf.uploads.look("alice", upload_id)).received == 0
    right = Checksum("sha256", hashlib.sha256(CONTENT[:HALF]).digest())
    with pytest.raises(Cut):
        await shelf.uploads.append(
            "alice", upload_id, Chunk(0, cut_after(CONTENT[: HALF - 1]), checksum=right)
        )
    assert (await shelf.uploads.look("alice", upload_id)).received == 0
    assert (await send(shelf, upload_id, 0, CONTENT[:HALF], right)).received == HALF
    assert (await send(shelf, upload_id, HALF, CONTENT[HALF:])).sha256 == DIGEST


async def test_another_content_than_was_announced_leaves_nothing(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf, expected=sha256_of(b"other"))
    with pytest.raises(ChecksumDiffers, match=DIGEST):
        await send(shelf, upload_id, 0, CONTENT)
    with pytest.raises(UnknownUpload):
        await shelf.uploads.look("alice", upload_id)
    assert (shelf.on_disk, shelf.parts) == (set(), [])
    assert (await shelf.tables.usage("alice")).files == 0


async def test_more_than_was_announced_is_not_kept(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf, 10)
    with pytest.raises(LengthWrong):
        await send(shelf, upload_id, 0, b"x" * 11)
    with pytest.raises(LengthWrong):
        await shelf.uploads.append("alice", upload_id, Chunk(0, pieces(b"x" * 11)))
    assert (await shelf.uploads.look("alice", upload_id)).received == 0
    assert (await send(shelf, upload_id, 0, b"x" * 10)).is_done


async def test_two_requests_at_once_do_not_mix(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf)
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield CONTENT[:10]
        begun.set()
        await may_end.wait()
        yield CONTENT[10:]

    first = asyncio.ensure_future(shelf.uploads.append("alice", upload_id, Chunk(0, slow())))
    await begun.wait()
    for other in (shelf, make()):
        with pytest.raises(UploadLocked):
            await send(other, upload_id, 0, CONTENT)
        with pytest.raises(UploadLocked):
            await other.uploads.end("alice", upload_id)
    may_end.set()
    assert (await first).sha256 == DIGEST
    with pytest.raises(UploadFinished):
        await send(shelf, upload_id, len(CONTENT), b"")


async def test_uploads_of_others_are_unknown(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf)
    said = set()
    for owner, wanted in (
        ("bob", upload_id),
        ("alice", "upload_" + "0" * 32),
        ("alice", "../blobs"),
        ("alice", "\0"),
    ):
        for attempt in (
            shelf.uploads.look(owner, wanted),
            shelf.uploads.append(owner, wanted, Chunk(0, pieces(b"x"))),
            shelf.uploads.end(owner, wanted),
        ):
            with pytest.raises(UnknownUpload) as unknown:
                await attempt
            said.add(str(unknown.value))
    assert len(said) == 1


async def test_an_upload_that_was_ended_is_gone_with_its_bytes(make: MakeShelf) -> None:
    shelf = make()
    upload_id = await begin(shelf)
    await send(shelf, upload_id, 0, CONTENT[:HALF])
    await shelf.uploads.end("alice", upload_id)
    assert shelf.parts == []
    assert (await shelf.tables.usage("alice")).bytes == 0
    with pytest.raises(UnknownUpload):
        await shelf.uploads.look("alice", upload_id)


async def test_an_upload_expires_after_its_last_bytes(make: MakeShelf) -> None:
    shelf = make(upload_keep_hours=2)
    upload_id, hour = await begin(shelf), timedelta(hours=1).total_seconds()
    shelf.clock.advance(1.5 * hour)
    await send(shelf, upload_id, 0, CONTENT[:HALF])
    shelf.clock.advance(1.5 * hour)
    await shelf.uploads.sweep()
    assert (await shelf.uploads.look("alice", upload_id)).received == HALF
    shelf.clock.advance(hour)
    for _ in range(2):
        with pytest.raises(UploadExpired, match="2 hours"):
            await shelf.uploads.look("alice", upload_id)
        await shelf.uploads.sweep()
        assert shelf.parts == []
        assert (await shelf.tables.usage("alice")).bytes == 0
    shelf.clock.advance(3 * hour)
    await shelf.uploads.sweep()
    with pytest.raises(UnknownUpload):
        await shelf.uploads.look("alice", upload_id)


async def test_the_row_of_a_finished_upload_goes_and_its_file_stays(make: MakeShelf) -> None:
    shelf = make(upload_keep_hours=1)
    upload_id = await begin(shelf)
    done = await send(shelf, upload_id, 0, CONTENT)
    assert (await shelf.tables.usage("alice")).files == 1
    shelf.clock.advance(2.5 * 3600)
    await shelf.uploads.sweep()
    with pytest.raises(UnknownUpload):
        await shelf.uploads.look("alice", upload_id)
    assert done.file_id is not None
    assert await shelf.read("alice", done.file_id) == CONTENT


async def test_space_is_reserved_before_the_first_byte(make: MakeShelf) -> None:
    shelf = make(max_upload_bytes=1000, max_owner_bytes=1500, max_owner_files=2)
    refusals: list[tuple[int, type[ExaiError]]] = [(1001, FileTooLarge), (501, QuotaExceeded)]
    await begin(shelf, 1000)
    for length, refusal in refusals:
        with pytest.raises(refusal):
            await begin(shelf, length)
    await begin(shelf, 500)
    with pytest.raises(QuotaExceeded):
        await begin(shelf, 0)
    assert len(shelf.parts) == 2


async def test_what_is_promised_to_uploads_is_kept_free_on_the_disk(make: MakeShelf) -> None:
    stat = os.statvfs(make().folder.parent)
    free = stat.f_bavail * stat.f_frsize
    shelf = make(max_upload_bytes=free, max_owner_bytes=4 * free)
    upload_id = await begin(shelf, free * 2 // 3)
    with pytest.raises(StoreFull):
        await begin(shelf, free * 2 // 3)
    assert len(shelf.parts) == 1
    restarted = make(max_upload_bytes=free, max_owner_bytes=4 * free)
    await restarted.uploads.sweep()
    with pytest.raises(StoreFull):
        await begin(restarted, free * 2 // 3)
    await restarted.uploads.end("alice", upload_id)
    await begin(restarted, free * 2 // 3)


async def test_a_content_that_somebody_has_is_written_once(make: MakeShelf) -> None:
    shelf = make()
    await shelf.put("bob", "theirs", CONTENT)
    done = await send(shelf, await begin(shelf), 0, CONTENT)
    assert done.file_id is not None
    assert await shelf.read("alice", done.file_id) == CONTENT
    assert (shelf.on_disk, shelf.parts) == ({DIGEST}, [])
