"""The store of files, and the duties that keep it in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.app.duties import file_duties
from exai.app.storage import Storage
from exai.config import Settings
from exai.files.store.blobs import BlobFolder
from exai.files.store.shelf import Shelf
from exai.runtime.clock import Clock
from exai.runtime.periodic import Scheduler
from exai.storage.files.tables import FileTables

__all__ = ["open_files"]


@asynccontextmanager
async def open_files(
    settings: Settings, storage: Storage, clock: Clock, scheduler: Scheduler
) -> AsyncIterator[Shelf]:
    """Open the store; its folder is made with the first file."""
    run_id = storage.database.run_id
    folder = BlobFolder(settings.data_dir / "files", run_id, keep_free_bytes=settings.files.keep_free_bytes)
    shelf = Shelf(FileTables(storage.database), folder, run_id, settings.files, clock)
    try:
        async with scheduler.running(*file_duties(shelf)):
            yield shelf
    finally:
        folder.close()
