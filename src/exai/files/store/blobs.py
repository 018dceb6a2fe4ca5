"""Contents by their SHA-256, in a folder.

    incoming/<run>.<upload>    what is being received by one process
    blobs/ab/cd/<sha256>       whole contents, never changed

A content is written beside its place, flushed to the disk, renamed into it, and the folder is flushed: after a crash
there is all of it at its place, or nothing. Which contents are kept is known to the rows (`storage.files`) alone; this
module knows no owners, and removes what it is told to.

Disks are waited for in threads of the folder's own. A content is hashed and written in blocks of a mebibyte, one of
which is written while the next one is received.
"""

import asyncio
import errno
import hashlib
import os
import re
import shutil
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

from exai.files.compared import ComparedFiles
from exai.files.faults import LengthWrong, StoreFull, StoreUnavailable, damaged
from exai.files.kinds import HEAD_BYTES
from exai.runtime.open_file import OpenFile
from exai.runtime.os_errors import reason_of

__all__ = [
    "BLOCK_BYTES",
    "MOST_PIECES",
    "BlobFolder",
    "Content",
    "Part",
    "ReceivedPart",
    "finished",
    "flush_folder",
    "write_all",
]

T = TypeVar("T")

BLOCK_BYTES = 2**20
THREADS = 4
TRUSTED_S = 3_600.0
"""How long a content whose parts are read, and whose file does not change, is not compared again."""
MOST_PIECES = 1_000
"""How many pieces are written at once, however small they are; the operating system takes 1,024."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Digest(Protocol):
    """A hash that is being fed."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class ReceivedPart(Protocol):
    """A content that is whole, and not at its place yet."""

    @property
    def file(self) -> Path: ...

    @property
    def size(self) -> int: ...

    @property
    def head(self) -> bytes: ...


class Part:
    """A content that is being received. Its methods block; they run in threads, one at a time."""

    def __init__(self, file: Path, most: int) -> None:
        self.file = file
        self.most = most
        self.size = 0
        self.head = b""
        self._hash: Digest = hashlib.sha256()
        self._lock = threading.Lock()
        self._is_open = True
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    @property
    def sha256(self) -> str:
        """Of what was written so far."""
        return self._hash.hexdigest()

    def write(self, pieces: list[bytes]) -> None:
        """Append a block, as the pieces in which it came; once the part is closed, nothing is written."""
        with self._lock:
            if not self._is_open:
                return
            for piece in pieces:
                self._hash.update(piece)
                if len(self.head) < HEAD_BYTES:
                    self.head += piece[: HEAD_BYTES - len(self.head)]
            self.size += write_all(self._descriptor, pieces)

    def close(self, *, keep: bool) -> None:
        """Let go of the file; what is to be kept is flushed to the disk before."""
        with self._lock:
            self._is_open = False
            try:
                if keep:
                    os.fsync(self._descriptor)
            finally:
                os.close(self._descriptor)


