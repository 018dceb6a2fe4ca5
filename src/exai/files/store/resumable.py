"""Uploads that go on after a cut, after a restart, and after both.

What a crash after each step leaves:

=====================================================  ==============================================================
true from here on                                      a crash after it leaves
=====================================================  ==============================================================
the upload has a row and reserved space, committed     a row without a file, which expires
its file is there, on the disk; the client has its id  the same, and a file
blocks are written                                     bytes that count for nothing, and are cut off
they are on the disk, every `CHECKPOINT_BYTES`         the same
the row says how many, committed                       an upload that goes on there
all have come: the content is referred to, committed   the same; whoever asks about it has it finished
the bytes are at their place, on the disk              an upload without a file that refers to its content: the same
the file is there, the upload is done, one commit      the file, and for a while a row that tells which one it is
the client is answered                                 the same
=====================================================  ==============================================================

An upload belongs to the machine that has its file. Who writes the file has its lock; rows are read again under it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog

from exai import config
from exai.errors import ExaiError
from exai.files.faults import ChecksumDiffers, LengthWrong, UploadExpired, UploadFinished, WrongOffset
from exai.files.store.blobs import BlobFolder
from exai.files.store.names import storable_name
from exai.files.store.parts import LockedPart, PartFolder, PartHash, unknown_upload
from exai.files.store.receiving import Checksum, Receipt
from exai.files.store.shelf import Shelf, new_id, over_quota, too_large
from exai.runtime.clock import Clock
from exai.storage.files.resumable import NewUpload, ResumableUpload, ResumableUploadTable
from exai.storage.files.tables import NewFile, Quota, Upload

__all__ = ["Chunk", "ResumableUploads"]

_log = structlog.get_logger(__name__)

MOST_HASHES = 1_024
"""Uploads whose hash is kept between two requests; the others are hashed again."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one request sends."""

    offset: int
    pieces: AsyncIterable[bytes]
    declared: int | None = None
    checksum: Checksum | None = None
    """With one, all of the chunk is kept or nothing."""


