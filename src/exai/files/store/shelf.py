"""Files of owners: rows (`storage.files`) and bytes (`blobs`) together. Owners are checked here and below.

A put, and what a crash after each step leaves:

=====================================================  ==============================================================
true from here on                                      a crash after it leaves
=====================================================  ==============================================================
space of the owner is reserved, committed              a reservation, which `sweep` of a later process takes away
the bytes are beside their place, on the disk          that, and a part, removed by the same
the content is referred to by the upload, committed    that, and a row in `uploading`, condemned by the same
the bytes are at their place, on the disk              the same, with bytes; they go with the row
the file is there, the upload is over, one commit      the file
the caller is answered                                 the file, which its owner can list
=====================================================  ==============================================================

A removal takes the file and its reference away in one commit, which condemns copies at providers too
(`storage.files.removals`). The content stays for a grace, then `collect` takes the row (nobody can claim it any more),
removes the bytes, and forgets the row. A process that dies in between leaves a row in `deleting`, which the next
`collect` of any process finishes. Where the bytes cannot be removed, the row is given back, so that the same content
can be put meanwhile.
"""

import asyncio
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import msgspec
import structlog

from exai import config
from exai.errors import ExaiError
from exai.events.events import ContentDamaged, ContentsDeleted, Event, FileRemoved, FileStored
from exai.files.faults import (
    DigestDiffers,
    FileDamaged,
    FileTooLarge,
    QuotaExceeded,
    StoreBusy,
    UnknownFile,
    damaged,
)
from exai.files.kinds import kind_of
from exai.files.store.blobs import BlobFolder, Part, ReceivedPart
from exai.files.store.contract import BlobStore, OpenContent
from exai.files.store.names import storable_name
from exai.files.store.proofs import Details, Proof, details_of, proof_of, with_deleted_bytes
from exai.runtime.clock import Clock
from exai.storage.files.copy_rows import CopyRow
from exai.storage.files.removals import RemovalTables
from exai.storage.files.tables import Claim, FileRow, FileTables, NewFile, Quota, Unneeded, Upload, Usage

__all__ = ["Collected", "Shelf", "new_id", "over_quota", "too_large"]

_log = structlog.get_logger(__name__)

BUSY_S = 5.0
"""How long a put waits for the deletion of the same content."""
BUSY_PAUSE_S = 0.05


class Collected(msgspec.Struct, frozen=True):
    """What a collection has deleted, or would delete, and what it leaves."""

    contents: int
    bytes: int
    waiting: int
    """Contents that no file has any more and whose grace is not over, or that were too many for one collection."""
    waiting_bytes: int


