"""Reads the files and pictures that a call names, within the allowed folders and the limits."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from exai import config
from exai.errors import FileRefused
from exai.files.checks import secret_kind, text_of
from exai.files.heavy_work import HeavyWork
from exai.files.kinds import HEAD_BYTES, Kind, kind_of
from exai.files.paths.folders import FolderFiles, list_folder
from exai.files.paths.opening import open_inside, shown
from exai.files.pictures.sources import content_of, path_of
from exai.messages import FileExcerpt, Image
from exai.runtime.os_errors import reason_of

__all__ = ["FileReader", "PathLook"]

_CHUNK = 2**18


@dataclass(frozen=True, slots=True)
class _ReadPicture:
    """A picture's content, not checked so far."""

    data: bytes
    sha256: str
    name: str
    """What messages call it."""


@dataclass(frozen=True, slots=True)
class PathLook:
    """What a path names, by the beginning of its content."""

    path: str
    kind: Kind
    size: int


class FileReader:
    """Reads text files and pictures for a prompt, one after the other, in threads that all callers share in turns."""

    def __init__(
        self, settings: config.Files, work: HeavyWork | None = None, *, roots: Sequence[Path] = ()
    ) -> None:
        """`roots` are folders to read from, in addition to those of the settings."""
        self._settings = settings
        self._work = work or HeavyWork(settings)
        # Resolved once: a root that is later replaced by a link leads nowhere.
        self.roots = tuple(Path(os.path.realpath(root)) for root in (*settings.roots, *roots))
        """The folders that are read from, resolved."""

    async def look(
        self, caller: str, path: str, most: int, *, with_secrets: bool = False
    ) -> FolderFiles | PathLook:
        """Look at what an absolute path or `file:` URL names: the files of a folder, at most `most`, or a file's kind.

        Raises:
            FileRefused: it may not or cannot be read, looks like a secret, or is a folder with more files.
        """
        return await self._work.files.run(
            caller, partial(self._look, path_of(path), most, with_secrets=with_secrets)
        )

    async def read_texts(
        self, caller: str, paths: Sequence[str], *, with_secrets: bool = False
    ) -> tuple[FileExcerpt, ...]:
        """Read the text files at absolute `paths`, or at `file:` URLs, in their order; all or none.

        Text is UTF-8, or has a byte order mark. `caller` is the subject in whose turn they are read.

        Raises:
            FileRefused: a path that may not or cannot be read, no text, or more than the limits allow.
        """
        if len(paths) > self._settings.max_files:
            raise FileRefused(
                f"{len(paths)} files are too many: one call may name {self._settings.max_files}; name fewer."
            )
        excerpts = []
        room = self._settings.max_total_bytes
        for path in paths:
            read = partial(self._read_text, path_of(path), room, with_secrets=with_secrets)
            excerpt, size = await self._work.files.run(caller, read)
            room -= size
            excerpts.append(excerpt)
        return tuple(excerpts)

    async def read_images(self, caller: str, sources: Sequence[str]) -> tuple[Image, ...]:
        """Read the pictures at absolute paths, in `data:` URLs or in base64, in their order; all or none.

        `caller` is the subject in whose turn they are read.

        Raises:
            FileRefused: a path that may not or cannot be read, no whole picture of a known kind, or more
                than the limits allow.
        """
        if len(sources) > self._settings.max_images:
            raise FileRefused(
                f"{len(sources)} images are too many: one call takes {self._settings.max_images}; name fewer."
            )
        images = []
        for number, source in enumerate(sources, start=1):
            read = await self._work.files.run(caller, partial(self._read_image, source, number))
            images.append(await self._work.pictures.check(caller, read.data, read.sha256, read.name))
        return tuple(images)

    async def check_picture(self, caller: str, data: bytes, sha256: str, name: str) -> Image:
        """Check a picture that was read elsewhere.

        Raises:
            FileRefused: it is no whole picture of a known kind.
        """
        return await self._work.pictures.check(caller, data, sha256, name)

    def _look(self, path: str, most: int, *, with_secrets: bool) -> FolderFiles | PathLook:
        folder = list_folder(path, self.roots, most, with_secrets=with_secrets)
        if folder is not None:
            return folder
        with open_inside(path, self.roots) as (descriptor, real):
            if not with_secrets:
                _refuse_secret(path, real)
            try:
                head = os.read(descriptor, HEAD_BYTES)
            except OSError as error:
                raise FileRefused(f"`{shown(path)}` cannot be read ({reason_of(error)}).") from error
            return PathLook(path, kind_of(head), os.fstat(descriptor).st_size)

    def _read_text(self, path: str, room: int, *, with_secrets: bool) -> tuple[FileExcerpt, int]:
        """Read one text file of at most `room` bytes; return it and its size."""
        data, real = self._read(path, "max_file_bytes", with_secrets=with_secrets)
        if len(data) > room:
            raise FileRefused(
                f"The files up to `{shown(path)}` are together larger than one call may read "
                f"({self._settings.max_total_bytes} bytes); name fewer or smaller ones."
            )
        text = text_of(data)
        if text is None:
            raise FileRefused(
                f"`{shown(path)}` is no text (UTF-8, or with a byte order mark); only text is read."
            )
        if not with_secrets:
            _refuse_secret(path, real, text)
        return FileExcerpt(path, text, hashlib.sha256(data).hexdigest()), len(data)

    def _read_image(self, source: str, number: int) -> _ReadPicture:
        limit = self._settings.max_image_bytes
        held = content_of(source, limit, number)
        if held is None:
            path = path_of(source)
            name = f"`{shown(path)}`"
            data, _ = self._read(path, "max_image_bytes")
        else:
            name, data = held
        return _ReadPicture(data, hashlib.sha256(data).hexdigest(), name)

    def _read(
        self, path: str, setting: Literal["max_file_bytes", "max_image_bytes"], *, with_secrets: bool = False
    ) -> tuple[bytes, Path]:
        """Read one file of at most the bytes of a setting; return its content and resolved path."""
        limit: int = getattr(self._settings, setting)
        with open_inside(path, self.roots) as (descriptor, real):
            if not with_secrets:
                _refuse_secret(path, real)
            if os.fstat(descriptor).st_size > limit:
                raise FileRefused(_too_large(path, limit, setting))
            content = bytearray()
            try:
                # A generated file has size zero, and any file may grow: the limit is on what is read.
                while chunk := os.read(descriptor, min(_CHUNK, limit + 1 - len(content))):
                    content += chunk
                    if len(content) > limit:
                        raise FileRefused(_too_large(path, limit, setting))
            except OSError as error:
                reason = reason_of(error)
                raise FileRefused(f"`{shown(path)}` cannot be read ({reason}).") from error
        return bytes(content), real


def _refuse_secret(path: str, real: Path, text: str | None = None) -> None:
    """Refuse a file by the given name, and by its resolved name, which a link may hide."""
    kind = secret_kind(Path(path), text) or secret_kind(real, text)
    if kind is not None:
        raise FileRefused(
            f"`{shown(path)}` looks as if it held {kind}, which are not sent to a provider; "
            "put what the model needs to know into the prompt."
        )


def _too_large(path: str, limit: int, setting: str) -> str:
    return (
        f"`{shown(path)}` is larger than one file may be ({limit} bytes, `files.{setting}`); name a smaller one or an "
        "excerpt."
    )
