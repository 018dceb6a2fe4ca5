"""Uploaded bytes on disk, so that large ones take no memory."""

import hashlib
import tempfile
from pathlib import Path

from exai_emulator.documents.kinds import HEAD_BYTES

__all__ = ["Upload", "UploadFolder"]


class UploadFolder:
    """The temporary folder of an emulator. It is made when the first file comes."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._made = 0

    def begin(self) -> "Upload":
        """A new, empty file."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="exai-emulator-")
        self._made += 1
        return Upload(Path(self._folder.name, str(self._made)))

    def filled(self, content: bytes, *, size: int | None = None) -> "Upload":
        """A new file with this content, and then zeros up to `size`, which take no space."""
        upload = self.begin()
        upload.write(content)
        upload.close(size=size)
        return upload

    def close(self) -> None:
        """Delete the folder with everything in it."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class Upload:
    """One file: written piece by piece, then closed; deleted with its request unless an account keeps it."""

    __slots__ = ("_digest", "_file", "_is_padded", "head", "kept", "path", "size")

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self.head = b""
        """Its first bytes, by which its kind is told."""
        self.kept = False
        self._digest = hashlib.sha256()
        self._is_padded = False
        self._file = path.open("wb")

    @property
    def sha256(self) -> str:
        if self._is_padded:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        return self._digest.hexdigest()

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()

    def beside(self, suffix: str) -> Path:
        """The path of a file that goes when this one goes."""
        return self.path.with_suffix(suffix)

    def write(self, data: bytes) -> None:
        """Append `data`."""
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + data)[:HEAD_BYTES]
        self.size += len(data)
        self._digest.update(data)
        self._file.write(data)

    def close(self, *, size: int | None = None) -> None:
        """Nothing more comes; `size` makes the file that long, by zeros."""
        if self._file.closed:
            return
        if size is not None and size > self.size:
            self._file.truncate(size)
            self.size = size
            self._is_padded = True
        self._file.close()

    def delete(self) -> None:
        """Remove the bytes and what was read from them."""
        self.close()
        for path in (self.path, self.beside(".text")):
            path.unlink(missing_ok=True)
