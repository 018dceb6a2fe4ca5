"""The store of files: rows in the database, and contents in a folder or a bucket.

A command that runs without a daemon imports this, and nothing of what a daemon is besides.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from exai import config
from exai.config import Settings
from exai.events.events import Event
from exai.files.heavy_work import HeavyWork
from exai.files.snapshots.snapshots import Snapshots
from exai.files.store.blobs import BlobFolder
from exai.files.store.check import StoreCheck
from exai.files.store.contract import BlobStore
from exai.files.store.copies import CopyFolder
from exai.files.store.s3 import S3Blobs, open_bucket
from exai.files.store.shelf import Shelf
from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.files.audit import AuditTables
from exai.storage.files.copies import CopyTables
from exai.storage.files.removals import RemovalTables
from exai.storage.files.snapshots import SnapshotTable
from exai.storage.files.tables import FileTables

__all__ = ["open_checked_store", "open_shelf", "open_snapshots", "open_store"]


@asynccontextmanager
async def open_shelf(settings: Settings, database: Database, clock: Clock) -> AsyncIterator[Shelf]:
    """Open the store; its folder is made with the first file.

    Raises:
        StartFault: contents are to be kept in a bucket, and the extra for that is not installed.
    """
    async with open_store(settings, database, clock, CopyTables(database), lambda _: None) as (shelf, _):
        yield shelf


@asynccontextmanager
async def open_snapshots(
    settings: Settings, database: Database, clock: Clock
) -> AsyncIterator[tuple[Shelf, Snapshots]]:
    """Open the store, and the snapshots in it.

    Raises:
        StartFault: as `open_shelf`.
    """
    with closing(HeavyWork(settings.files)) as work:
        async with open_shelf(settings, database, clock) as shelf:
            yield shelf, Snapshots(SnapshotTable(database), shelf, work, settings.files, clock)


@asynccontextmanager
async def open_checked_store(
    settings: Settings, database: Database, clock: Clock, copies: CopyTables
) -> AsyncIterator[tuple[Shelf, StoreCheck]]:
    """Open the store with what compares its rows with its bytes."""
    place = settings.data_dir / "files"
    async with (
        open_store(settings, database, clock, copies, lambda _: None) as (shelf, folder),
        _blobs(settings.files, place, folder) as blobs,
    ):
        yield shelf, StoreCheck(FileTables(database), AuditTables(database), blobs, clock)


@asynccontextmanager
async def open_store(
    settings: Settings,
    database: Database,
    clock: Clock,
    copies: CopyTables,
    publish: Callable[[Event], None],
) -> AsyncIterator[tuple[Shelf, BlobFolder]]:
    """Open the store, and the folder in which it receives."""
    run_id, place = database.run_id, settings.data_dir / "files"
    folder = BlobFolder(place, run_id, keep_free_bytes=settings.files.keep_free_bytes)
    try:
        async with _blobs(settings.files, place, folder) as blobs:
            removals = RemovalTables(database, copies)
            yield Shelf(FileTables(database), removals, folder, blobs, settings.files, clock, publish), folder
    finally:
        folder.close()


@asynccontextmanager
async def _blobs(settings: config.Files, place: Path, folder: BlobFolder) -> AsyncIterator[BlobStore]:
    """Open where contents are kept."""
    if settings.store == "folder":
        yield folder
        return
    blobs = S3Blobs(open_bucket(settings), folder, CopyFolder(place / "copies", settings.cache_bytes))
    try:
        yield blobs
    finally:
        await blobs.close()
