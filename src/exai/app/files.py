"""The store of files, and the duties that keep it in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from exai.app.duties import file_duties
from exai.app.file_store import open_store
from exai.app.monitoring import Monitoring
from exai.app.storage import Storage
from exai.config import Settings
from exai.evidence.workspace import Workspaces
from exai.files.documents.extracts import Extracts
from exai.files.documents.lines import StoredText
from exai.files.heavy_work import HeavyWork
from exai.files.paths.reader import FileReader
from exai.files.paths.storing import PathStore
from exai.files.secrets.checks import SecretCheck
from exai.files.secrets.scanner import SecretScanner
from exai.files.snapshots.snapshots import Snapshots
from exai.files.store.measures import StoreMeasures
from exai.files.store.resumable import ResumableUploads
from exai.files.store.shelf import Shelf
from exai.files.store.tickets import UploadTickets
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.runtime.periodic import Scheduler
from exai.storage.database import Database
from exai.storage.files.extracts import ExtractTable
from exai.storage.files.measures import FileSums
from exai.storage.files.resumable import ResumableUploadTable
from exai.storage.files.rows import Quota
from exai.storage.files.scans import ScanTable
from exai.storage.files.snapshots import SnapshotTable
from exai.storage.files.tickets import UploadTicketTable

__all__ = [
    "StoredFiles",
    "open_files",
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
    workspaces: Workspaces
    """Opens folders and snapshots for tools that gather evidence."""


@dataclass(frozen=True)
class ToolFiles:
    """What tools need of files."""

    stored: StoredFiles
    remote: RemoteFiles


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
    async with open_store(settings, database, clock, storage.copies, publish) as (shelf, folder):
        measures = _measures(settings, database)
        monitoring.metrics.read_samples(measures.samples)
        table = ResumableUploadTable(database)
        uploads = ResumableUploads(table, folder, shelf, database.run_id, options, clock)
        extracts = Extracts(shelf, ExtractTable(database), clock)
        tickets = UploadTickets(UploadTicketTable(database), shelf, options, clock)
        snapshots = Snapshots(SnapshotTable(database), shelf, work, options, clock)
        reader, paths = FileReader(options, work), PathStore(shelf, options, work)
        text = StoredText(shelf, extracts)
        workspaces = Workspaces(options, work, snapshots, shelf)
        secrets = SecretCheck(options, text, ScanTable(database), SecretScanner(), clock)
        try:
            async with scheduler.running(*file_duties(shelf, uploads, measures)):
                yield StoredFiles(
                    shelf, uploads, tickets, reader, paths, snapshots, text, extracts, secrets, workspaces
                )
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
