"""What every store of contents does, on each kind: in a folder, and in a bucket."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from exai.files.faults import FileDamaged
from exai.files.store.blobs import BlobFolder
from exai.files.store.contract import BlobStore
from support.buckets import OpenBucket
from support.s3_server import S3Server
from support.shelves import pieces, sha256_of
from support.waiting import wait_until

LARGE = os.urandom(9 * 2**20 + 11)
"""More than a block of either kind."""


@dataclass
class Store:
    blobs: BlobStore
    folder: BlobFolder

    async def put(self, content: bytes) -> str:
        part = await self.folder.receive(os.urandom(8).hex(), len(content), pieces(content))
        await self.blobs.publish(part, part.sha256)
        await self.folder.discard(part)
        return part.sha256

    async def read(self, digest: str, start: int = 0, end: int | None = None) -> bytes:
        content = await self.blobs.open(digest)
        end = content.size if end is None else end
        return b"".join([block async for block in content.read(start, end)])


@pytest.fixture(params=["folder", "s3", "s3 without room for copies"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "folder":
        folder = BlobFolder(tmp_path, "run", keep_free_bytes=0)
        yield Store(folder, folder)
        folder.close()
        return
    s3: S3Server = request.getfixturevalue("s3")
    bucket = OpenBucket(s3.endpoint, tmp_path, cache_bytes=2**30 if request.param == "s3" else 1)
    yield Store(bucket.blobs, bucket.folder)
    await bucket.close()


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "small", "large"])
async def test_a_content_comes_back(store: Store, content: bytes) -> None:
    digest = await store.put(content)
    assert digest == sha256_of(content)
    assert await store.read(digest) == content
    assert await store.blobs.has(digest, len(content))
    assert not await store.blobs.has(digest, len(content) + 1)
    assert await store.folder.unfinished() == {}


async def test_part_of_a_content_is_read_alone(store: Store) -> None:
    digest = await store.put(LARGE)
    assert await store.read(digest, 2**20 - 5, 9 * 2**20 + 3) == LARGE[2**20 - 5 : 9 * 2**20 + 3]


async def test_a_content_that_is_not_there_is_damaged(store: Store) -> None:
    assert not await store.blobs.has(sha256_of(b"nothing"), 7)
    with pytest.raises(FileDamaged):
        await store.read(sha256_of(b"nothing"))


async def test_a_removed_content_is_gone_and_may_be_removed_again(store: Store) -> None:
    digest = await store.put(b"to go")
    await store.blobs.remove(digest)
    assert not await store.blobs.has(digest, 5)
    with pytest.raises(FileDamaged):
        await store.read(digest)
    await store.blobs.remove(digest)
    assert await store.read(await store.put(b"to go")) == b"to go"


async def test_a_put_replaces_what_is_there(store: Store) -> None:
    part = await store.folder.receive("wrong", 5, pieces(b"wrong"))
    await store.blobs.publish(part, sha256_of(b"right"))
    with pytest.raises(FileDamaged):
        for _ in range(2):
            # A store that has just received a copy may trust it; a reader checks it all the same.
            await store.read(sha256_of(b"right"))
    await store.put(b"right")
    assert await store.read(sha256_of(b"right")) == b"right"


async def test_equal_contents_may_be_put_and_read_at_once(store: Store) -> None:
    digests = await asyncio.gather(*(store.put(LARGE) for _ in range(4)))
    assert len(set(digests)) == 1
    assert await asyncio.gather(*(store.read(digests[0]) for _ in range(4))) == [LARGE] * 4


async def test_what_is_closed_unread_may_be_closed_again(store: Store) -> None:
    content = await store.blobs.open(await store.put(b"unread"))
    content.close()
    content.close()


async def test_a_read_that_is_cancelled_in_a_thread_reads_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = BlobFolder(tmp_path / "store", "run", keep_free_bytes=0)
    store = Store(folder, folder)
    digest = await store.put(b"mine")
    begun, may_go_on, pread = threading.Event(), threading.Event(), os.pread
    got: list[bytes] = []

    def gated(descriptor: int, size: int, at: int) -> bytes:
        begun.set()
        assert may_go_on.wait(30)
        got.append(pread(descriptor, size, at))
        return got[-1]

    monkeypatch.setattr(os, "pread", gated)
    reading = asyncio.ensure_future(store.read(digest))
    await wait_until(begun.is_set, what="a thread reads")
    reading.cancel()
    await asyncio.wait([reading])
    (tmp_path / "other").write_text("other")
    opened = [os.open(tmp_path / "other", os.O_RDONLY) for _ in range(8)]
    may_go_on.set()
    await wait_until(lambda: got, what="the thread has read")
    folder.close()
    for descriptor in opened:
        os.close(descriptor)
    assert got == [b"mine"]