class ResumableUploads:
    """Begins, continues and ends uploads. Owners are checked here and below."""

    def __init__(
        self,
        table: ResumableUploadTable,
        folder: BlobFolder,
        shelf: Shelf,
        run_id: str,
        settings: config.Files,
        clock: Clock,
    ) -> None:
        self._table = table
        self._blobs = folder
        self._parts = PartFolder(folder)
        self._shelf = shelf
        self._run_id = run_id
        self._settings = settings
        self._quota = Quota(settings.max_owner_bytes, settings.max_owner_files)
        self._clock = clock
        self._hashes: OrderedDict[str, tuple[int, PartHash]] = OrderedDict()

    async def begin(
        self, owner: str, name: str, length: int, *, expected: str | None = None, metadata: str | None = None
    ) -> ResumableUpload:
        """Reserve space for a content, and give it an address; an empty one is finished at once.

        Args:
            expected: the SHA-256 that the content is to have, in lower case.
            metadata: what is kept with the upload for its client.

        Raises:
            FileTooLarge, QuotaExceeded, StoreFull: there is no space for it.
            StoreUnavailable, StoreFailed: it cannot be kept now.
        """
        if length > self._settings.max_upload_bytes:
            raise too_large(self._settings.max_upload_bytes)
        upload = Upload(new_id("upload"), owner, length, self._run_id, self._clock.utc())
        announced = NewUpload(storable_name(name), length, expected, metadata, self._expiry())
        if (used := await self._table.begin(upload, announced, self._quota)) is not None:
            raise over_quota(used, self._quota)
        try:
            await self._parts.create(upload.upload_id, length)
        except BaseException:
            await asyncio.shield(self._abandon(upload.upload_id))
            raise
        return await self.look(owner, upload.upload_id)

    async def look(self, owner: str, upload_id: str) -> ResumableUpload:
        """Return how far an upload has come; one whose bytes are all there is finished.

        Raises:
            UnknownUpload: he has none with this id, or not on this machine.
            UploadExpired: nothing came for too long.
            UploadLocked: it is just being finished.
            ChecksumDiffers: its content is not what was announced; nothing is kept.
            StoreUnavailable, StoreFull, StoreBusy, StoreFailed: it cannot be kept now.
        """
        upload = await self._find(owner, upload_id)
        if upload.is_done:
            return upload
        size = await self._parts.size(upload_id)
        if upload.is_whole:
            return await self._finish_left(upload)
        if size is None:
            raise unknown_upload()
        return msgspec.structs.replace(upload, received=min(upload.received, size))

    async def append(self, owner: str, upload_id: str, chunk: Chunk) -> ResumableUpload:
        """Add what comes to an upload, and make the file once all of it is there.

        Raises:
            WrongOffset, UploadFinished, LengthWrong: it cannot be added.
            ChecksumDiffers: it is not what was announced, and is not kept.
            UnknownUpload, UploadExpired, UploadLocked, StoreUnavailable, StoreFull, StoreBusy, StoreFailed: as `look`.
        """
        _check_takes_more(await self._find(owner, upload_id))
        part = await self._parts.lock(upload_id)
        try:
            upload = await self._find(owner, upload_id)
            _check_takes_more(upload)
            at = min(upload.received, part.size)
            _check_follows(chunk, at, upload.length)
            await self._blobs.run(part.resume, at, self._known_hash(upload_id, at))
            upload = await self._receive(msgspec.structs.replace(upload, received=at), part, chunk)
            return await self._finish(upload, part) if upload.is_whole else upload
        finally:
            await asyncio.shield(self._blobs.run(part.close))

    async def end(self, owner: str, upload_id: str) -> None:
        """Forget an upload and what has come of it; a file that it became stays.

        Raises:
            UnknownUpload, UploadLocked, StoreUnavailable, StoreFailed: as `look`.
        """
        upload = await self._table.find(owner, upload_id)
        if upload is None:
            raise unknown_upload()
        if await self._parts.size(upload_id) is None:
            await self._drop(upload_id)
            return
        part = await self._parts.lock(upload_id)
        try:
            await self._drop(upload_id)
        finally:
            await asyncio.shield(self._blobs.run(part.close))

    async def sweep(self) -> None:
        """Take away what has expired, and keep space free for what has not.

        Raises:
            StoreFailed, StoreUnavailable: some is left for the next time.
        """
        now = self._clock.utc()
        expired = await self._table.expire(now, now - self._keep)
        sizes = await self._parts.sizes()
        lengths = await self._table.open_among(list(sizes))
        for upload_id, size in sizes.items():
            if upload_id in lengths:
                self._parts.keep_free(upload_id, lengths[upload_id] - size)
            else:
                await self._parts.remove(upload_id)
                self._hashes.pop(upload_id, None)
        if expired:
            _log.info("took away uploads that expired", uploads=expired)

    @property
    def _keep(self) -> timedelta:
        return timedelta(hours=self._settings.upload_keep_hours)

    def _expiry(self) -> datetime:
        return self._clock.utc() + self._keep

    async def _find(self, owner: str, upload_id: str) -> ResumableUpload:
        upload = await self._table.find(owner, upload_id)
        if upload is None:
            raise unknown_upload()
        if upload.has_expired(self._clock.utc()):
            raise UploadExpired(
                f"Nothing was sent to this upload for {self._settings.upload_keep_hours:g} hours "
                "(`files.upload_keep_hours`), so it was taken away. Begin a new one by POST /files."
            )
        return upload

    def _known_hash(self, upload_id: str, at: int) -> PartHash | None:
        known_at, known = self._hashes.pop(upload_id, (-1, None))
        return known if known_at == at else None

    def _keep_hash(self, upload_id: str, part: LockedPart) -> None:
        self._hashes[upload_id] = part.size, part.hash
        if len(self._hashes) > MOST_HASHES:
            self._hashes.popitem(last=False)

    async def _receive(self, upload: ResumableUpload, part: LockedPart, chunk: Chunk) -> ResumableUpload:
        """Write what comes, and keep the hash of what was noted for the next request."""
        noted = upload

        async def note(size: int) -> None:
            nonlocal noted
            expiry = self._expiry()
            await self._table.note(upload.upload_id, size, expiry)
            self._parts.keep_free(upload.upload_id, upload.length - size)
            noted = msgspec.structs.replace(upload, received=size, expires_at=expiry)

        receipt = Receipt(self._blobs, part, upload.length - upload.received, chunk.checksum, note)
        try:
            await receipt.read(chunk.pieces)
        finally:
            if noted.received == part.size:
                self._keep_hash(upload.upload_id, part)
        return noted

    async def _finish_left(self, upload: ResumableUpload) -> ResumableUpload:
        """Finish an upload whose bytes have all come, after a crash or a failure."""
        is_moved = await self._parts.size(upload.upload_id) is None
        if is_moved and upload.claimed and await self._shelf.has_content(upload.claimed, upload.length):
            return await self._commit(upload, upload.claimed)
        part = await self._parts.lock(upload.upload_id)
        try:
            await self._blobs.run(part.resume, upload.length, self._known_hash(upload.upload_id, part.size))
            return await self._finish(upload, part)
        finally:
            await asyncio.shield(self._blobs.run(part.close))

    async def _finish(self, upload: ResumableUpload, part: LockedPart) -> ResumableUpload:
        digest = part.sha256
        if upload.expected_sha256 not in {None, digest}:
            await asyncio.shield(self._drop(upload.upload_id))
            raise ChecksumDiffers(
                f"The content has the SHA-256 {digest}, and not the one that was announced; nothing was kept. "
                "Begin a new upload."
            )
        await self._shelf.place(upload.as_claimant, part, digest)
        return await self._commit(upload, digest)

    async def _commit(self, upload: ResumableUpload, digest: str) -> ResumableUpload:
        file = NewFile(new_id("file"), upload.owner, digest, upload.name, self._clock.utc())
        await self._table.finish(upload, file, self._expiry())
        done = await self._find(upload.owner, upload.upload_id)
        if done.file_id == file.file_id:
            self._shelf.note_stored(upload.owner, file.file_id, upload.length)
        await self._remove_part(upload.upload_id)
        return done

    async def _drop(self, upload_id: str) -> None:
        await self._table.end(upload_id, self._clock.utc())
        await self._remove_part(upload_id)

    async def _remove_part(self, upload_id: str) -> None:
        self._hashes.pop(upload_id, None)
        await self._parts.remove(upload_id)

    async def _abandon(self, upload_id: str) -> None:
        try:
            await self._drop(upload_id)
        except ExaiError:
            _log.warning("an upload that could not begin keeps its reservation until it expires")


def _check_takes_more(upload: ResumableUpload) -> None:
    if upload.is_done:
        raise UploadFinished("All of this upload has come, and its file is stored; HEAD names it.")


def _check_follows(chunk: Chunk, at: int, length: int) -> None:
    if chunk.offset != at:
        raise WrongOffset(f"{at} bytes of this upload have come; go on there.")
    if chunk.declared is not None and at + chunk.declared > length:
        raise LengthWrong(f"The upload lacks {length - at} bytes, and {chunk.declared} were announced.")
