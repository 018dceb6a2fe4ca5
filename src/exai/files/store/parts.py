"""The bytes of resumable uploads while they come in: a file for each, which outlives connections and processes.

    resumable/<upload id>      what has come; removed, or moved to its place, when the upload is over

A file is written by whoever has its lock, which the operating system releases when a process dies. How much of a file
counts is known to the row of its upload: bytes behind that were never acknowledged, and are cut off.
"""

import hashlib
import os
import threading
from pathlib import Path
from typing import Protocol

from exai.files.faults import UnknownUpload, UploadLocked
from exai.files.kinds import HEAD_BYTES
from exai.files.store.blobs import BLOCK_BYTES, BlobFolder, flush_folder, write_all
from exai.runtime.file_lock import try_lock

__all__ = ["LockedPart", "PartFolder", "PartHash", "unknown_upload"]


class PartHash(Protocol):
    """A hash that is being fed."""

    @property
    def digest_size(self) -> int: ...

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...

    def hexdigest(self) -> str: ...


class LockedPart:
    """A file that this process alone writes, until it is closed. Its methods block; they run in threads, one at a time.

    `resume` comes before the first `write`.
    """

    def __init__(self, file: Path) -> None:
        """Open and lock the file of an upload.

        Raises:
            UnknownUpload: it has none here.
            UploadLocked: another request has it.
        """
        self.file = file
        try:
            self._opened = file.open("r+b", buffering=0)
        except FileNotFoundError:
            raise unknown_upload() from None
        if not try_lock(self._opened):
            self._opened.close()
            raise UploadLocked(
                "Another request is sending to this upload. Wait until it ends, and ask how far it came."
            )
        if not _is_still(file, self._opened.fileno()):
            self._opened.close()
            raise unknown_upload()
        self.size = os.fstat(self._opened.fileno()).st_size
        self.unflushed = 0
        self.hash: PartHash = hashlib.sha256()
        self._lock = threading.Lock()

    @property
    def sha256(self) -> str:
        """Of all that counts."""
        return self.hash.hexdigest()

    @property
    def head(self) -> bytes:
        """Its first bytes, by which its kind is judged."""
        return os.pread(self._opened.fileno(), HEAD_BYTES, 0)

    def resume(self, at: int, known: PartHash | None) -> None:
        """Cut off what is behind `at`, and go on there; what is before it is hashed again unless its hash is known."""
        with self._lock:
            self._cut(at)
            self.hash = self._hashed() if known is None else known

    def write(self, pieces: list[bytes], checksum: PartHash | None = None) -> None:
        """Append a block, as the pieces in which it came; once the part is closed, nothing is written."""
        with self._lock:
            if self._opened.closed:
                return
            size = write_all(self._opened.fileno(), pieces)
            self.size += size
            self.unflushed += size
            # Not before: the hash goes on with the next request, and has nothing of a write that failed.
            for piece in pieces:
                self.hash.update(piece)
                if checksum is not None:
                    checksum.update(piece)

    def flush(self) -> int:
        """Have on the disk what was written; how much there is."""
        with self._lock:
            os.fsync(self._opened.fileno())
            self.unflushed = 0
            return self.size

    def close(self) -> None:
        """Let go of the file and its lock."""
        with self._lock:
            self._opened.close()

    def _cut(self, at: int) -> None:
        if self.size > at:
            os.ftruncate(self._opened.fileno(), at)
        os.lseek(self._opened.fileno(), at, os.SEEK_SET)
        self.size = at

    def _hashed(self) -> PartHash:
        digest = hashlib.sha256()
        for start in range(0, self.size, BLOCK_BYTES):
            digest.update(os.pread(self._opened.fileno(), min(BLOCK_BYTES, self.size - start), start))
        return digest


class PartFolder:
    """The files of all uploads that are under way on this machine, and the space that is promised to them."""

    def __init__(self, blobs: BlobFolder) -> None:
        self._blobs = blobs
        self._folder = blobs.root / "resumable"

    async def create(self, upload_id: str, length: int) -> None:
        """Make the file of a new upload, and keep the space for it free; it is on the disk when this returns.

        Raises:
            StoreFull, StoreUnavailable: the disk fails, or would have less free space than is to be kept.
        """
        self._blobs.promise(upload_id, length)
        try:
            await self._blobs.run(self._create, upload_id)
        except BaseException:
            self._blobs.release(upload_id)
            raise

    async def size(self, upload_id: str) -> int | None:
        """Look how much of an upload lies here; `None` where it has no file."""
        return await self._blobs.run(self._size, upload_id)

    async def lock(self, upload_id: str) -> LockedPart:
        """Open the file of an upload for writing.

        Raises:
            UnknownUpload: it has none here.
            UploadLocked: another request has it.
            StoreFull, StoreUnavailable: the disk fails.
        """
        return await self._blobs.run(LockedPart, self._folder / upload_id)

    async def remove(self, upload_id: str) -> None:
        """Remove the file of an upload, where it has one.

        Raises:
            StoreFull, StoreUnavailable: the disk fails.
        """
        await self._blobs.run(lambda: (self._folder / upload_id).unlink(missing_ok=True))
        self._blobs.release(upload_id)

    async def sizes(self) -> dict[str, int]:
        """List what lies here: the sizes by the uploads' ids."""
        return await self._blobs.run(self._sizes)

    def keep_free(self, upload_id: str, to_come: int) -> None:
        """Keep free what is still to come of an upload."""
        if to_come:
            self._blobs.promise(upload_id, to_come)
        else:
            self._blobs.release(upload_id)

    def _create(self, upload_id: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._blobs.check_free()
        os.close(
            os.open(self._folder / upload_id, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        )
        flush_folder(self._folder)

    def _size(self, upload_id: str) -> int | None:
        try:
            return (self._folder / upload_id).stat().st_size
        except FileNotFoundError:
            return None

    def _sizes(self) -> dict[str, int]:
        if not self._folder.is_dir():
            return {}
        found = {file.name: self._size(file.name) for file in self._folder.iterdir()}
        return {name: size for name, size in found.items() if size is not None}


def unknown_upload() -> UnknownUpload:
    """Make the answer to whoever asks for an upload that he has not, or not on this machine."""
    return UnknownUpload("You have no upload here with this address. Begin a new one by POST /files.")


def _is_still(file: Path, descriptor: int) -> bool:
    """Whether the opened file still is the one at its place: it may have been moved before it was locked."""
    try:
        return os.path.samestat(file.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