class Shelf:
    """Puts, finds, opens and removes files."""

    def __init__(
        self,
        tables: FileTables,
        removals: RemovalTables,
        folder: BlobFolder,
        blobs: BlobStore,
        settings: config.Files,
        clock: Clock,
        publish: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """`folder` is where contents are received, `blobs` where they are kept: the same, or a bucket."""
        self._tables = tables
        self._removals = removals
        self._folder = folder
        self._blobs = blobs
        self._run_id = tables.run_id
        self._settings = settings
        self._quota = Quota(settings.max_owner_bytes, settings.max_owner_files)
        self._clock = clock
        self._publish = publish
        self._collecting = asyncio.Lock()

    async def put(
        self, owner: str, name: str, most: int, pieces: AsyncIterable[bytes], *, expected: str | None = None
    ) -> FileRow:
        """Store a content under a name; what its owner has with both is the same file.

        Args:
            most: how many bytes `pieces` may have; as much space is reserved meanwhile.
            expected: the SHA-256 that the content is to have, in lower case.

        Raises:
            QuotaExceeded, StoreFull: there is no space for it; no byte was read.
            FileTooLarge: it is larger than one file may be.
            LengthWrong, DigestDiffers: it is not what was announced; nothing is kept.
            StoreUnavailable, StoreBusy, StoreFailed: it cannot be kept now.
        """
        async with self.receiving(owner, most, pieces, self._quota) as (upload, part):
            if part.size > self._settings.max_upload_bytes:
                raise too_large(self._settings.max_upload_bytes)
            if expected is not None and part.sha256 != expected:
                raise DigestDiffers(
                    f"The content has the SHA-256 {part.sha256}, and not the one that was given; send it again."
                )
            await self.place(upload, part, part.sha256)
            file = NewFile(new_id("file"), owner, part.sha256, storable_name(name), self._clock.utc())
            row = await self._tables.commit(upload, file)
            if row.file_id == file.file_id:
                self.note_stored(owner, row.file_id, row.bytes)
            return row

    @asynccontextmanager
    async def receiving(
        self, owner: str, most: int, pieces: AsyncIterable[bytes], quota: Quota
    ) -> AsyncIterator[tuple[Upload, Part]]:
        """Receive a content, and keep it until the scope is left; what was not committed by then is forgotten.

        Raises:
            QuotaExceeded, StoreFull: there is no space for it; no byte was read.
            LengthWrong: more came than `most`.
            StoreUnavailable, StoreFailed: it cannot be received now.
        """
        upload = Upload(new_id("upload"), owner, most, self._run_id, self._clock.utc())
        await self._reserve(upload, quota)
        try:
            part = await self._folder.receive(upload.upload_id, most, pieces)
            try:
                yield upload, part
            finally:
                await self._folder.discard(part)
        except BaseException:
            await asyncio.shield(self._abandon(upload))
            raise

    async def put_again(self, owner: str, name: str, sha256: str) -> FileRow | None:
        """Return the owner's file with this name and content, or make one of a content that he has; else `None`.

        Raises:
            QuotaExceeded: he may have no further file.
            StoreFailed: it cannot be kept now.
        """
        name = storable_name(name)
        if (known := await self._tables.find_content(owner, sha256, name)) is not None:
            return known
        linked = await self._tables.link(
            NewFile(new_id("file"), owner, sha256, name, self._clock.utc()), self._quota
        )
        if isinstance(linked, Usage):
            raise over_quota(linked, self._quota)
        if linked is not None:
            self.note_stored(owner, linked.file_id, linked.bytes)
        return linked

    async def get(self, owner: str, file_id: str) -> FileRow:
        """Find a file of this owner.

        Raises:
            UnknownFile: he has none with this id.
        """
        row = await self._tables.find(owner, file_id)
        if row is None:
            raise _unknown()
        return row

    async def find_content(self, owner: str, sha256: str) -> FileRow | None:
        """Find the newest file of this owner with a content."""
        return await self._tables.find_content(owner, sha256)

    async def newest(
        self, owner: str, limit: int, *, after: str | None = None, name: str | None = None
    ) -> Sequence[FileRow]:
        """List files of this owner, newest first, behind the one with the id `after`.

        `name` is the one that all of them have, as it was given when they were stored.

        Raises:
            UnknownFile: he never had one with that id, or it was removed too long ago.
        """
        stored = None if name is None else storable_name(name)
        rows = await self._tables.newest(owner, limit, after=after, name=stored)
        if after is not None and not rows and await self._removals.history(owner, after) is None:
            raise UnknownFile(
                "You have no file with the id behind which the list is to go on. List from the beginning."
            )
        return rows

    async def open(self, file: FileRow) -> OpenContent:
        """Open the content of a file.

        Raises:
            FileDamaged: its bytes are missing or changed.
            StoreUnavailable: the disk fails.
        """
        if file.is_damaged:
            raise damaged()
        try:
            content = await self._blobs.open(file.sha256)
        except FileDamaged:
            await self.note_damage(file)
            raise
        if content.size != file.bytes:
            content.close()
            await self.note_damage(file)
            raise damaged()
        return content

    def note_stored(self, owner: str, file_id: str, size: int) -> None:
        """Tell watchers of a file that is committed."""
        self._publish(FileStored(owner, file_id, size))

    async def note_damage(self, file: FileRow) -> None:
        """Note that the bytes of a file are missing or changed, so that the next put writes them again."""
        _log.error("a stored file is damaged", sha256=file.sha256)
        self._publish(ContentDamaged(file.sha256))
        await self._tables.mark_damaged(file.sha256)

    async def remove(self, owner: str, file_id: str) -> list[CopyRow]:
        """Remove a file of this owner; its bytes go after a grace, unless another file has them.

        Returned are the copies at providers that jobs delete from now on.

        Raises:
            UnknownFile: he has none with this id.
            StoreFailed: it was not removed.
        """
        condemned = await self._removals.remove(owner, file_id, self._clock.utc())
        if condemned is None:
            raise _unknown()
        self._publish(FileRemoved(owner, file_id))
        return condemned

    async def details(self, owner: str, file: FileRow) -> Details:
        """Describe a file with its copies at providers, and what refers to its content."""
        copies = await self._removals.copies(owner, file.sha256)
        return details_of(file, copies, await self._removals.references(owner, file.sha256))

    async def proof(self, owner: str, file_id: str, *, with_bytes: bool = False) -> Proof:
        """Tell where the content of a file of this owner was, also of one that was removed.

        Args:
            with_bytes: tell when its bytes went too. That depends on whether others have the content, so it is for the
                operator alone.

        Raises:
            UnknownFile: he never had one with this id, or it was removed too long ago.
        """
        history = await self._removals.history(owner, file_id)
        if history is None:
            raise _unknown()
        copies = await self._removals.copies(owner, history.sha256)
        deletions = await self._removals.deletions([history.sha256, *(copy.copy_id for copy in copies)])
        proof = proof_of(history, copies, deletions)
        if not with_bytes:
            return proof
        is_kept = await self._removals.is_kept(history.sha256)
        return with_deleted_bytes(proof, None if is_kept else deletions.get(history.sha256))

    async def collect(self, *, dry_run: bool = False) -> Collected:
        """Delete contents that nobody has needed for the grace; with `dry_run`, report what would be deleted.

        Raises:
            StoreFailed, StoreUnavailable: some are left for the next time.
        """
        async with self._collecting:
            before = self._clock.utc() - timedelta(hours=self._settings.grace_hours)
            if dry_run:
                deleted = await self._tables.deletable(before, self._settings.collect_most)
            else:
                deleted = await self._delete_unneeded(before)
            unneeded = await self._tables.unneeded()
        contents, size = len(deleted), sum(content.bytes for content in deleted)
        if dry_run:
            return Collected(contents, size, unneeded.files - contents, unneeded.bytes - size)
        return Collected(contents, size, unneeded.files, unneeded.bytes)

    async def sweep(self) -> None:
        """Take away what processes left that died while they received something, and copies of what is no more.

        Raises:
            StoreFailed, StoreUnavailable: some is left for the next time.
        """
        left = await self._tables.left_behind()
        for upload_id in left:
            await self._tables.abandon(upload_id, self._clock.utc())
        kept = await self._folder.unfinished()
        for run_id, names in kept.items():
            if await self._tables.is_over(run_id):
                await self._folder.remove_unfinished(names)
        await self._blobs.forget_removed(self._tables.known)
        if left:
            _log.info("took away uploads of processes that ended", uploads=len(left))

    async def _delete_unneeded(self, before: datetime) -> list[Unneeded]:
        taken = await self._tables.begin_deleting(before, self._settings.collect_most)
        removed: list[str] = []
        try:
            for content in taken:
                await self._blobs.remove(content.sha256)
                removed.append(content.sha256)
        finally:
            await asyncio.shield(self._end_deleting(taken, removed))
        return taken

    async def _end_deleting(self, taken: list[Unneeded], removed: list[str]) -> None:
        if removed:
            await self._tables.end_deleting(removed, self._clock.utc())
            size = sum(content.bytes for content in taken if content.sha256 in set(removed))
            self._publish(ContentsDeleted(len(removed), size))
        if left := [content.sha256 for content in taken if content.sha256 not in set(removed)]:
            await self._tables.give_back(left)

    async def place(self, upload: Upload, part: ReceivedPart, digest: str) -> None:
        """Have an upload refer to its content, and the content at its place.

        Raises:
            StoreUnavailable, StoreFull, StoreBusy, StoreFailed: it cannot be kept now.
        """
        claim = await self._claim(upload, part, digest)
        if claim is Claim.WRITE or not await self.has_content(digest, part.size):
            await self._blobs.publish(part, digest)

    async def has_content(self, digest: str, size: int) -> bool:
        """Whether there is a content of this size at its place, whoever has it.

        Raises:
            StoreUnavailable: the store fails.
        """
        return await self._blobs.has(digest, size)

    async def _claim(self, upload: Upload, part: ReceivedPart, digest: str) -> Claim:
        kind = kind_of(part.head)
        end = self._clock.monotonic() + BUSY_S
        while True:
            claim = await self._tables.claim(upload, digest, part.size, kind.name, kind.media_type)
            if claim is not Claim.BUSY:
                return claim
            if self._clock.monotonic() > end:
                raise StoreBusy("The same content is being deleted just now. Send it again in a few seconds.")
            await asyncio.sleep(BUSY_PAUSE_S)

    async def _reserve(self, upload: Upload, quota: Quota) -> None:
        try:
            used = await self._tables.reserve(upload, quota)
        except BaseException:  # it may be committed all the same
            await asyncio.shield(self._abandon(upload))
            raise
        if used is not None:
            raise over_quota(used, quota)

    async def _abandon(self, upload: Upload) -> None:
        try:
            await self._tables.abandon(upload.upload_id, self._clock.utc())
        except ExaiError:
            self._tables.abandon_later(upload.upload_id, self._clock.utc())


def over_quota(used: Usage, quota: Quota) -> QuotaExceeded:
    """Make the answer to whoever has no room for a further file."""
    return QuotaExceeded(
        f"You have {used.files} files of {used.bytes} bytes; more is not allowed than {quota.files} files of "
        f"{quota.bytes} bytes together (`files.max_owner_files`, `files.max_owner_bytes`). Remove some first."
    )


def too_large(most: int) -> FileTooLarge:
    """Make the answer to a content that is larger than one file may be."""
    return FileTooLarge(f"One file may have {most} bytes (`files.max_upload_bytes`); send a smaller one.")


def _unknown() -> UnknownFile:
    return UnknownFile("You have no file with this id. List your files to see what you have.")


def new_id(prefix: str) -> str:
    """Make an id that nobody can guess."""
    return f"{prefix}_{secrets.token_hex(16)}"
