"""Any request to a bucket fails: the status says so, nothing is left, and no restart is needed."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from exai.errors import ExaiError
from exai.files.faults import StoreUnavailable
from exai.files.store import bucket as bucket_module
from exai.storage.database import Database
from exai.storage.schema import file_uploads
from support.buckets import OpenBucket
from support.faulty_s3 import ANSWERS, FaultyWire, faulty_wire
from support.s3_server import S3Server
from support.shelves import OpenShelf, sha256_of
from support.waiting import wait_until

pytestmark = pytest.mark.sqlite

SMALL = b"small"
LARGE = os.urandom(bucket_module.BLOCK_BYTES + 5)
"""It is sent in two parts, and fetched in two."""
MORE_THAN_ALL = 1_000


@pytest.fixture
async def wire(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultyWire]:
    (file := tmp_path / "small").write_bytes(SMALL)
    settings = s3.settings("readiness")
    bucket = bucket_module.Bucket(settings.store, settings.s3)

    async def is_ready() -> bool:
        try:
            await bucket.put(sha256_of(SMALL), file)
        except StoreUnavailable:
            return False
        return True

    await wait_until(is_ready, what="the server takes requests")
    monkeypatch.setattr(bucket_module, "RETRIES", 0)
    async with faulty_wire(s3.endpoint) as opened:
        yield opened


class Run:
    """A store in a bucket behind a wire, and what was wrong."""

    def __init__(self, wire: FaultyWire, database: Database, folder: Path) -> None:
        self.wire = wire
        self.bucket = OpenBucket(wire.endpoint, folder / "store")
        self.shelf = OpenShelf(database, folder / "store", grace_hours=0)
        self.shelf.keep_in(self.bucket.blobs)
        self.kept: dict[str, bytes] = {}
        self.wrong: list[str] = []

    async def attempt(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something; where it is refused, do it once more on a wire that is mended."""
        try:
            await work()
        except ExaiError as fault:
            if not isinstance(fault, StoreUnavailable) or fault.http_status != 503:
                self.wrong.append(f"{what}: {fault.code}")
            self.wire.mend()
            try:
                await work()
            except ExaiError as again:
                self.wrong.append(f"{what} fails on a wire that is mended: {again.code}")

    async def everything(self) -> None:
        """Put, fetch anew, remove and collect."""
        for name, content in (("small", SMALL), ("large", LARGE)):

            async def put(name: str = name, content: bytes = content) -> None:
                self.kept[await self.shelf.put("alice", name, content)] = content

            await self.attempt(f"a put of {name}", put)
        for file_id, content in list(self.kept.items()):
            self.bucket.copies.remove(sha256_of(content))

            async def read(file_id: str = file_id, content: bytes = content) -> None:
                if await self.shelf.read("alice", file_id) != content:
                    self.wrong.append("other bytes")

            await self.attempt("a download", read)
        gone = next(iter(self.kept), None)
        if gone is not None:
            await self.shelf.shelf.remove("alice", gone)
            del self.kept[gone]
        await self.attempt("a collection", self._collect)
        self.wire.mend()
        await self._collect()
        await self._audit()

    async def _collect(self) -> None:
        self.shelf.clock.advance(1)
        await self.shelf.shelf.sweep()
        await self.shelf.shelf.collect()

    async def _audit(self) -> None:
        wanted = {sha256_of(content) for content in self.kept.values()}
        kept = set(await self.bucket.bucket.digests())
        if kept != wanted:
            self.wrong.append(f"{len(kept)} contents in the bucket for {len(wanted)}")
        if self.shelf.incoming:
            self.wrong.append(f"{len(self.shelf.incoming)} temporary files")
        for file_id, content in self.kept.items():
            if await self.shelf.read("alice", file_id) != content:
                self.wrong.append("other bytes at the end")

    async def close(self) -> None:
        await self.bucket.close()
        self.shelf.blobs.close()


async def run_with_fault(
    wire: FaultyWire, database: Database, folder: Path, at: int, how: str
) -> tuple[FaultyWire, list[str]]:
    wire.fail(at, how)
    run = Run(wire, database, folder)
    try:
        await run.everything()
        uploads = await database.read(lambda connection: connection.execute(select(file_uploads)).all())
        run.wrong += ["a reservation is left"] if uploads else []
        for file_id in run.kept:
            await run.shelf.shelf.remove("alice", file_id)
        await run._collect()
    finally:
        await run.close()
    return wire, run.wrong


async def test_any_request_to_a_bucket_may_fail(wire: FaultyWire, database: Database, tmp_path: Path) -> None:
    _, wrong = await run_with_fault(wire, database, tmp_path / "none", MORE_THAN_ALL, "cut")
    requests = wire.before_mending
    assert wrong == []
    assert requests >= 8
    kinds = list(ANSWERS)
    found = {}
    for at in range(1, requests + 1):
        how = kinds[at % len(kinds)]
        _, wrong = await run_with_fault(wire, database, tmp_path / str(at), at, how)
        if wrong or wire.failed != 1:
            found[at, how] = wrong
    assert found == {}


async def test_a_request_that_is_never_answered_ends_and_is_reported(
    wire: FaultyWire, database: Database, tmp_path: Path
) -> None:
    wire.fail(1, "stalls")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket_module, "REQUEST_S", 1)
        impatient = Run(wire, database, tmp_path / "impatient")
    with pytest.raises(StoreUnavailable):
        await impatient.shelf.put("alice", "small", SMALL)
    assert wire.failed == 1
    assert impatient.shelf.incoming == []
    await impatient.close()
    _, wrong = await run_with_fault(wire, database, tmp_path / "after", MORE_THAN_ALL, "cut")
    assert wrong == []
