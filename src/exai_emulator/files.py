"""The files that an account keeps at a provider."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["FileStore", "StoredFile"]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it was uploaded."""

    id: str
    filename: str
    purpose: str
    content: bytes = field(repr=False)
    created: int
    """Unix seconds, as its entry tells them."""
    stored_at: float = 0.0
    """When it came, by the emulator's clock."""
    status: str = "ready"
    details: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class FileStore:
    """An account's files in the order of their upload."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[StoredFile]:
        return iter(tuple(self._files.values()))

    @property
    def bytes(self) -> int:
        """The size of all files together."""
        return sum(len(file.content) for file in self)

    def of(self, purpose: str) -> list[StoredFile]:
        """The files with this purpose, oldest first."""
        return [file for file in self if file.purpose == purpose]

    def get(self, file_id: str) -> StoredFile | None:
        return self._files.get(file_id)

    def add(self, file: StoredFile) -> None:
        self._files[file.id] = file

    def remove(self, file_id: str) -> None:
        self._files.pop(file_id, None)

    def clear(self) -> None:
        self._files.clear()
