"""Documents that a provider reads: scans, whose pages are pictures, and others where that is asked for.

Only a provider that answers the call is sent a document; its text is a content of the store from then on, so the next
question needs no upload. What was sent is deleted there as soon as the text is read.
"""

from dataclasses import dataclass

from exai.callers import Caller
from exai.files.documents.extracts import Extracts
from exai.files.faults import NoText
from exai.files.paths.opening import shown
from exai.files.secrets.checks import SecretCheck
from exai.files.store.shelf import Shelf
from exai.providers.remote_files.faults import FileNotReadYet, FileUnreadable
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.providers.remote_files.stored_source import StoredSource
from exai.storage.files.tables import FileRow

__all__ = ["READER", "ProviderReader", "UnreadDocument", "unshown_scan"]

READER = "kimi"
"""The provider that reads the text of documents."""


@dataclass(frozen=True, slots=True)
class UnreadDocument:
    """A document that a call names; how it is shown depends on the model that answers."""

    file: FileRow
    name: str
    lines: tuple[int, int] | None
    """The lines of its text that are wanted; `None`: all."""
    is_scan: bool
    """Whether it has no text that can be read here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderReader:
    """Has the text of documents read, and looks at what is sent as it is."""

    remote: RemoteFiles
    extracts: Extracts
    shelf: Shelf
    secrets: SecretCheck

    async def source(self, caller: Caller, file: FileRow, name: str, *, send_secrets: bool) -> StoredSource:
        """Return a stored file as it is sent.

        Raises:
            SecretFound: its bytes hold a secret.
            FileDamaged, StoreUnavailable: they cannot be read.
        """
        source = StoredSource(self.shelf, caller.subject, file)
        await self.secrets.check_blocks(source.blocks(), name, file.sha256, sends_secrets=send_secrets)
        return source

    async def read(
        self, caller: Caller, document: UnreadDocument, provider: str, *, deadline: float, send_secrets: bool
    ) -> None:
        """Have a document's text read by the provider that answers, and keep it, unless that was done before.

        Raises:
            NoText: that provider reads none.
            SecretFound: its bytes hold a secret.
            ToolFault: the provider failed or refused, or the text cannot be kept.
        """
        if provider != READER:
            raise unshown_scan(document.name)
        if await self.extracts.is_read_by(READER, document.file):
            return
        if await self.extracts.is_refused_by(READER, document.file):
            raise FileUnreadable(
                f"{READER.capitalize()} could not read `{shown(document.name)}`, and is not asked again for a day. "
                "Convert it to PDF or text."
            )
        source = await self.source(caller, document.file, document.name, send_secrets=send_secrets)
        try:
            text = await self.remote.text(caller.subject, source, READER, deadline=deadline)
        except FileNotReadYet:
            raise
        except FileUnreadable:
            await self.extracts.refuse(document.file, READER)
            raise
        await self.extracts.keep(document.file, READER, text)


def unshown_scan(name: str) -> NoText:
    """Make the fault of a scan that the model which answers is not shown."""
    return NoText(
        f"`{shown(name)}` is a scan: its pages are pictures. Models of Kimi are shown its text, which Kimi reads, and "
        "models of GLM that see are shown the file; name one of them (`status`, section models), or send its pages as "
        "`images` to a model that sees."
    )
