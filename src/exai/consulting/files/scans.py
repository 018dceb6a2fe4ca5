"""Documents whose pages are pictures: their text is read by a provider, once, and kept as any other's.

Only a provider that answers the call is sent a scan; its text is a content of the store from then on, so the next
question needs no upload. What was sent is deleted there as soon as the text is read.
"""

from dataclasses import dataclass

from exai.callers import Caller
from exai.files.documents.extracts import Extracts
from exai.files.faults import NoText
from exai.files.paths.opening import shown
from exai.files.secrets.checks import SecretCheck
from exai.files.store.shelf import Shelf
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.providers.remote_files.stored_source import StoredSource
from exai.storage.files.tables import FileRow

__all__ = ["Scan", "ScanReader"]

READER = "kimi"
"""The provider that reads the text of scans."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan that a call names."""

    file: FileRow
    name: str
    lines: tuple[int, int] | None
    """The lines of its text that are wanted; `None`: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReader:
    """Has the text of scans read."""

    remote: RemoteFiles
    extracts: Extracts
    shelf: Shelf
    secrets: SecretCheck

    async def read(
        self, caller: Caller, scan: Scan, provider: str, *, deadline: float, send_secrets: bool
    ) -> None:
        """Have a scan's text read by the provider that answers, and keep it.

        Raises:
            NoText: that provider reads no scans.
            SecretFound: its bytes hold a secret.
            ToolFault: the provider failed or refused, or the text cannot be kept.
        """
        if provider != READER:
            raise NoText(
                f"`{shown(scan.name)}` is a scan: its pages are pictures. Models of Kimi are shown its text, "
                "which Kimi reads; name one of them (see `models`), or send its pages as `images` to a model that sees."
            )
        blocks = StoredSource(self.shelf, caller.subject, scan.file)
        await self.secrets.check_blocks(blocks.blocks(), scan.name, sends_secrets=send_secrets)
        text = await self.remote.text(caller.subject, blocks, READER, deadline=deadline)
        await self.extracts.keep(scan.file, READER, text)
