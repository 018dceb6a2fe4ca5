"""Puts the files that a call names into the store of a daemon on another machine, and names them by their handles."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exai.client.folder_sync import sync_folder
from exai.client.local_files import LocalFile, LocalFiles
from exai.client.stored_files import (
    DaemonUnreachable,
    FileRequestFailed,
    StoredFiles,
    TokenRefused,
    open_stored_files,
)
from exai.client.tokens import ClientTokens
from exai.errors import ExaiError, FileRefused
from exai.files.paths.opening import shown
from exai.files.paths.walk import LeftOut
from exai.files.pictures.sources import is_content, path_of

__all__ = ["CarriedArguments", "CarryFailed", "FileCarrier", "open_carrier"]

LONGEST_PATH = 4_096
NAMED_LEFT_OUT = 10
"""Of one folder, in its note."""
CHANGED = ("checksum_differs", "digest_differs", "length_wrong")
"""The codes of a file that is another one than was hashed."""


class CarryFailed(Exception):
    """A file could not be brought to the daemon; the message is for the model, `code` for programs."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class CarriedArguments:
    """The arguments of a call, with handles in the places of paths."""

    arguments: dict[str, Any]
    notes: tuple[str, ...]
    """What of its folders stayed on this machine, in sentences for the model."""


@asynccontextmanager
async def open_carrier(url: str, tokens: ClientTokens, roots: Sequence[Path]) -> AsyncIterator["FileCarrier"]:
    """Open what carries files below `roots` to the daemon at the MCP address `url`."""
    async with open_stored_files(url, tokens) as store:
        yield FileCarrier(store, LocalFiles(roots))


class FileCarrier:
    """Replaces paths by handles."""

    def __init__(self, store: StoredFiles, files: LocalFiles) -> None:
        self._store = store
        self._files = files

    async def carry(self, arguments: Mapping[str, Any], names: Sequence[str]) -> CarriedArguments:
        """Put the handles of files in the places of their paths, in the arguments with these `names`.

        Raises:
            CarryFailed: a file may not leave this machine, or cannot be brought to the daemon.
        """
        carried, notes = dict(arguments), dict[str, None]()
        try:
            for name in names:
                value = carried.get(name)
                if isinstance(value, str):
                    carried[name] = await self._handle(value, notes)
                elif isinstance(value, list):
                    carried[name] = [
                        await self._handle(each, notes) if isinstance(each, str) else each for each in value
                    ]
        except FileRequestFailed as fault:
            raise CarryFailed(fault.code, str(fault), retryable=fault.retryable) from None
        except (DaemonUnreachable, TokenRefused) as fault:
            raise CarryFailed("files_unreachable", str(fault), retryable=True) from None
        except ExaiError as fault:
            raise CarryFailed(fault.code, str(fault)) from None
        return CarriedArguments(carried, tuple(notes))

    async def _handle(self, value: str, notes: dict[str, None]) -> str:
        if len(value) > LONGEST_PATH or is_content(value):
            return value
        path = path_of(value)
        if not Path(path).is_absolute():
            return value
        folder = await asyncio.to_thread(self._files.folder, path)
        if folder is not None:
            synced = await sync_folder(self._store, folder, self._files.roots)
            if synced.listing.left_out:
                notes[_note(path, synced.listing.left_out)] = None
            return synced.tree_id
        try:
            return await self._sent(await asyncio.to_thread(self._files.look, path))
        except FileRequestFailed as fault:
            if fault.code not in CHANGED:
                raise
        self._files.forget(path)
        try:
            return await self._sent(await asyncio.to_thread(self._files.look, path))
        except FileRequestFailed as fault:
            if fault.code not in CHANGED:
                raise
            raise FileRefused(
                f"`{shown(path)}` changes while it is read. Ask again when it is finished."
            ) from None

    async def _sent(self, file: LocalFile) -> str:
        """Return the handle of a file, which is sent unless the caller has its content."""
        if await self._store.look(file.sha256) is not None:
            entry = await self._store.put(
                file.name, file.sha256, file.size, lambda: self._files.blocks(file, 0)
            )
            return str(entry["id"])
        return await self._store.upload(
            file.name, file.sha256, file.size, lambda start: self._files.blocks(file, start)
        )


def _note(folder: str, left_out: Sequence[LeftOut]) -> str:
    secrets_first = sorted(left_out, key=lambda each: not each.is_secret)
    named = "; ".join(f"`{shown(each.path)}` ({each.why})" for each in secrets_first[:NAMED_LEFT_OUT])
    more = len(left_out) - NAMED_LEFT_OUT
    return (
        f"Of the folder `{shown(folder)}`, {len(left_out)} stayed on your machine and were shown to no model: "
        f"{named}{f'; and {more} more' if more > 0 else ''}."
    )
