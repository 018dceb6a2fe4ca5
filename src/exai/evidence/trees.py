"""The files of a workspace, in the process that reads it: of a folder, or of a snapshot.

What is ignored is not there, and neither is what seems to be there to hold a secret, by its name or its content. What
looks like a secret within other files is replaced wherever lines of them leave.
"""

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePath
from typing import Protocol

from exai.errors import FileRefused
from exai.files.checks import secret_kind, text_of
from exai.files.paths.opening import open_known, shown
from exai.files.paths.walk import LeftOut, left_out_as_unreadable, walking
from exai.files.secrets.places import places_of, redacted
from exai.files.secrets.rules import built_in_spans
from exai.files.snapshots.manifests import ManifestEntry

__all__ = ["Document", "FolderTree", "SnapshotTree", "Tree", "clean_lines", "document_of", "split_lines"]

MOST_FILES = 20_000
MOST_ENTRIES = 60_000
MOST_FILE_BYTES = 2 * 2**20
"""A larger file is listed, and its content is not looked at."""
DOCUMENTS_KEPT = 64
_CHUNK = 2**18
_IN_ITS_PLACE = "something is there already; change it by hunks, or name another path"
_ON_THE_WAY = "a link or a file is where one of its folders would be"


class Document:
    """A text file."""

    def __init__(self, path: str, data: bytes, text: str, *, keeps_secrets: bool) -> None:
        self.path = path
        self.data = text.encode()
        """In UTF-8, without a byte order mark."""
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._keeps_secrets = keeps_secrets

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """Its lines without their ends, and without what looks like secrets."""
        return clean_lines(self.data, keeps_secrets=self._keeps_secrets)

    def text(self, first: int, last: int) -> str:
        """Return lines, each with its line feed."""
        return "".join(f"{line}\n" for line in self.lines[first - 1 : last])


class Tree(Protocol):
    """Files by their paths."""

    keeps_secrets: bool

    @property
    def files(self) -> Mapping[str, int]:
        """Paths with sizes, in the order of the paths."""

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """What is there and is not shown."""

    def read(self, path: str) -> Document | None:
        """Read a file; `None` where there is none, or no text, or one that is too large."""

    def bytes_of(self, path: str) -> bytes | None:
        """Read the bytes of a file that is listed, whatever it holds; nothing of them may be shown."""

    def refusal_of_new(self, path: str) -> str | None:
        """Say why no new file can stand at a path; `None`: one can."""


class FolderTree:
    """The files of a folder below the allowed roots."""

    def __init__(self, folder: str, roots: Sequence[str], *, keeps_secrets: bool = False) -> None:
        self.folder = folder.rstrip("/")
        self.roots = [Path(root) for root in roots]
        self.keeps_secrets = keeps_secrets
        self._documents = _Kept()
        path = Path(self.folder)
        self._root = next((root for root in self.roots if path.is_relative_to(root)), path)
        self._parts = path.relative_to(self._root).parts

    @cached_property
    def files(self) -> Mapping[str, int]:
        """Walk the folder.

        Raises:
            FileRefused: it cannot be read, or is too large.
        """
        return {path: size for path, (size, _) in self.statuses.items()}

    @property
    def statuses(self) -> Mapping[str, tuple[int, int]]:
        """The size of each file, and when it was changed, in nanoseconds."""
        return self._walked[0]

    @cached_property
    def left_out(self) -> Sequence[LeftOut]:
        """What the walk left out; what is ignored is not among it."""
        return self._walked[1]

    @cached_property
    def _walked(self) -> tuple[dict[str, tuple[int, int]], list[LeftOut]]:
        files: dict[str, tuple[int, int]] = {}
        left_out: list[LeftOut] = []
        with walking(self.folder, self.roots, MOST_ENTRIES, with_secrets=self.keeps_secrets) as walk:
            if walk is None:
                raise FileRefused(f"`{shown(self.folder)}` is a file; name its folder as the workspace.")
            for found in walk:
                if isinstance(found, LeftOut):
                    left_out.append(found)
                    continue
                try:
                    status = os.stat(found.real.name, dir_fd=found.folder, follow_symlinks=False)
                except OSError as error:
                    left_out.append(left_out_as_unreadable(found.path, error))
                    continue
                files[found.path] = (status.st_size, status.st_mtime_ns)
                if len(files) > MOST_FILES:
                    raise FileRefused(
                        f"`{shown(self.folder)}` has more than {MOST_FILES:,} files; name a folder in it as the "
                        "workspace. What `.gitignore` names does not count."
                    )
        return files, left_out

    def read(self, path: str) -> Document | None:
        """Read a file, as it is now."""
        if path not in self.files:
            return None
        data = self.bytes_of(path)
        return None if data is None else self._documents.of(path, data, keeps_secrets=self.keeps_secrets)

    def bytes_of(self, path: str) -> bytes | None:
        """Read the bytes of a file below the folder, whatever it is; `None`: it cannot be read, or is too large."""
        try:
            with open_known(self._root, (*self._parts, *path.split("/"))) as descriptor:
                return _bounded(descriptor)
        except (FileRefused, OSError):
            return None

    def refusal_of_new(self, path: str) -> str | None:
        """Say why no new file can stand at a path: something is there, or a link or a file on the way."""
        at = self.folder
        *folders, name = path.split("/")
        for folder in folders:
            at = f"{at}/{folder}"
            try:
                mode = os.lstat(at).st_mode
            except FileNotFoundError:
                return None
            except OSError:
                return _ON_THE_WAY
            if not stat.S_ISDIR(mode):
                return _ON_THE_WAY
        return _IN_ITS_PLACE if os.path.lexists(f"{at}/{name}") else None