class Content:
    """A whole content that is open for reading."""

    def __init__(
        self, folder: "BlobFolder", file: OpenFile, digest: str, *, is_compared: bool = False
    ) -> None:
        """`is_compared` is whether the file was compared when it was opened."""
        self._folder = folder
        self._file = file
        self._digest = digest
        self._is_compared = is_compared
        self.size = file.size

    async def compare(self) -> None:
        """Compare all of it with its digest, unless that was done lately.

        Raises:
            FileDamaged: it is another one.
            StoreUnavailable: the disk fails.
        """
        if not self._is_compared and not await self._folder.is_right(self._file, self._digest):
            raise damaged()

    async def read(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `start` up to `end`, and close the content.

        All of it is checked on the way; where a part is wanted, before.

        Raises:
            FileDamaged: it is not what its digest says, or ends early.
            StoreUnavailable: the disk fails.
        """
        digest: Digest | None = hashlib.sha256() if (start, end) == (0, self.size) else None
        at = start
        try:
            if digest is None and start < end:
                await self.compare()
            while at < end:
                block = await self._folder.run(self._block, at, min(BLOCK_BYTES, end - at), digest)
                if not block:
                    raise damaged()
                at += len(block)
                if at >= end and digest is not None and digest.hexdigest() != self._digest:
                    raise damaged()
                yield block
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file; more than once does nothing."""
        self._file.close()

    def _block(self, at: int, size: int, digest: Digest | None) -> bytes:
        block = self._file.read(at, size)
        if digest is not None:
            digest.update(block)
        return block


class BlobFolder:
    """The folder of one store. Several processes of one machine may share it."""

    def __init__(self, folder: Path, run_id: str, *, keep_free_bytes: int) -> None:
        """`run_id` marks what this process is receiving, so that others can tell what a dead one left."""
        self.root = folder
        self._blobs = folder / "blobs"
        self._incoming = folder / "incoming"
        self._run_id = run_id
        self._keep_free_bytes = keep_free_bytes
        self._reserved = 0
        self._promised: dict[str, int] = {}
        self._unneeded: set[Path] = set()
        """What was received and is to be removed."""
        self._is_made = False
        self._compared = ComparedFiles(TRUSTED_S)
        self._comparing = WeakValueDictionary[str, asyncio.Lock]()
        """By digests: who wants the same content compared waits for one comparison."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="files")

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Run what waits for the disk in a thread.

        Raises:
            StoreFull, StoreUnavailable: the disk fails.
        """
        with _disk_faults():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    async def receive(self, upload_id: str, most: int, pieces: AsyncIterable[bytes]) -> Part:
        """Write what comes, up to its end, and flush it to the disk.

        Args:
            most: how many bytes may come; the space for them is kept free meanwhile.

        Raises:
            StoreFull, StoreUnavailable: the disk fails, or would have less free space than is to be kept.
            LengthWrong: more came.
        """
        with self._reserving(most):
            part = await self.run(self._begin, upload_id, most)
            keep = False
            try:
                await self._write_all(part, pieces)
                if part.size > most:
                    raise LengthWrong(f"More than the {most} bytes came that were announced; send it again.")
                keep = True
            finally:
                await asyncio.shield(self._end(part, keep=keep))
            return part

    async def _end(self, part: Part, *, keep: bool) -> None:
        try:
            await self.run(lambda: part.close(keep=keep))
        except BaseException:
            keep = False
            raise
        finally:
            if not keep:
                await self.discard(part)

    async def publish(self, part: ReceivedPart, digest: str) -> None:
        """Move a received content to its place; it is on the disk when this returns.

        Raises:
            StoreFull, StoreUnavailable: the disk fails.
        """
        await self.run(self._publish, part.file, digest)

    async def discard(self, part: Part) -> None:
        """Remove what was received, where it is not at its place; as soon as the disk lets it be removed."""
        self._unneeded.add(part.file)
        with suppress(StoreUnavailable, StoreFull):
            await self.run(self._remove_unneeded)

    async def has(self, digest: str, size: int) -> bool:
        """Whether there is a content of this size at its place."""
        return await self.run(lambda: _size(self._place(digest)) == size)

    async def open(self, digest: str) -> Content:
        """Open a content.

        Raises:
            FileDamaged: it is not there.
            StoreUnavailable: the disk fails.
        """
        return await self.run(self._open, digest)

    async def is_right(self, file: OpenFile, digest: str) -> bool:
        """Whether an open file has this SHA-256; it is read, unless that was done lately.

        Raises:
            StoreUnavailable: the disk fails.
        """
        lock = self._comparing.setdefault(digest, asyncio.Lock())
        async with lock:
            return await self.run(self._compared.is_right, file, digest)

    async def remove(self, digest: str) -> None:
        """Remove a content; it is gone from the disk when this returns.

        Raises:
            StoreUnavailable: the disk fails.
        """
        await self.run(self._remove, digest)

    async def digests(self) -> list[str]:
        """List the contents that are at their places."""
        return await self.run(
            lambda: [file.name for file in self._blobs.glob("??/??/*") if _is_digest(file.name)]
        )

    async def forget_removed(self, known: Callable[[list[str]], Awaitable[set[str]]]) -> None:
        """Do nothing: there are no copies beside the contents."""

    async def unfinished(self) -> dict[str, list[str]]:
        """List what is being received, or was when its process died: names by the run that began them.

        What this process received for nothing is removed before.
        """
        await self.run(self._remove_unneeded)
        found: dict[str, list[str]] = {}
        for name in await self.run(self._incoming_names):
            found.setdefault(name.partition(".")[0], []).append(name)
        return found

    async def remove_unfinished(self, names: list[str]) -> None:
        """Remove what a dead process was receiving."""
        for name in names:
            await self.run(lambda name=name: (self._incoming / name).unlink(missing_ok=True))

    def start(self, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Begin what waits for the disk in a thread; `finished` waits for it."""
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def promise(self, upload_id: str, most: int) -> None:
        """Keep space free for what is still to come of an upload, in place of what was promised to it before."""
        self._promised[upload_id] = most

    def release(self, upload_id: str) -> None:
        """Keep nothing free for an upload any more."""
        self._promised.pop(upload_id, None)

    def check_free(self) -> None:
        """Compare the disk's free space with all that is reserved, and with what is to be kept free.

        Raises:
            StoreFull: it is less.
        """
        promised = self._reserved + sum(self._promised.values())
        if shutil.disk_usage(self.root).free - promised < self._keep_free_bytes:
            raise _full()

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    @contextmanager
    def _reserving(self, most: int) -> Iterator[None]:
        self._reserved += most
        try:
            yield
        finally:
            self._reserved -= most

    async def _write_all(self, part: Part, pieces: AsyncIterable[bytes]) -> None:
        block: list[bytes] = []
        waiting = 0
        writing: asyncio.Future[None] | None = None
        try:
            async for piece in pieces:
                block.append(piece)
                waiting += len(piece)
                if part.size + waiting > part.most + BLOCK_BYTES:
                    break  # more came than may come, and at most what is on its way is written
                if waiting >= BLOCK_BYTES or len(block) >= MOST_PIECES:
                    await finished(writing)
                    writing = self.start(part.write, block)
                    block, waiting = [], 0
        finally:
            await finished(writing)
        await finished(self.start(part.write, block))

    def _begin(self, upload_id: str, most: int) -> Part:
        for folder in (self._blobs, self._incoming):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_made:
            flush_folder(self.root.parent)
            flush_folder(self.root)
            self._is_made = True
        with suppress(OSError):
            self._remove_unneeded()
        self.check_free()
        return Part(self._incoming / f"{self._run_id}.{upload_id}", most)

    def _incoming_names(self) -> list[str]:
        return [file.name for file in self._incoming.iterdir()] if self._incoming.is_dir() else []

    def _publish(self, received: Path, digest: str) -> None:
        place = self._place(digest)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        received.rename(place)
        # Also those that were there before: whoever made them may not have come to flushing them.
        for folder in (place.parent, place.parent.parent, self._blobs):
            flush_folder(folder)

    def _open(self, digest: str) -> Content:
        try:
            descriptor = os.open(self._place(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise damaged() from None
        return Content(self, OpenFile(descriptor), digest)

    def _remove(self, digest: str) -> None:
        place = self._place(digest)
        place.unlink(missing_ok=True)
        # Also where it was gone before: whoever removed it may not have come to flushing that.
        with suppress(FileNotFoundError):
            flush_folder(place.parent)

    def _remove_unneeded(self) -> None:
        for file in list(self._unneeded):
            file.unlink(missing_ok=True)
            self._unneeded.discard(file)

    def _place(self, digest: str) -> Path:
        return self._blobs / digest[:2] / digest[2:4] / digest


def _is_digest(name: str) -> bool:
    return _DIGEST.fullmatch(name) is not None


def _size(place: Path) -> int | None:
    try:
        return place.stat().st_size
    except FileNotFoundError:
        return None


def write_all(descriptor: int, pieces: list[bytes]) -> int:
    """Write at most `MOST_PIECES` one after the other; how many bytes that are."""
    size = sum(map(len, pieces))
    written = os.writev(descriptor, pieces)
    if written < size:
        view = memoryview(b"".join(pieces))[written:]
        while view:
            view = view[os.write(descriptor, view) :]
    return size


def flush_folder(folder: Path) -> None:
    """Have on the disk which files a folder has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def finished(writing: asyncio.Future[None] | None) -> None:
    """Wait for a block. A wait that is cancelled leaves it to be written: the part is closed behind it."""
    if writing is not None:
        with _disk_faults():
            await asyncio.shield(writing)


@contextmanager
def _disk_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full() from error
        raise StoreUnavailable(
            f"The store of files cannot be used now ({reason_of(error)}). Nothing was lost; try again later, "
            "and tell the operator if it goes on."
        ) from error


def _full() -> StoreFull:
    return StoreFull(
        "The disk of the file store is full: remove files, or ask the operator for more space "
        "(`files.keep_free_bytes` is kept free)."
    )
