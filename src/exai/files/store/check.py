"""Compares rows with the bytes that are kept, in both directions."""

import asyncio
from collections.abc import Callable

import msgspec

from exai.files.faults import FileDamaged
from exai.files.store.contract import BlobStore
from exai.runtime.clock import Clock
from exai.storage.files.audit import AuditTables, KeptContent
from exai.storage.files.tables import FileTables

__all__ = ["StoreCheck", "StoreDifferences"]

BYTES_PER_S = 256 * 2**20
"""How fast contents are read at most, so that a check is not felt."""


class StoreDifferences(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. Contents are named by their SHA-256."""

    contents: int
    """Contents that were read."""
    bytes: int
    missing: tuple[str, ...] = ()
    """Rows whose bytes are not there."""
    damaged: tuple[str, ...] = ()
    """Rows whose bytes are others."""
    unknown: tuple[str, ...] = ()
    """Bytes that no row has."""

    @property
    def count(self) -> int:
        """How many differences there are."""
        return len(self.missing) + len(self.damaged) + len(self.unknown)


class StoreCheck:
    """Checks a store, and repairs what can be."""

    def __init__(self, tables: FileTables, audit: AuditTables, blobs: BlobStore, clock: Clock) -> None:
        self._tables = tables
        self._audit = audit
        self._blobs = blobs
        self._clock = clock

    async def run(self, on_content: Callable[[int], None] = lambda _: None) -> StoreDifferences:
        """Read every content and compare; `on_content` is called with the bytes of each.

        Raises:
            StoreUnavailable, StoreFailed: the store cannot be read.
        """
        # What is listed before the rows are read had its row then: rows are committed before bytes are moved.
        kept = await self._blobs.digests()
        contents = size = 0
        missing: list[str] = []
        damaged: list[str] = []
        page = await self._audit.page()
        while page:
            for content in page:
                contents, size = contents + 1, size + content.bytes
                if (place := await self._judged(content)) is not None:
                    (missing if place == "missing" else damaged).append(content.sha256)
                on_content(content.bytes)
            page = await self._audit.page(page[-1].sha256)
        unknown = set(kept) - await self._tables.known(kept)
        return StoreDifferences(
            contents=contents,
            bytes=size,
            missing=tuple(missing),
            damaged=tuple(damaged),
            unknown=tuple(sorted(unknown)),
        )

    async def repair_damaged(self, differences: StoreDifferences) -> int:
        """Mark contents as damaged, so that the next put of the same content writes them again; how many."""
        broken = (*differences.missing, *differences.damaged)
        for sha256 in broken:
            await self._tables.mark_damaged(sha256)
        return len(broken)

    async def condemn_unknown(self, differences: StoreDifferences) -> int:
        """Have bytes without a row deleted after the grace, unless they are put meanwhile; how many."""
        return await self._audit.condemn_unknown(differences.unknown, self._clock.utc())

    async def _judged(self, content: KeptContent) -> str | None:
        began = self._clock.monotonic()
        if not await self._blobs.has(content.sha256, content.bytes) and await self._is_missing(content):
            return "missing"
        try:
            opened = await self._blobs.open(content.sha256)
            async for _ in opened.read(0, opened.size):
                pass
        except FileDamaged:
            return "damaged"
        await asyncio.sleep(max(0.0, content.bytes / BYTES_PER_S - (self._clock.monotonic() - began)))
        return "damaged" if opened.size != content.bytes else None

    async def _is_missing(self, content: KeptContent) -> bool:
        """Whether there are no bytes at all, and the row was not deleted meanwhile."""
        if content.sha256 not in await self._tables.known([content.sha256]):
            return False
        try:
            (await self._blobs.open(content.sha256)).close()
        except FileDamaged:
            return True
        return False