class SnapshotTree:
    """The files of a snapshot, whose contents are asked for."""

    left_out: Sequence[LeftOut] = ()

    def __init__(
        self,
        entries: Sequence[ManifestEntry],
        fetch: Callable[[str], bytes | None],
        *,
        keeps_secrets: bool = False,
    ) -> None:
        self.keeps_secrets = keeps_secrets
        self.files: Mapping[str, int] = {
            entry.path: entry.bytes
            for entry in entries
            if keeps_secrets or secret_kind(PurePath(entry.path)) is None
        }
        self._known = {entry.path for entry in entries}
        self._fetch = fetch
        self._documents = _Kept()

    def read(self, path: str) -> Document | None:
        """Read a file."""
        data = self.bytes_of(path)
        return None if data is None else self._documents.of(path, data, keeps_secrets=self.keeps_secrets)

    def bytes_of(self, path: str) -> bytes | None:
        """Fetch a content; `None`: there is none, or it is too large."""
        return None if self.files.get(path, MOST_FILE_BYTES + 1) > MOST_FILE_BYTES else self._fetch(path)

    def refusal_of_new(self, path: str) -> str | None:
        """Say why no new file can stand at a path: something is there, or a file on the way."""
        parts = path.split("/")
        if any("/".join(parts[:length]) in self._known for length in range(1, len(parts))):
            return _ON_THE_WAY
        is_there = path in self._known or any(each.startswith(f"{path}/") for each in self._known)
        return _IN_ITS_PLACE if is_there else None


class _Kept:
    """The latest documents, as long as their contents are the same."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[bytes, Document | None]] = OrderedDict()

    def of(self, path: str, data: bytes, *, keeps_secrets: bool) -> Document | None:
        known = self._kept.get(path)
        if known is not None and known[0] == data:
            return known[1]
        document = document_of(path, data, keeps_secrets=keeps_secrets)
        self._kept[path] = (data, document)
        if len(self._kept) > DOCUMENTS_KEPT:
            self._kept.popitem(last=False)
        return document


def document_of(path: str, data: bytes, *, keeps_secrets: bool) -> Document | None:
    """Make a document of bytes; `None`: they are no text, or there to hold a secret."""
    text = text_of(data)
    if text is None or (not keeps_secrets and secret_kind(PurePath(path), text) is not None):
        return None
    return Document(path, data, text, keeps_secrets=keeps_secrets)


def _bounded(descriptor: int) -> bytes | None:
    status = os.fstat(descriptor)
    if status.st_size > MOST_FILE_BYTES or not stat.S_ISREG(status.st_mode):
        return None
    content = bytearray()
    while chunk := os.read(descriptor, _CHUNK):
        content += chunk
        if len(content) > MOST_FILE_BYTES:
            return None
    return bytes(content)


def split_lines(data: bytes) -> list[str]:
    """Split UTF-8 into lines without their ends."""
    lines = data.decode(errors="backslashreplace").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def clean_lines(data: bytes, *, keeps_secrets: bool) -> tuple[str, ...]:
    """Split UTF-8 into lines, in which what looks like a secret is replaced by the name of its rule."""
    lines = split_lines(data)
    spans = [] if keeps_secrets else built_in_spans(data)
    return redacted(1, lines, places_of(data, spans, 1)) if spans else tuple(lines)
