"""Places a copy of a stored file at a provider on purpose, unless it holds a secret."""

from dataclasses import dataclass
from pathlib import PurePath

from exai.errors import FileRefused
from exai.files.checks import secret_kind
from exai.files.secrets.checks import SecretCheck
from exai.files.store.shelf import Shelf
from exai.providers.remote_files.copies import Copy
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.providers.remote_files.stored_source import StoredSource
from exai.storage.files.copy_rows import Method
from exai.storage.files.tables import FileRow

__all__ = ["CopyPlacer"]

CHECKED_BYTES = 2 * 2**20
"""Of a text that is to be sent to a provider."""


@dataclass(frozen=True)
class CopyPlacer:
    """Sends files of owners, as the tool `files` and `exai files send` do."""

    shelf: Shelf
    remote: RemoteFiles
    secrets: SecretCheck

    async def place(
        self,
        owner: str,
        row: FileRow,
        provider: str,
        purpose: str | None,
        *,
        deadline: float,
        sends_secrets: bool = False,
    ) -> Copy:
        """Send a file, unless a good copy is there.

        Args:
            purpose: what the provider is to do with it; `None`: what fits its kind.
            sends_secrets: send it although it holds some.

        Raises:
            FileRefused, SecretFound: it holds a secret, or is there to hold one.
            SecretsUnchecked: it cannot be looked through to its end.
            ToolFault: as `RemoteFiles.check` does, before the file is read, and as `RemoteFiles.copy` does.
        """
        source = StoredSource(self.shelf, owner, row, _suffix(row))
        for_what = purpose or _purpose(row, provider)
        self.remote.check(source, provider, for_what)
        if not sends_secrets:
            await _refuse_secret(row, source)
        await self.secrets.check_blocks(source.blocks(), row.name, row.sha256, sends_secrets=sends_secrets)
        await self.secrets.check_document(owner, row, row.name, sends_secrets=sends_secrets)
        return await self.remote.copy(owner, source, provider, for_what, Method.GATEWAY, deadline=deadline)


def _purpose(row: FileRow, provider: str) -> str:
    """Return what a provider is to do with a file of its kind."""
    if provider == "glm":
        return "user_data"
    family = row.media_type.partition("/")[0]
    return family if family in {"image", "video"} else "file-extract"


def _suffix(row: FileRow) -> str | None:
    """Return the ending that a text has for a reason, as a provider judges by it; others go by their kind."""
    stem, _, suffix = row.name.rpartition(".")
    is_plain = bool(stem) and suffix.isascii() and suffix.isalnum() and len(suffix) <= 10
    return suffix.lower() if row.kind == "text" and is_plain else None


async def _refuse_secret(row: FileRow, source: StoredSource) -> None:
    """Refuse to send what looks like a secret: by its name, or by what its beginning holds.

    Raises:
        FileRefused: it does.
    """
    head = b""
    if row.kind == "text":
        async for block in source.blocks():
            head += block
            if len(head) >= CHECKED_BYTES:
                break
    kind = secret_kind(PurePath(row.name), head.decode(errors="replace"))
    if kind is not None:
        raise FileRefused(
            f"File {row.file_id} looks as if it held {kind}, which are not sent to a provider; send a file without it."
        )
