"""The store of files, and the duties that keep it in order."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from exai import config
from exai.app.duties import file_duties
from exai.app.monitoring import Monitoring
from exai.app.storage import Storage
from exai.config import Settings
from exai.events.events import Event
from exai.files.documents.extracts import Extracts
from exai.files.documents.lines import StoredText
from exai.files.heavy_work import HeavyWork
from exai.files.paths.reader import FileReader
from exai.files.paths.storing import PathStore
from exai.files.secrets.checks import SecretCheck
from exai.files.secrets.scanner import SecretScanner
from exai.files.snapshots.snapshots import Snapshots
from exai.files.store.blobs import BlobFolder
from exai.files.store.check import StoreCheck
from exai.files.store.contract import BlobStore
from exai.files.store.copies import CopyFolder
from exai.files.store.measures import StoreMeasures
from exai.files.store.resumable import ResumableUploads
from exai.files.store.s3 import S3Blobs, open_bucket
from exai.files.store.shelf import Shelf
from exai.files.store.tickets import UploadTickets
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.runtime.periodic import Scheduler
from exai.storage.database import Database
from exai.storage.files.audit import AuditTables
from exai.storage.files.copies import CopyTables
from exai.storage.files.extracts import ExtractTable
from exai.storage.files.measures import FileSums
from exai.storage.files.removals import RemovalTables
from exai.storage.files.resumable import ResumableUploadTable
from exai.storage.files.rows import Quota
from exai.storage.files.scans import ScanTable
from exai.storage.files.snapshots import SnapshotTable
from exai.storage.files.tables import FileTables
from exai.storage.files.tickets import UploadTicketTable

__all__ = [
    "StoredFiles",
    "open_checked_store",
    "open_files",
    "open_shelf",
    "open_snapshots",
    "remote_files",
]


@dataclass(frozen=True)
class StoredFiles:
    """What reads and keeps files."""

    shelf: Shelf
    uploads: ResumableUploads
    tickets: UploadTickets
    reader: FileReader
    """Reads files of this machine for a prompt."""
    paths: PathStore
    """Stores files of this machine."""
    snapshots: Snapshots
    text: StoredText
    """Reads the texts of stored files by lines."""
    extracts: Extracts
    """Their texts as they were extracted."""
    secrets: SecretCheck
    """Looks at what is about to leave."""


@dataclass(frozen=True)
class ToolFiles:
    """What tools need of files."""

    stored: StoredFiles
    remote: RemoteFiles


@asynccontextmanager
async def open_shelf(settings: Settings, database: Database, clock: Clock) -> AsyncIterator[Shelf]:
    """Open the store; its folder is made with the first file.

    Raises:
        StartFault: contents are to be kept in a bucket, and the extra for that is not installed.
    """
    async with _opened(settings, database, clock, CopyTables(database), lambda _: None) as (shelf, _):
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
        _opened(settings, database, clock, copies, lambda _: None) as (shelf, folder),
        _blobs(settings.files, place, folder) as blobs,
    ):
        yield shelf, StoreCheck(FileTables(database), AuditTables(database), blobs, clock)


@asynccontextmanager
async def _opened(
    settings: Settings,
    database: Database,
    clock: Clock,
    copies: CopyTables,
    publish: Callable[[Event], None],
) -> AsyncIterator[tuple[Shelf, BlobFolder]]:
    run_id, place = database.run_id, settings.data_dir / "files"
    folder = BlobFolder(place, run_id, keep_free_bytes=settings.files.keep_free_bytes)
    try:
        async with _blobs(settings.files, place, folder) as blobs:
            removals = RemovalTables(database, copies)
            yield Shelf(FileTables(database), removals, folder, blobs, settings.files, clock, publish), folder
    finally:
        folder.close()


@asynccontextmanager
async def open_files(
    settings: Settings,
    storage: Storage,
    clock: Clock,
    scheduler: Scheduler,
    work: HeavyWork,
    monitoring: Monitoring,
) -> AsyncIterator[StoredFiles]:
    """Open the store, with its duties."""
    database, options, publish = storage.database, settings.files, monitoring.bus.publish
    async with _opened(settings, database, clock, storage.copies, publish) as (shelf, folder):
        measures = _measures(settings, database)
        monitoring.metrics.read_samples(measures.samples)
        table = ResumableUploadTable(database)
        uploads = ResumableUploads(table, folder, shelf, database.run_id, options, clock)
        extracts = Extracts(shelf, ExtractTable(database), clock)
        tickets = UploadTickets(UploadTicketTable(database), shelf, options, clock)
        snapshots = Snapshots(SnapshotTable(database), shelf, work, options, clock)
        reader, paths = FileReader(options, work), PathStore(shelf, options, work)
        text = StoredText(shelf, extracts)
        secrets = SecretCheck(options, text, ScanTable(database), SecretScanner(), clock)
        try:
            async with scheduler.running(*file_duties(shelf, uploads, measures)):
                yield StoredFiles(shelf, uploads, tickets, reader, paths, snapshots, text, extracts, secrets)
        finally:
            await extracts.close()


def _measures(settings: Settings, database: Database) -> StoreMeasures:
    options = settings.files
    quota = Quota(options.max_owner_bytes, options.max_owner_files)
    return StoreMeasures(FileSums(database, quota), settings.data_dir / "files")


@asynccontextmanager
async def remote_files(
    settings: Settings, storage: Storage, router: ModelRouter, clock: Clock
) -> AsyncIterator[RemoteFiles]:
    """Yield the copies at the providers of a router."""
    yield RemoteFiles(
        router.file_hosts, storage.copies, clock, settings.files, request_s=settings.timeouts.upload_s
    )


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
