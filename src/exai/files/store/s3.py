"""Contents in a bucket, with copies of those that were used last on this machine.

What is received lies in the folder's `incoming` first, on the disk, as with a store in a folder. A put and a removal,
and what a crash after each step leaves:

==========================================  =========================================================================
true from here on                           a crash after it leaves
==========================================  =========================================================================
put: blocks of it are in the bucket         blocks that nobody sees; the bucket's own rule for unfinished multipart
                                            uploads removes them
put: it is at its key                       a content that rows refer to, or condemn, as with a folder
put: the part is the copy                   the content and its copy
removal: there is no copy                   a content in the bucket, whose row is in `deleting`
removal: its key is gone                    a row in `deleting`, which the next `collect` takes away
fetching: a part lies in `incoming`         that part, which `sweep` of a later process removes
fetching: the part is the copy              the copy
==========================================  =========================================================================

Copies of contents that another machine removed are removed by `forget_removed`.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from exai import config
from exai.errors import StartFault
from exai.files.faults import FileDamaged, StoreFull, StoreUnavailable, damaged
from exai.files.store.blobs import BlobFolder, Content, ReceivedPart
from exai.files.store.contract import Known, OpenContent
from exai.files.store.copies import CopyFolder
from exai.runtime.tasks import spawn

if TYPE_CHECKING:
    from exai.files.store.bucket import Bucket

__all__ = ["S3Blobs", "open_bucket"]


def open_bucket(settings: config.Files) -> "Bucket":
    """Open the bucket that `files.store` names; nothing is asked of it yet.

    Raises:
        StartFault: the extra for that is not installed.
    """
    if find_spec("obstore") is None:
        raise StartFault("`files.store` names a bucket; install what that needs: `pip install 'exai[s3]'`.")
    from exai.files.store.bucket import Bucket  # noqa: PLC0415 - imports an extra

    return Bucket(settings.store, settings.s3)


class S3Blobs:
    """The contents of one bucket, as one process reaches them."""

    def __init__(self, bucket: "Bucket", folder: BlobFolder, copies: CopyFolder) -> None:
        self._bucket = bucket
        self._folder = folder
        self._copies = copies
        self._copying: dict[str, asyncio.Task[bool | FileDamaged]] = {}

    async def publish(self, part: ReceivedPart, digest: str) -> None:
        """Put a received content into the bucket, and keep it as a copy.

        Raises:
            StoreUnavailable: the bucket fails.
        """
        await self._bucket.put(digest, part.file)
        if part.size <= self._copies.most_bytes:
            with suppress(StoreFull, StoreUnavailable):
                await self._folder.run(self._copies.adopt, part.file, digest)

    async def has(self, digest: str, size: int) -> bool:
        """Whether there is a content of this size in the bucket.

        Raises:
            StoreUnavailable: the bucket fails.
        """
        return await self._bucket.size(digest) == size

    async def open(self, digest: str) -> OpenContent:
        """Open a content: its copy, which is fetched where there is none; from the bucket where there is no room.

        Raises:
            FileDamaged: it is not there, or known to be changed.
            StoreUnavailable: there is no copy, and the bucket fails.
        """
        if await self._copy(digest):
            copy = await self._folder.run(self._copies.open, digest)
            if copy is not None:
                return Content(self._folder, copy, digest, is_compared=True)
        size = await self._bucket.size(digest)
        if size is None:
            raise damaged()
        return _BucketContent(self._bucket, digest, size)

    async def remove(self, digest: str) -> None:
        """Remove a content and its copy.

        Raises:
            StoreUnavailable: the bucket or the disk fails.
        """
        await self._folder.run(self._copies.remove, digest)
        await self._bucket.remove(digest)

    async def digests(self) -> list[str]:
        """List the contents of the bucket.

        Raises:
            StoreUnavailable: the bucket fails.
        """
        return await self._bucket.digests()

    async def forget_removed(self, known: Known) -> None:
        """Remove copies of contents that are no more.

        Raises:
            StoreUnavailable: the disk fails.
        """
        digests = await self._folder.run(self._copies.digests)
        for digest in set(digests) - await known(digests):
            await self._folder.run(self._copies.remove, digest)

    async def close(self) -> None:
        """Give up what is being fetched."""
        for task in list(self._copying.values()):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _copy(self, digest: str) -> bool:
        """Make sure that there is a copy; who wants the same at the same time waits for one. Whether there is."""
        task = self._copying.get(digest)
        if task is None:
            task = spawn(self._make_copy(digest), name=f"copy content {digest[:8]}")
            self._copying[digest] = task
            task.add_done_callback(lambda _: self._copying.pop(digest, None))
        outcome = await asyncio.shield(task)
        if isinstance(outcome, FileDamaged):
            raise outcome
        return outcome

    async def _make_copy(self, digest: str) -> bool | FileDamaged:
        try:
            copy = await self._folder.run(self._copies.open, digest)
            if copy is not None:
                copy.close()
                return True
            return await self._fetch(digest)
        except FileDamaged as fault:
            return fault
        except (StoreFull, StoreUnavailable):
            return False

    async def _fetch(self, digest: str) -> bool:
        size = await self._bucket.size(digest)
        if size is None:
            raise damaged()
        if size > self._copies.most_bytes:
            return False
        blocks = self._bucket.blocks(digest, 0, size)
        part = await self._folder.receive(f"copy_{secrets.token_hex(8)}", size, blocks)
        try:
            if part.sha256 != digest:
                raise damaged()
            await self._folder.run(self._copies.adopt, part.file, digest)
        finally:
            await self._folder.discard(part)
        return True


class _BucketContent:
    """A content that is read from the bucket itself, as there is no room for a copy."""

    def __init__(self, bucket: "Bucket", digest: str, size: int) -> None:
        self.size = size
        self._bucket = bucket
        self._digest = digest

    async def read(self, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `start` up to `end`. All of it is checked on the way.

        Raises:
            FileDamaged: it was read whole, and is not what its digest says; or it ends early.
            StoreUnavailable: the bucket fails.
        """
        digest, at = hashlib.sha256(), start
        async for block in self._bucket.blocks(self._digest, start, end):
            digest.update(block)
            at += len(block)
            if (start, at) == (0, self.size) and digest.hexdigest() != self._digest:
                raise damaged()
            yield block

    async def compare(self) -> None:
        """Do nothing: all of it would be fetched for each part."""

    def close(self) -> None:
        """Do nothing: each block is a request of its own."""
