"""Receives what one request sends to a resumable upload.

A block of a mebibyte is written while the next one is received. Every `CHECKPOINT_BYTES`, and at the end, what was
written is flushed to the disk and noted. What was not noted counts for nothing: the next request cuts it off.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass

from exai.files.faults import ChecksumDiffers, LengthWrong, StoreFull, StoreUnavailable
from exai.files.store.blobs import BLOCK_BYTES, MOST_PIECES, BlobFolder, finished
from exai.files.store.parts import LockedPart, PartHash

__all__ = ["CHECKSUMS", "Checksum", "Receipt"]

CHECKPOINT_BYTES = 8 * 2**20
"""What is sent again at most after a crash."""

CHECKSUMS: dict[str, Callable[[], PartHash]] = {
    "sha256": hashlib.sha256,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
}
"""What a checksum may be computed by."""


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request are to hash to."""

    algorithm: str
    """One of `CHECKSUMS`."""
    digest: bytes


class Receipt:
    """What one request adds to a part that is locked for it."""

    def __init__(
        self,
        blobs: BlobFolder,
        part: LockedPart,
        most: int,
        checksum: Checksum | None,
        note: Callable[[int], Awaitable[None]],
    ) -> None:
        """Set it up; `most` bytes may come, `note` is told the size of what is on the disk."""
        self._blobs = blobs
        self._part = part
        self._most = most
        self._checksum = checksum
        self._hash = None if checksum is None else CHECKSUMS[checksum.algorithm]()
        self._note = note
        self._block: list[bytes] = []
        """The pieces that are not written yet."""
        self._waiting = 0
        """Their bytes."""
        self._received = 0
        self._writing: asyncio.Future[None] | None = None

    async def read(self, pieces: AsyncIterable[bytes]) -> None:
        """Write what comes, and note it. A request that breaks off leaves what came, unless it has a checksum.

        Raises:
            LengthWrong: more came; nothing of it is noted.
            ChecksumDiffers: other bytes came; nothing of them is noted.
            StoreFull, StoreUnavailable, StoreFailed: it cannot be kept.
        """
        try:
            await self._read(pieces)
        except (LengthWrong, StoreFull, StoreUnavailable):
            raise
        except BaseException:
            if self._checksum is None:
                await asyncio.shield(self._settle())
            raise
        await asyncio.shield(self._settle())

    async def _read(self, pieces: AsyncIterable[bytes]) -> None:
        async for piece in pieces:
            self._block.append(piece)
            self._waiting += len(piece)
            self._received += len(piece)
            if self._received > self._most:
                raise LengthWrong(
                    "More bytes came than the upload still lacks. Ask by HEAD how far it has come."
                )
            if self._waiting < BLOCK_BYTES and len(self._block) < MOST_PIECES:
                continue
            await self._write()
            if self._checksum is None and self._part.unflushed >= CHECKPOINT_BYTES:
                await self._flush()

    async def _write(self) -> None:
        block, self._block, self._waiting = self._block, [], 0
        await finished(self._writing)
        self._writing = self._blobs.start(self._part.write, block, self._hash)

    async def _settle(self) -> None:
        await self._write()
        await finished(self._writing)
        if (
            self._checksum is not None
            and self._hash is not None
            and self._hash.digest() != self._checksum.digest
        ):
            raise ChecksumDiffers(
                f"The bytes do not have the {self._checksum.algorithm} that came with them, and were not kept. "
                "Send them again."
            )
        await self._flush()

    async def _flush(self) -> None:
        await self._note(await self._blobs.run(self._part.flush))
