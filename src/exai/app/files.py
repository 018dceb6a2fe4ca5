"""The store of files, and the duties that keep it in order."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from exai.app.duties import file_duties
from exai.app.storage import Storage
from exai.config import Settings
from exai.files.heavy_work import HeavyWork
from exai.files.paths.reader import FileReader
from exai.files.paths.storing import PathStore
from exai.files.store.blobs import BlobFolder
from exai.files.store.shelf import Shelf
from exai.runtime.clock import Clock
from exai.runtime.periodic import Scheduler
from exai.storage.database import Database
from exai.storage.files.tables import FileTables

__all__ = ["StoredFiles", "open_files", "open_shelf"]


@dataclass(frozen=True)
class StoredFiles:
    """What reads and keeps files."""

    shelf: Shelf
    reader: FileReader
    """Reads files of this machine for a prompt."""
    paths: PathStore
    """Stores files of this machine."""


@contextmanager
def open_shelf(settings: Settings, database: Database, clock: Clock) -> Iterator[Shelf]:
    """Open the store; its folder is made with the first file."""
    run_id = database.run_id
    folder = BlobFolder(settings.data_dir / "files", run_id, keep_free_bytes=settings.files.keep_free_bytes)
    try:
        yield Shelf(FileTables(database), folder, run_id, settings.files, clock)
    finally:
        folder.close()


@asynccontextmanager
async def open_files(
    settings: Settings, storage: Storage, clock: Clock, scheduler: Scheduler, work: HeavyWork
) -> AsyncIterator[StoredFiles]:
    """Open the store, with its duties."""
    with open_shelf(settings, storage.database, clock) as shelf:
        async with scheduler.running(*file_duties(shelf)):
            reader = FileReader(settings.files, work)
            yield StoredFiles(shelf, reader, PathStore(shelf, settings.files, work))
