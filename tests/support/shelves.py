"""A shelf of files on a database and a folder of the test's own."""

import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from exai import config
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.files.documents.extracts import Extracts
from exai.files.documents.lines import StoredText
from exai.files.heavy_work import HeavyWork
from exai.files.snapshots.snapshots import Snapshots
from exai.files.store.blobs import BlobFolder
from exai.files.store.contract import BlobStore
from exai.files.store.resumable import ResumableUploads
from exai.files.store.shelf import Shelf
from exai.files.store.tickets import UploadTickets
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from exai.storage.files.extracts import ExtractTable
from exai.storage.files.removals import RemovalTables
from exai.storage.files.resumable import ResumableUploadTable
from exai.storage.files.snapshots import SnapshotTable
from exai.storage.files.tables import FileTables
from exai.storage.files.tickets import UploadTicketTable

__all__ = ["OpenShelf", "pieces", "sha256_of"]


def sha256_of(content: bytes) -> str:
    """The digest under which a content is stored."""
    return hashlib.sha256(content).hexdigest()


async def pieces(content: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    """A content as it comes over a connection."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


class OpenShelf:
    """A shelf with its parts, for tests that look behind it."""

    def __init__(self, database: Database, folder: Path, **settings: object) -> None:
        self.settings = config.Files.model_validate({"keep_free_bytes": 0, **settings})
        self.folder = folder
        self.tables = FileTables(database)
        self.copies = CopyTables(database)
        self.removals = RemovalTables(database, self.copies)
        self.blobs = BlobFolder(folder, database.run_id, keep_free_bytes=self.settings.keep_free_bytes)
        self.clock = ManualClock()
        self._run_id = database.run_id
        self._resumable = ResumableUploadTable(database)
        self._extracts = ExtractTable(database)
        self._publish: Callable[[Event], None] = lambda _: None
        self._tickets = UploadTicketTable(database)
        self._snapshots = SnapshotTable(database)
        self.keep_in(self.blobs)

    def keep_in(self, place: BlobStore) -> None:
        """Keep contents there; else it is the folder in which they are received."""
        self.shelf = Shelf(
            self.tables, self.removals, self.blobs, place, self.settings, self.clock, self._publish
        )
        self.uploads = ResumableUploads(
            self._resumable, self.blobs, self.shelf, self._run_id, self.settings, self.clock
        )
        self.extracts = Extracts(self.shelf, self._extracts, self.clock)
        self.text = StoredText(self.shelf, self.extracts)
        self.snapshots = Snapshots(
            self._snapshots, self.shelf, HeavyWork(self.settings), self.settings, self.clock
        )
        self.tickets = UploadTickets(self._tickets, self.shelf, self.settings, self.clock)

    def publish_to(self, bus: EventBus) -> None:
        """Tell a bus what is stored and removed."""
        self._publish = bus.publish
        self.keep_in(self.blobs)

    async def put(self, owner: str, name: str, content: bytes, *, expected: str | None = None) -> str:
        """Store a content; the id of its file."""
        row = await self.shelf.put(owner, name, len(content), pieces(content), expected=expected)
        return row.file_id

    async def read(self, owner: str, file_id: str) -> bytes:
        """All bytes of a file."""
        content = await self.shelf.open(await self.shelf.get(owner, file_id))
        return b"".join([block async for block in content.read(0, content.size)])

    @property
    def on_disk(self) -> set[str]:
        """The digests of the contents that lie in the folder."""
        return {file.name for file in (self.folder / "blobs").rglob("*") if file.is_file()}

    @property
    def parts(self) -> list[str]:
        """What lies in the folder of resumable uploads."""
        folder = self.folder / "resumable"
        return [file.name for file in folder.iterdir()] if folder.is_dir() else []

    @property
    def incoming(self) -> list[str]:
        """What lies beside them."""
        folder = self.folder / "incoming"
        return [file.name for file in folder.iterdir()] if folder.is_dir() else []
