"""A stored file as a source of copies."""

from collections.abc import AsyncGenerator

from exai.files.faults import FileDamaged
from exai.files.store.shelf import Shelf
from exai.storage.files.tables import FileRow

__all__ = ["StoredSource"]

_SUFFIXES = {
    "text": "txt",
    "jpeg": "jpg",
    "matroska": "mkv",
    "quicktime": "mov",
    "3gpp": "3gp",
    "binary": "bin",
}
"""Where the name of a kind is no suffix for it."""


class StoredSource:
    """Reads a stored file from its place, each time that it is sent."""

    def __init__(self, shelf: Shelf, owner: str, file: FileRow, suffix: str | None = None) -> None:
        """`suffix` is for a purpose that needs another one than the kind's; the file's own name never leaves."""
        self._shelf = shelf
        self._file = file
        self.sha256 = file.sha256
        self.size = file.bytes
        self.media_type = file.media_type.partition(";")[0]
        self.suffix = suffix or _SUFFIXES.get(file.kind, file.kind)
        self.file_owner = owner
        self.origin_sha256 = None

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yield the content.

        Raises:
            FileDamaged: its bytes are missing or changed.
            StoreUnavailable: the disk fails.
        """
        content = await self._shelf.open(self._file)
        try:
            async for block in content.read(0, content.size):
                yield block
        except FileDamaged:
            await self._shelf.note_damage(self._file)
            raise
        finally:
            content.close()
