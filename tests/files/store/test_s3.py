"""Copies of a bucket's contents on a machine: bounded, checked, fetched once; and a bucket that is away."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from exai.files.faults import FileDamaged, StoreUnavailable
from exai.files.store import bucket as bucket_module
from exai.storage.database import Database
from support.buckets import OpenBucket
from support.s3_server import S3Server, s3_server
from support.shelves import OpenShelf, pieces, sha256_of
from support.waiting import wait_until

CONTENT = os.urandom(3 * 2**20 + 17)
MakeBucket = Callable[..., OpenBucket]


@pytest.fixture
async def make(s3: S3Server, tmp_path: Path) -> AsyncIterator[MakeBucket]:
    opened: list[OpenBucket] = []

    def bucket(machine: str = "machine", **options: object) -> OpenBucket:
        opened.append(OpenBucket(s3.endpoint, tmp_path / machine, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield bucket
    for each in opened:
        await each.close()


async def put(store: OpenBucket, content: bytes) -> str:
    part = await store.folder.receive(os.urandom(8).hex(), len(content), pieces(content))
    try:
        await store.blobs.publish(part, part.sha256)
    finally:
        await store.folder.discard(part)
    return part.sha256


async def read(store: OpenBucket, digest: str) -> bytes:
    content = await store.blobs.open(digest)
    return b"".join([block async for block in content.read(0, content.size)])


async def test_fifty_readers_on_another_machine_fetch_once(make: MakeBucket) -> None:
    here = make("here")
    digest = await put(here, CONTENT)
    there = make("there", prefix=here.prefix)
    assert await asyncio.gather(*(read(there, digest) for _ in range(50))) == [CONTENT] * 50
    assert there.bucket.fetched == 1
    assert await read(there, digest) == CONTENT
    assert (there.bucket.fetched, here.bucket.fetched) == (1, 0)


@pytest.mark.parametrize("how", ["flipped", "shorter", "empty", "gone"])
async def test_a_damaged_copy_is_noticed_and_fetched_again(make: MakeBucket, how: str) -> None:
    store = make()
    digest = await put(store, CONTENT)
    [copy] = store.files
    damaged = {
        "flipped": CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]),
        "shorter": CONTENT[:-1],
        "empty": b"",
    }
    if how == "gone":
        copy.unlink()
    else:
        copy.write_bytes(damaged[how])
    assert await read(store, digest) == CONTENT
    assert store.bucket.fetched == 1
    assert copy.read_bytes() == CONTENT


async def test_a_content_that_is_damaged_in_the_bucket_is_reported_and_put_again(make: MakeBucket) -> None:
    here = make("here")
    digest = await put(here, CONTENT)
    there = make("there", prefix=here.prefix)
    wrong = await here.folder.receive("wrong", 100, pieces(CONTENT[:100]))
    await here.bucket.put(digest, wrong.file)
    with pytest.raises(FileDamaged):
        await read(there, digest)
    assert there.files == []
    await put(here, CONTENT)
    assert await read(there, digest) == CONTENT


async def test_copies_take_so_much_space_and_the_longest_unused_go(make: MakeBucket) -> None:
    store = make(cache_bytes=4 * 2**20)
    contents = [os.urandom(2**20) for _ in range(6)]
    first, *others = [await put(store, content) for content in contents[:4]]
    assert await read(store, first) == contents[0]
    others += [await put(store, content) for content in contents[4:]]
    assert sum(file.stat().st_size for file in store.files) <= 4 * 2**20
    assert first in store.copies.digests()
    assert others[0] not in store.copies.digests()
    assert await read(store, others[0]) == contents[1]


async def test_a_machine_whose_disk_is_full_reads_from_the_bucket(make: MakeBucket) -> None:
    here = make("here")
    digest = await put(here, CONTENT)
    there = make("there", prefix=here.prefix, free=2**60)
    assert await read(there, digest) == CONTENT
    assert there.files == []


async def test_copies_of_what_another_machine_removed_are_removed(
    make: MakeBucket, database: Database
) -> None:
    here = make("here")
    there = make("there", prefix=here.prefix)
    shelf = OpenShelf(database, here.place, grace_hours=0)
    shelf.keep_in(here.blobs)
    kept, gone = [await shelf.put("alice", str(n), bytes([n]) * 100) for n in range(2)]
    digests = [(await shelf.shelf.get("alice", each)).sha256 for each in (kept, gone)]
    for digest in digests:
        await read(there, digest)
    assert sorted(await there.blobs.digests()) == sorted(digests)
    await shelf.shelf.remove("alice", gone)
    shelf.clock.advance(1)
    assert (await shelf.shelf.collect()).contents == 1
    assert sorted(there.copies.digests()) == sorted(digests)
    await there.blobs.forget_removed(shelf.tables.known)
    assert there.copies.digests() == digests[:1]
    assert await there.blobs.digests() == digests[:1]
    with pytest.raises(FileDamaged):
        await read(there, digests[1])
    shelf.blobs.close()


async def test_a_bucket_that_is_away_is_reported_and_copies_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_module, "RETRIES", 1)
    with s3_server() as server:
        store = OpenBucket(server.endpoint, tmp_path)
        digest = await put(store, CONTENT)
        server.stop()
        with pytest.raises(StoreUnavailable, match="Nothing was lost"):
            await put(store, b"meanwhile")
        assert await read(store, digest) == CONTENT
        with pytest.raises(StoreUnavailable):
            await read(store, sha256_of(b"not here"))
        with pytest.raises(StoreUnavailable):
            await store.blobs.remove(digest)
        assert await store.folder.unfinished() == {}
        server.start()

        async def works_again() -> bool:
            try:
                await read(store, await put(store, b"afterwards"))
                return await read(store, digest) == CONTENT
            except StoreUnavailable:  # it takes connections before it knows where its objects are
                return False

        await wait_until(works_again, what="the bucket answers as before")
        assert await read(store, sha256_of(b"afterwards")) == b"afterwards"
        await store.close()


async def test_a_refused_key_says_so_without_naming_it(s3: S3Server, tmp_path: Path) -> None:
    settings = s3.settings(
        "refused", s3={"endpoint": s3.endpoint, "access_key_id": "k" * 20, "secret_access_key": "s" * 40}
    )
    bucket = bucket_module.Bucket(settings.store, settings.s3)
    with pytest.raises(StoreUnavailable, match=r"refuses the key.*files\.s3") as refused:
        await bucket.size(sha256_of(b""))
    assert refused.value.__cause__ is None
    assert "kkk" not in str(refused.value)
