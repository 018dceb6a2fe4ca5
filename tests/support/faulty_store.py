"""Files put, uploaded, removed and collected on a disk that fails, without a restart; what is wrong afterwards."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sqlalchemy import select

from exai.errors import ExaiError, StoreFailed
from exai.files.faults import StoreBusy, StoreFull, StoreUnavailable
from exai.files.store.resumable import Chunk
from exai.storage.database import Database
from exai.storage.schema import blobs, file_references, file_uploads
from support.faulty_disk import FaultyDisk
from support.shelves import OpenShelf, pieces, sha256_of

__all__ = ["RunOnDisk", "run_on_faulty_disk", "upload_to_faulty_disk"]

CONTENTS = {"small": b"small", "large": bytes(range(256)) * 9_000, "other": b"other" * 70_000}
STATUSES = {503, 507}


class RunOnDisk(Protocol):
    """Runs on a disk whose call number `fails_at` fails; the disk, and what was wrong."""

    async def __call__(
        self, database: Database, folder: Path, fails_at: int, code: int, *, lasting: bool
    ) -> tuple[FaultyDisk, list[str]]: ...


@dataclass
class _Run:
    """What was acknowledged, and what went wrong."""

    shelf: OpenShelf
    disk: FaultyDisk
    kept: dict[tuple[str, str], str] = field(default_factory=dict)
    """By owner and id, which content."""
    wrong: list[str] = field(default_factory=list)

    async def attempt(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do something; where the disk refuses it, read what is kept, mend the disk and do it once more."""
        try:
            await work()
        except (StoreFull, StoreUnavailable, StoreFailed, StoreBusy) as fault:
            if fault.http_status not in STATUSES:
                self.wrong.append(f"{what}: {fault.http_status}")
            await self.read_all(f"while {what} fails")
            self.disk.mend()
            try:
                await work()
            except ExaiError as again:
                self.wrong.append(f"{what} fails on a disk that is mended: {again.code}")

    async def read_all(self, when: str) -> None:
        for (owner, file_id), name in self.kept.items():
            try:
                if await self.shelf.read(owner, file_id) != CONTENTS[name]:
                    self.wrong.append(f"diverged {when}: {name}")
            except ExaiError as fault:
                self.wrong.append(f"not readable {when}: {name} ({fault.code})")

    async def put(self, owner: str, name: str) -> None:
        async def work() -> None:
            file_id = await self.shelf.put(owner, name, CONTENTS[name])
            self.kept[owner, file_id] = name

        await self.attempt(f"a put of {name}", work)

    async def upload(self, owner: str, name: str, chunks: int) -> None:
        """Send a content by a resumable upload, going on where it is after each refusal."""
        content, uploads = CONTENTS[name], self.shelf.uploads
        begun: list[str] = []

        async def begin() -> None:
            begun.append((await uploads.begin(owner, name, len(content))).upload_id)

        async def send() -> None:
            upload = await uploads.look(owner, begun[0])
            while not upload.is_done:
                at = upload.received
                size = len(content) // chunks + 1
                chunk = Chunk(at, pieces(content[at : at + size]))
                upload = await uploads.append(owner, begun[0], chunk)
            assert upload.file_id is not None
            self.kept[owner, upload.file_id] = name

        await self.attempt(f"the beginning of an upload of {name}", begin)
        if begun:
            await self.attempt(f"an upload of {name}", send)

    async def remove(self, owner: str, name: str) -> None:
        file_id = next(
            (each for (whose, each), has in self.kept.items() if (whose, has) == (owner, name)), None
        )
        if file_id is None:
            return

        async def work() -> None:
            await self.shelf.shelf.remove(owner, file_id)
            del self.kept[owner, file_id]

        await self.attempt(f"a removal of {name}", work)

    async def collect(self) -> None:
        async def work() -> None:
            self.shelf.clock.advance(1)
            await self.shelf.shelf.collect()

        await self.attempt("a collection", work)


async def run_on_faulty_disk(
    database: Database, folder: Path, fails_at: int, code: int, *, lasting: bool
) -> tuple[FaultyDisk, list[str]]:
    """Run everything; the disk, and what was wrong."""
    shelf = OpenShelf(database, folder, grace_hours=0)
    disk = FaultyDisk(fails_at, code, lasting=lasting)
    run = _Run(shelf, disk)
    with disk.attached(database):
        for owner, name in (("alice", "small"), ("bob", "small"), ("alice", "large"), ("bob", "other")):
            await run.put(owner, name)
        for owner, name in (("alice", "small"), ("alice", "large")):
            await run.remove(owner, name)
        await run.collect()
        await run.put("alice", "large")
        await run.put("bob", "small")
        disk.mend()
        await run.read_all("at the end")
        await run.collect()
        await shelf.shelf.sweep()
        shelf.clock.advance(1)
        await shelf.shelf.collect()
        run.wrong += await _audit(run, database)
    shelf.blobs.close()
    return disk, run.wrong


async def upload_to_faulty_disk(
    database: Database, folder: Path, fails_at: int, code: int, *, lasting: bool
) -> tuple[FaultyDisk, list[str]]:
    """Send a content by parts, and its like at once; the disk, and what was wrong."""
    shelf = OpenShelf(database, folder, grace_hours=0)
    disk = FaultyDisk(fails_at, code, lasting=lasting)
    run = _Run(shelf, disk)
    with disk.attached(database):
        await run.upload("alice", "large", 2)
        await run.upload("bob", "small", 1)
        disk.mend()
        await run.read_all("at the end")
        shelf.clock.advance(2 * shelf.settings.upload_keep_hours * 3_600 + 1)
        await shelf.uploads.sweep()
        await shelf.shelf.sweep()
        shelf.clock.advance(1)
        await shelf.shelf.collect()
        run.wrong += await _audit(run, database)
        run.wrong += [f"left of an upload: {len(shelf.parts)}"] if shelf.parts else []
    shelf.blobs.close()
    return disk, run.wrong


async def _audit(run: _Run, database: Database) -> list[str]:
    shelf, wrong = run.shelf, []
    listed = {
        (owner, row.file_id): row.sha256
        for owner in ("alice", "bob")
        for row in await shelf.shelf.newest(owner, 100)
    }
    if listed != {key: sha256_of(CONTENTS[name]) for key, name in run.kept.items()}:
        wrong.append(f"listed {len(listed)}, acknowledged {len(run.kept)}")
    if shelf.on_disk != set(listed.values()):
        wrong.append(f"{len(shelf.on_disk)} contents for {len(set(listed.values()))}")
    if shelf.incoming:
        wrong.append(f"{len(shelf.incoming)} temporary files")
    states, uploads, references = await database.read(
        lambda connection: (
            set(connection.scalars(select(blobs.c.state)).all()),
            len(connection.execute(select(file_uploads)).all()),
            len(connection.execute(select(file_references)).all()),
        )
    )
    if states - {"live"} or uploads or references != len(listed):
        wrong.append(f"rows: {states}, {uploads} uploads, {references} references")
    return wrong
