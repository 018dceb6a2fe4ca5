"""The files that an account keeps at a provider."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from exai_emulator.clock import EmulatedClock
from exai_emulator.documents.extraction import Extract
from exai_emulator.uploads import Upload

__all__ = ["FileStore", "StoredFile"]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it was uploaded."""

    id: str
    filename: str
    purpose: str
    upload: Upload = field(repr=False)
    stored_at: float
    """When it came, by the emulator's clock."""
    extract: Extract | None = field(default=None, repr=False)
    """What was found in it, where the service looks into such files."""
    status: str = "ready"
    details: str = ""
    expires_at: float | None = None
    """When the service deletes it, by the emulator's clock."""

    @property
    def created(self) -> int:
        """Unix seconds, as its entry gives them."""
        return int(self.stored_at)

    @property
    def size(self) -> int:
        return self.upload.size

    @property
    def content(self) -> bytes:
        return self.upload.content

    @property
    def sha256(self) -> str:
        return self.upload.sha256


class FileStore:
    """An account's files in the order of their upload. Those that expired are gone."""

    def __init__(self, clock: EmulatedClock) -> None:
        self._clock = clock
        self._files: dict[str, StoredFile] = {}

    def __len__(self) -> int:
        return len(tuple(iter(self)))

    def __iter__(self) -> Iterator[StoredFile]:
        now = self._clock.now()
        for file in tuple(self._files.values()):
            if file.expires_at is not None and file.expires_at <= now:
                self.remove(file.id)
        return iter(tuple(self._files.values()))

    @property
    def size(self) -> int:
        """The size of all files together."""
        return sum(file.size for file in self)

    def of(self, purpose: str) -> list[StoredFile]:
        """The files with this purpose, oldest first."""
        return [file for file in self if file.purpose == purpose]

    def get(self, file_id: str) -> StoredFile | None:
        """The file, unless there is none or it expired."""
        file = self._files.get(file_id)
        if file is not None and file.expires_at is not None and file.expires_at <= self._clock.now():
            self.remove(file_id)
            return None
        return file

    def add(self, file: StoredFile) -> None:
        """Keep a file, whose bytes outlive its request from now on."""
        file.upload.kept = True
        self._files[file.id] = file

    def learn(self, file_id: str, extract: Extract) -> None:
        """Note what was found in a file."""
        if (file := self._files.get(file_id)) is not None:
            self._files[file_id] = replace(file, extract=extract)

    def remove(self, file_id: str) -> None:
        """Delete a file and its bytes."""
        if (file := self._files.pop(file_id, None)) is not None:
            file.upload.delete()

    def clear(self) -> None:
        for file_id in tuple(self._files):
            self.remove(file_id)
