"""Keeps a folder as a snapshot in the store, sending only the contents that are missing there.

The files by which contents were sent are removed once the snapshot has them, so that lists of files stay short.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from exai.errors import FileRefused
from exai.files.paths.opening import open_inside
from exai.files.snapshots.folders import Listing, list_folder
from exai.files.snapshots.manifests import ManifestEntry, encoded

__all__ = ["Synced", "TreeStore", "sync_folder"]

AT_ONCE = 4
BLOCK_BYTES = 2**20


class TreeStore(Protocol):
    """Where contents and snapshots are kept."""

    async def put(
        self, name: str, sha256: str, size: int, body: Callable[[], AsyncIterator[bytes]]
    ) -> dict[str, Any]: ...

    async def remove(self, file_id: str) -> dict[str, Any]: ...

    async def find_tree(self, manifest_sha256: str) -> str | None: ...

    async def tree(self, manifest: bytes) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Synced:
    """What came of it."""

    tree_id: str
    listing: Listing
    sent_files: int
    sent_bytes: int


async def sync_folder(store: TreeStore, folder: Path, roots: Sequence[Path] = ()) -> Synced:
    """Keep a folder as a snapshot.

    Args:
        roots: as of `list_folder`.

    Raises:
        FileRefused: it cannot be read, or is changed meanwhile.
        Exception: what the store raises.
    """
    top = await asyncio.to_thread(folder.resolve)
    listing = await asyncio.to_thread(list_folder, top, roots)
    manifest = encoded(listing.entries)
    known = await store.find_tree(hashlib.sha256(manifest).hexdigest())
    if known is not None:
        return Synced(known, listing, 0, 0)
    answer = await store.tree(manifest)
    missing = set(answer.get("missing", ()))
    chosen = {entry.sha256: entry for entry in listing.entries if entry.sha256 in missing}
    sent: list[str] = []
    try:
        await _send_all(store, top, list(chosen.values()), sent)
        if missing:
            answer = await store.tree(manifest)
    finally:
        await _each(sent, store.remove)
    if "id" not in answer:
        raise FileRefused("Files of the store were removed while the folder was sent. Ask again.")
    return Synced(answer["id"], listing, len(chosen), sum(entry.bytes for entry in chosen.values()))


async def _send_all(store: TreeStore, top: Path, entries: list[ManifestEntry], sent: list[str]) -> None:
    async def send(entry: ManifestEntry) -> None:
        file = await store.put(
            entry.path.rpartition("/")[2], entry.sha256, entry.bytes, lambda: _blocks(top, entry)
        )
        sent.append(file["id"])

    await _each(entries, send)


async def _each(items: list[Any], work: Callable[[Any], Any]) -> None:
    """Do some of the work at the same time."""
    waiting = iter(items)

    async def some() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(AT_ONCE, len(items))):
                tasks.create_task(some(), name="folder sync")
    except ExceptionGroup as several:
        raise several.exceptions[0] from None


async def _blocks(top: Path, entry: ManifestEntry) -> AsyncIterator[bytes]:
    at = 0
    while block := await asyncio.to_thread(_block, top, entry.path, at):
        at += len(block)
        yield block


def _block(top: Path, path: str, at: int) -> bytes:
    with open_inside(str(top / path), (top,)) as (descriptor, _):
        return os.pread(descriptor, BLOCK_BYTES, at)
