"""Reads the files that a call names, within the allowed folders and the limits."""

import asyncio
import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from exai import config
from exai.errors import FileRefused
from exai.files.checks import secret_kind, text_of
from exai.files.opening import open_inside, shown
from exai.messages import FileExcerpt, Image
from exai.runtime.os_errors import reason_of

__all__ = ["FileReader"]

_CHUNK = 2**18
_DATA_URL = "data:"


class FileReader:
    """Reads text files and pictures for a prompt. Disk access happens in a thread."""

    def __init__(self, settings: config.Files, roots: Sequence[Path] = ()) -> None:
        """`roots` are folders to read from, in addition to those of the settings."""
        self._settings = settings
        # Resolved once: a root that is later replaced by a link leads nowhere.
        self._roots = tuple(Path(os.path.realpath(root)) for root in (*settings.roots, *roots))

    async def read_texts(self, paths: Sequence[str]) -> tuple[FileExcerpt, ...]:
        """Read the text files at absolute `paths`, in their order; all or none.

        Text is UTF-8, or has a byte order mark.

        Raises:
            FileRefused: a path that may not or cannot be read, no text, or more than the limits allow.
        """
        if len(paths) > self._settings.max_files:
            raise FileRefused(
                f"{len(paths)} files are too many: one call may name {self._settings.max_files}; name fewer."
            )
        return await asyncio.to_thread(self._read_texts, paths) if paths else ()

    async def read_images(self, sources: Sequence[str]) -> tuple[Image, ...]:
        """Read the pictures at absolute paths or in `data:` URLs, in their order; all or none.

        Raises:
            FileRefused: a path that may not or cannot be read, no whole picture of a known kind, or more
                than the limits allow.
        """
        if len(sources) > self._settings.max_images:
            raise FileRefused(
                f"{len(sources)} images are too many: one call takes {self._settings.max_images}; name fewer."
            )
        return await asyncio.to_thread(self._read_images, sources) if sources else ()

    def _read_texts(self, paths: Sequence[str]) -> tuple[FileExcerpt, ...]:
        excerpts = []
        room = self._settings.max_total_bytes
        for path in paths:
            data, real = self._read(path, self._settings.max_file_bytes)
            room -= len(data)
            if room < 0:
                raise FileRefused(
                    f"The files up to `{shown(path)}` are together larger than one call may read "
                    f"({self._settings.max_total_bytes} bytes); name fewer or smaller ones."
                )
            text = text_of(data)
            if text is None:
                raise FileRefused(
                    f"`{shown(path)}` is no text (UTF-8, or with a byte order mark); only text is read."
                )
            _refuse_secret(path, real, text)
            excerpts.append(FileExcerpt(path, text, hashlib.sha256(data).hexdigest()))
        return tuple(excerpts)

    def _read_images(self, sources: Sequence[str]) -> tuple[Image, ...]:
        return tuple(self._read_image(source, number) for number, source in enumerate(sources, start=1))

    def _read_image(self, source: str, number: int) -> Image:
        limit = self._settings.max_image_bytes
        if source[: len(_DATA_URL)].lower() == _DATA_URL:
            name = f"Image {number} (a `data:` URL)"
            data = _decoded(source, limit, name)
        elif source.lower().startswith(("http://", "https://")):
            raise FileRefused(
                f"Image {number} is a web address; give an absolute path or a `data:` URL instead."
            )
        else:
            name = f"`{shown(source)}`"
            data, _ = self._read(source, limit)
        # Imported late: Pillow takes 5 MB and a tenth of a second, and is needed for pictures only.
        from exai.files.pictures import check_picture  # noqa: PLC0415

        return check_picture(data, name, self._settings.max_image_pixels)

    def _read(self, path: str, limit: int) -> tuple[bytes, Path]:
        """Read one file of at most `limit` bytes; return its content and resolved path."""
        with open_inside(path, self._roots) as (descriptor, real):
            _refuse_secret(path, real)
            if os.fstat(descriptor).st_size > limit:
                raise FileRefused(_too_large(path, limit))
            content = bytearray()
            try:
                # A generated file has size zero, and any file may grow: the limit is on what is read.
                while chunk := os.read(descriptor, min(_CHUNK, limit + 1 - len(content))):
                    content += chunk
                    if len(content) > limit:
                        raise FileRefused(_too_large(path, limit))
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


def _too_large(path: str, limit: int) -> str:
    return (
        f"`{shown(path)}` is larger than one file may be ({limit} bytes); name a smaller one or an excerpt."
    )


def _decoded(url: str, limit: int, name: str) -> bytes:
    header, comma, payload = url.partition(",")
    if not comma or not header.lower().endswith(";base64"):
        raise FileRefused(f"{name} is not of the form `data:image/png;base64,...`.")
    # Base64 has four characters for three bytes.
    if len(payload) > limit // 3 * 4 + 4:
        raise FileRefused(f"{name} is larger than one image may be ({limit} bytes); give a smaller one.")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise FileRefused(f"{name} is not valid base64.") from None
