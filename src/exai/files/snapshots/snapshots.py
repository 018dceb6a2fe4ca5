"""Snapshots of owners. A snapshot keeps the contents that its manifest names, whatever becomes of their files.

A snapshot is made of contents that its owner has, in files or in other snapshots. What a crash after each step leaves:

=====================================================  ==============================================================
true from here on                                      a crash after it leaves
=====================================================  ==============================================================
the manifest is received and at its place              what a put of a file leaves (`store.shelf`)
the snapshot and its references are there, one commit  the snapshot
=====================================================  ==============================================================

The contents are looked for again in that commit: one whose last file went meanwhile is missing, as if it had never
been.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from exai import config
from exai.errors import BadArguments, FileRefused
from exai.files.faults import UnknownFile, UnknownTree
from exai.files.heavy_work import HeavyWork
from exai.files.snapshots.manifests import ManifestEntry, encoded, read_manifest
from exai.files.store.shelf import Shelf, new_id
from exai.runtime.clock import Clock
from exai.storage.files.snapshots import Snapshot, SnapshotTable
from exai.storage.files.tables import FileRow, Quota, Upload

__all__ = ["Missing", "Snapshots"]


class _ContentGone(Exception):
    """A content of a snapshot went while its manifest was received."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Contents that a snapshot is to have, and its owner has not."""

    digests: Sequence[str]


