"""The store of the data folder, without a daemon."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from exai.app.file_store import open_shelf, open_snapshots
from exai.cli.data_choice import choose_data
from exai.cli.stored_files.access import Place, ended
from exai.config import Settings
from exai.config.tree import secret_values
from exai.files.documents.extracts import Extracts
from exai.files.documents.lines import StoredText
from exai.files.documents.pages import described
from exai.files.snapshots.snapshots import Missing, Snapshots
from exai.files.store.entries import entry_of
from exai.files.store.shelf import Shelf
from exai.monitoring import logs
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.files.extracts import ExtractTable
from exai.storage.files.tables import FileRow

__all__ = ["OwnStore", "in_own_store", "open_own_store"]

T = TypeVar("T")


def in_own_store(place: Place, work: Callable[[Shelf], Awaitable[T]]) -> T:
    """Run `work` with the store of the data folder, whether or not a daemon runs.

    Raises:
        StartFault: the database cannot be used.
    """
    settings = choose_data(place.config_file, place.overrides, place.demo).settings

    async def worked() -> T:
        async with _database(settings) as database, open_shelf(settings, database, SystemClock()) as shelf:
            return await work(shelf)

    return ended(worked())


@asynccontextmanager
async def open_own_store(settings: Settings, owner: str) -> AsyncIterator["OwnStore"]:
    """Open the files of an owner in the store of the data folder.

    Raises:
        StartFault: the database cannot be used.
    """
    clock = SystemClock()
    async with (
        _database(settings) as database,
        open_snapshots(settings, database, clock) as (shelf, snapshots),
    ):
        extracts = Extracts(shelf, ExtractTable(database), clock)
        try:
            yield OwnStore(shelf, snapshots, StoredText(shelf, extracts), owner)
        finally:
            await extracts.close()


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    logs.configure(settings.logging.model_copy(update={"level": "warning"}), secrets=secret_values(settings))
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    try:
        yield database
    finally:
        await database.close()


class OwnStore:
    """The files of one owner. Does what the routes of the daemon do, and describes files as they do."""

    def __init__(self, shelf: Shelf, snapshots: Snapshots, text: StoredText, owner: str) -> None:
        self._shelf = shelf
        self._snapshots = snapshots
        self._text = text
        self._owner = owner

    async def put(
        self, name: str, sha256: str, size: int, body: Callable[[], AsyncIterator[bytes]]
    ) -> dict[str, Any]:
        """Store a content under a name, and return the file; none of `body` is read where it is stored already."""
        row = await self._shelf.put_again(self._owner, name, sha256)
        if row is None:
            row = await self._shelf.put(self._owner, name, size, body(), expected=sha256)
        return _described(row)

    async def newest(self, limit: int, after: str | None = None) -> dict[str, Any]:
        """List files, newest first: `files`, and in `next` the id to give as `after`."""
        rows = await self._shelf.newest(self._owner, limit + 1, after=after)
        files = rows[:limit]
        return {
            "files": [_described(row) for row in files],
            "next": files[-1].file_id if len(rows) > limit else None,
        }

    async def get(self, file_id: str) -> dict[str, Any]:
        """Describe a file."""
        row = await self._shelf.get(self._owner, file_id)
        details: dict[str, Any] = msgspec.to_builtins(await self._shelf.details(self._owner, row))
        return details

    async def read(self, file_id: str, first: int, last: int | None) -> dict[str, Any]:
        """Read lines of a file."""
        return described(await self._text.read(self._owner, file_id, first, last))

    async def remove(self, file_id: str) -> dict[str, Any]:
        """Remove a file, and name the copies of it at providers that a daemon deletes from now on."""
        condemned = await self._shelf.remove(self._owner, file_id)
        return {
            "removed": True,
            "pending": [{"provider": copy.provider, "copy": copy.copy_id} for copy in condemned],
        }

    async def proof(self, file_id: str) -> dict[str, Any]:
        """Tell where the content of a file was, and how it went. Whoever runs EXAI learns of its bytes too."""
        proof = await self._shelf.proof(self._owner, file_id, with_bytes=True)
        told: dict[str, Any] = msgspec.to_builtins(proof)
        return told

    async def find_tree(self, manifest_sha256: str) -> str | None:
        """Return the id of the snapshot with a manifest; `None` where there is none."""
        tree = await self._snapshots.find_manifest(self._owner, manifest_sha256)
        return None if tree is None else tree.tree_id

    async def tree(self, manifest: bytes) -> dict[str, Any]:
        """Keep a snapshot: its `id`, or what is `missing` for it."""
        created = await self._snapshots.create(self._owner, manifest)
        return {"missing": list(created.digests)} if isinstance(created, Missing) else {"id": created.tree_id}

    async def content(self, file_id: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a file."""
        content = await self._shelf.open(await self._shelf.get(self._owner, file_id))
        async for block in content.read(0, content.size):
            yield block


def _described(row: FileRow) -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(entry_of(row))
    return described
