"""A stored file as its owner is shown it, by HTTP, tools and commands alike."""

import msgspec

from exai.storage.files.tables import FileRow

__all__ = ["Entry", "entry_of"]


class Entry(msgspec.Struct, frozen=True):
    """Describes a file."""

    id: str
    name: str
    bytes: int
    sha256: str
    kind: str
    created_at: str
    damaged: bool


def entry_of(row: FileRow) -> Entry:
    """Describe the file of a row."""
    return Entry(
        row.file_id,
        row.name,
        row.bytes,
        row.sha256,
        row.kind,
        row.created_at.isoformat(timespec="milliseconds"),
        row.is_damaged,
    )