class Snapshots:
    """Makes, finds, reads and removes snapshots."""

    def __init__(
        self, table: SnapshotTable, shelf: Shelf, work: HeavyWork, settings: config.Files, clock: Clock
    ) -> None:
        self._table = table
        self._quota = Quota(settings.max_owner_bytes, settings.max_owner_files)
        self._shelf = shelf
        self._work = work
        self._clock = clock

    async def create(self, owner: str, manifest: bytes) -> Snapshot | Missing:
        """Keep the snapshot of a manifest, unless the owner has it already, or lacks one of its contents.

        Raises:
            BadArguments: the manifest cannot be one; its first wrong entry is named.
            QuotaExceeded, StoreFull: there is no space for the manifest.
            StoreUnavailable, StoreBusy, StoreFailed: it cannot be kept now.
        """
        entries, canonical = await self._work.texts.run(owner, lambda: _read(manifest))
        digest = hashlib.sha256(canonical).hexdigest()
        if (known := await self._table.find_manifest(owner, digest)) is not None:
            return known
        sizes = {entry.sha256: entry.bytes for entry in entries}
        if (missing := await self._missing(owner, entries)) is not None:
            return missing
        snapshot = Snapshot(
            new_id("tree"), owner, digest, len(entries), sum(sizes.values()), self._clock.utc()
        )
        try:
            async with self._shelf.receiving(owner, len(canonical), _one(canonical), self._quota) as (
                upload,
                part,
            ):
                await self._shelf.place(upload, part, digest)
                await self._commit(upload, snapshot, list(sizes))
        except _ContentGone:
            return await self._missing(owner, entries) or Missing(())
        return snapshot

    async def get(self, owner: str, tree_id: str) -> Snapshot:
        """Find a snapshot of this owner.

        Raises:
            UnknownTree: he has none with this id.
        """
        snapshot = await self._table.find(owner, tree_id)
        if snapshot is None:
            raise _unknown()
        return snapshot

    async def find_manifest(self, owner: str, sha256: str) -> Snapshot | None:
        """Find the snapshot of this owner whose manifest has a SHA-256."""
        return await self._table.find_manifest(owner, sha256)

    async def newest(self, owner: str, limit: int, *, after: str | None = None) -> Sequence[Snapshot]:
        """List snapshots of this owner, newest first, behind the one with the id `after`.

        Raises:
            UnknownTree: he has none with that id, so that nobody knows what is behind it.
        """
        found = await self._table.newest(owner, limit, after=after)
        if after is not None and not found and await self._table.find(owner, after) is None:
            raise UnknownTree(
                "You have no snapshot with the id behind which the list is to go on. List from the beginning."
            )
        return found

    async def manifest(self, owner: str, tree_id: str) -> bytes:
        """Read the manifest of a snapshot.

        Raises:
            UnknownTree: he has none with this id.
            FileDamaged, StoreUnavailable: it cannot be read.
        """
        snapshot = await self.get(owner, tree_id)
        content = await self._shelf.open(await self._row(snapshot, "manifest", snapshot.manifest_sha256))
        return b"".join([block async for block in content.read(0, content.size)])

    async def entries(self, owner: str, tree_id: str) -> list[ManifestEntry]:
        """List the files of a snapshot, by their paths.

        Raises:
            UnknownTree, FileDamaged, StoreUnavailable: as `manifest`.
        """
        manifest = await self.manifest(owner, tree_id)
        return await self._work.texts.run(owner, lambda: read_manifest(manifest))

    async def files(self, owner: str, tree_id: str, most: int) -> list[tuple[str, FileRow]]:
        """Return the files of a snapshot with their paths, in the order of these.

        Raises:
            FileRefused: there are more than `most`.
            UnknownTree, FileDamaged, StoreUnavailable: as `manifest`.
        """
        snapshot = await self.get(owner, tree_id)
        if snapshot.entries > most:
            raise FileRefused(
                f"{tree_id} has {snapshot.entries:,} files, and one call may be shown {most} more (`files.max_files`); "
                "name fewer."
            )
        entries = await self.entries(owner, tree_id)
        return [
            (entry.path, await self._row(snapshot, entry.path.rpartition("/")[2], entry.sha256))
            for entry in entries
        ]

    async def file(self, owner: str, tree_id: str, path: str) -> FileRow:
        """Find a file of a snapshot.

        Raises:
            UnknownTree, UnknownFile: there is none.
            FileDamaged, StoreUnavailable: the manifest cannot be read.
        """
        snapshot = await self.get(owner, tree_id)
        entries = await self.entries(owner, tree_id)
        entry = next((entry for entry in entries if entry.path == path), None)
        if entry is None:
            raise UnknownFile("The snapshot has no file with this path; its manifest lists what it has.")
        return await self._row(snapshot, path.rpartition("/")[2], entry.sha256)

    async def content(self, snapshot: Snapshot, entry: ManifestEntry) -> FileRow:
        """Find the content of an entry of a snapshot, which was found for its owner.

        Raises:
            UnknownTree: the snapshot was removed meanwhile.
        """
        return await self._row(snapshot, entry.path.rpartition("/")[2], entry.sha256)

    async def remove(self, owner: str, tree_id: str) -> None:
        """Remove a snapshot; contents that nothing else needs go after the grace.

        Raises:
            UnknownTree: he has none with this id.
            StoreFailed: it was not removed.
        """
        if not await self._table.remove(owner, tree_id, self._clock.utc()):
            raise _unknown()

    async def _commit(self, upload: Upload, snapshot: Snapshot, digests: Sequence[str]) -> None:
        if not await self._table.commit(upload, snapshot, digests):
            raise _ContentGone

    async def _missing(self, owner: str, entries: Sequence[ManifestEntry]) -> Missing | None:
        """Compare a manifest with what its owner has.

        Raises:
            BadArguments: a content has another size than its entry says.
        """
        kept = await self._table.contents(owner, list({entry.sha256 for entry in entries}))
        for number, entry in enumerate(entries, start=1):
            if kept.get(entry.sha256, entry.bytes) != entry.bytes:
                raise BadArguments(
                    f"Entry {number} of the manifest says {entry.bytes} bytes, and the content of its `sha256` has "
                    f"{kept[entry.sha256]}."
                )
        missing = dict.fromkeys(entry.sha256 for entry in entries if entry.sha256 not in kept)
        return Missing(list(missing)) if missing else None

    async def _row(self, snapshot: Snapshot, name: str, sha256: str) -> FileRow:
        row = await self._table.content(snapshot.tree_id, name, sha256, snapshot.created_at)
        if row is None:
            raise _unknown()
        return row


def _read(manifest: bytes) -> tuple[list[ManifestEntry], bytes]:
    entries = read_manifest(manifest)
    return entries, encoded(entries)


async def _one(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _unknown() -> UnknownTree:
    return UnknownTree("You have no snapshot with this id. `GET /files/trees` lists what you have.")
