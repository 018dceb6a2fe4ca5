"""The text of stored files: the file's own, or what was extracted from it once and is stored as a content.

A text that is extracted, and what a crash after each step leaves:

=====================================================  ==============================================================
true from here on                                      a crash after it leaves
=====================================================  ==============================================================
space is reserved for the text, committed              a reservation, which `Shelf.sweep` takes away
the text is beside its place, on the disk              that, and a part, removed by the same
the text is referred to by the upload, committed       that, and a row in `uploading`, condemned by the same
the text is at its place, on the disk                  the same, with bytes; they go with the row
the extract is there, the upload is over, one commit   the extract
=====================================================  ==============================================================

A refusal is an extract without a text: the same document is not read again to be refused.

The extracting process ends with its parent: by the end of its input, or by its alarm.
"""

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from exai.errors import ExaiError
from exai.files.documents.extraction import FAILED, MOST_TEXT_BYTES, extracting, refusal
from exai.files.documents.verdict import MOST_CHARACTERS
from exai.files.faults import DocumentUnreadable, FileDamaged, NoText
from exai.files.kinds import TEXT
from exai.files.store.shelf import Shelf
from exai.runtime.clock import Clock
from exai.runtime.gate import Gate
from exai.runtime.tasks import spawn
from exai.storage.files.extracts import NOBODY, ExtractRow, ExtractTable
from exai.storage.files.tables import FileRow, Quota

__all__ = ["Extracts", "FileText"]

NO_TEXT = "no_text"
BLOCK_BYTES = 2**18
SCAN_READER = "kimi"
"""The provider that reads the text of scans."""
AT_ONCE = 2
"""Extracting processes."""
UNBOUNDED = Quota(2**62, 2**31)
TRY_AGAIN_AFTER = timedelta(days=1)
"""A document that its reader did not survive is refused for so long without being read."""
VERSIONS = {"pdfium": 2, "ooxml": 2, "wide": 1, "kimi": 1}
"""Raised where a method comes to read the same document otherwise."""
_METHODS = {"pdf": "pdfium", "docx": "ooxml", "xlsx": "ooxml", "pptx": "ooxml", "zip": "ooxml"}
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_HINTS = {
    "old-office": "Save it as DOCX, XLSX, PPTX or PDF.",
    "gzip": "It is an archive: store the files in it one by one.",
}


@dataclass(frozen=True, slots=True)
class FileText:
    """A content that is text."""

    content: FileRow
    """The file with the content that is its text."""
    method: str | None = None
    """How the text was extracted; `None`: it is the file's own."""
    pages: int = 0
    cut: str | None = None
    """Why the text is not all of it."""


class Extracts:
    """Finds or makes the texts of stored files."""

    def __init__(self, shelf: Shelf, table: ExtractTable, clock: Clock) -> None:
        self._shelf = shelf
        self._table = table
        self._clock = clock
        self._gate = Gate(AT_ONCE)
        self._running: dict[tuple[str, str], asyncio.Task[ExtractRow | ExaiError]] = {}

    async def close(self) -> None:
        """End what is being extracted."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def text_of(self, owner: str, file: FileRow, by: str | None = None) -> FileText:
        """Find the text of an owner's file; of a document it is extracted where nobody did that before.

        `by` is the provider whose reading is preferred to ours, where it is kept.

        Raises:
            NoText: a file of its kind has none, or this document.
            DocumentUnreadable: the document is broken or encrypted, or takes more than it may.
            FileTooLarge: the document is larger than one may be that is read.
            FileDamaged, StoreFull, StoreUnavailable, StoreBusy, StoreFailed: the store's faults.
        """
        method = await self._method_of(file)
        if method is None:
            return FileText(file)
        row = None if by is None else await self._read_by(by, file)
        row = row or await self._table.find(file.sha256, method, VERSIONS[method])
        if row is None or self._is_to_be_tried(row):
            row = await self._extract_once(owner, file, method)
        if row.refused == NO_TEXT:
            row = await self._read_by(SCAN_READER, file) or row
        if row.text_sha256 is None:
            raise refusal(row.refused or "damaged")
        text = msgspec.structs.replace(
            file,
            sha256=row.text_sha256,
            bytes=row.text_bytes,
            kind=TEXT.name,
            media_type=TEXT.media_type,
            is_damaged=False,
        )
        return FileText(text, row.method, row.pages, row.cut)

    async def parts_of(self, owner: str, file: FileRow) -> AsyncGenerator[bytes, None]:
        """Read all text of a file that is an archive, such as an Office document; nothing of it is kept.

        Raises:
            DocumentUnreadable: it cannot be read, or not to its end; what came may be a part.
            FileTooLarge: it is larger than a document may be that is read.
            FileDamaged, StoreUnavailable: the store's faults.
        """
        if not self._gate.try_take():
            await self._gate.take(owner)
        try:
            blocks = self._read(file, file.bytes)
            async with (
                extracting("parts", file.bytes, blocks) as extraction,
                aclosing(extraction.text()) as text,
            ):
                async for block in text:
                    yield block
                verdict = await extraction.verdict()
        finally:
            self._gate.give_back()
        if verdict.cut is not None:
            raise DocumentUnreadable(f"Only a part of it was: {verdict.cut}.", "too_large")
        if verdict.refused not in {None, NO_TEXT}:
            raise refusal(verdict.refused or "")

    async def keep(self, file: FileRow, method: str, text: str) -> None:
        """Keep the text of a file that was read elsewhere, such as a scan's by a provider.

        Raises:
            FileDamaged: the file is gone meanwhile.
            StoreFull, StoreUnavailable, StoreBusy, StoreFailed: it is not kept.
        """
        encoded = text[:MOST_CHARACTERS].encode(errors="replace")
        cut = f"the text ends after {MOST_CHARACTERS:,} characters" if len(text) > MOST_CHARACTERS else None
        row = ExtractRow(file.sha256, method, VERSIONS[method], self._clock.utc(), cut=cut)
        pieces = _blocks(encoded)
        async with self._shelf.receiving(NOBODY, MOST_TEXT_BYTES, pieces, UNBOUNDED) as (upload, part):
            await self._shelf.place(upload, part, part.sha256)
            row = msgspec.structs.replace(row, text_sha256=part.sha256, text_bytes=part.size)
            if not await self._table.keep(row, upload.upload_id):
                raise _gone()

    async def refuse(self, file: FileRow, provider: str) -> None:
        """Remember that a provider could not read a document.

        Raises:
            StoreFailed: it is not remembered.
        """
        await self._table.keep(
            ExtractRow(file.sha256, provider, VERSIONS[provider], self._clock.utc(), refused=FAILED)
        )

    async def is_refused_by(self, provider: str, file: FileRow) -> bool:
        """Whether a provider could not read a document a short while ago."""
        row = await self._table.find(file.sha256, provider, VERSIONS[provider])
        return row is not None and row.refused is not None and not self._is_to_be_tried(row)

    async def is_read_by(self, provider: str, file: FileRow) -> bool:
        """Whether the text of a file is kept as a provider read it."""
        return await self._read_by(provider, file) is not None

    def _is_to_be_tried(self, row: ExtractRow) -> bool:
        return row.refused == FAILED and row.at + TRY_AGAIN_AFTER <= self._clock.utc()

    async def _read_by(self, provider: str, file: FileRow) -> ExtractRow | None:
        row = await self._table.find(file.sha256, provider, VERSIONS[provider])
        return None if row is None or row.refused is not None else row

    async def extract_again(self, owner: str, file: FileRow) -> FileText:
        """Find the text of a file after what was extracted before was found damaged; raises what `text_of` does."""
        await self._table.forget(file.sha256, self._clock.utc())
        return await self.text_of(owner, file)

    async def _method_of(self, file: FileRow) -> str | None:
        if file.kind in {"text", "empty"}:
            return "wide" if await self._is_wide(file) else None
        method = _METHODS.get(file.kind)
        if method is None:
            hint = _HINTS.get(file.kind, "Text is read of text files, PDF, DOCX, XLSX and PPTX.")
            raise NoText(f"A file of kind {file.kind} has no text that can be read. {hint}")
        return method

    async def _is_wide(self, file: FileRow) -> bool:
        if file.bytes < 2:
            return False
        async with aclosing(self._read(file, min(4, file.bytes))) as blocks:
            return b"".join([block async for block in blocks]).startswith(_WIDE_MARKS)

    async def _extract_once(self, owner: str, file: FileRow, method: str) -> ExtractRow:
        """Extract a text, or wait for who does so already. It goes on when its waiters are cancelled."""
        key = (file.sha256, method)
        task = self._running.get(key)
        if task is None:
            task = spawn(self._in_turn(owner, file, method), name="extract a document")
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key))
        outcome = await asyncio.shield(task)
        if isinstance(outcome, ExaiError):
            raise outcome
        return outcome

    async def _in_turn(self, owner: str, file: FileRow, method: str) -> ExtractRow | ExaiError:
        """Extract a text; a fault that callers are told is returned, as one that a task raises is logged."""
        if not self._gate.try_take():
            await self._gate.take(owner)
        try:
            return await self._extract(file, method)
        except ExaiError as fault:
            return fault
        finally:
            self._gate.give_back()

    async def _extract(self, file: FileRow, method: str) -> ExtractRow:
        """Extract a text; what its reader did not survive is remembered as any other refusal."""
        try:
            return await self._extract_text(file, method)
        except DocumentUnreadable as fault:
            if fault.why != FAILED:
                raise
        row = ExtractRow(file.sha256, method, VERSIONS[method], self._clock.utc(), refused=FAILED)
        if not await self._table.keep(row):
            raise _gone()
        return row

    async def _extract_text(self, file: FileRow, method: str) -> ExtractRow:
        row = ExtractRow(file.sha256, method, VERSIONS[method], self._clock.utc())
        async with (
            extracting(method, file.bytes, self._read(file, file.bytes)) as extraction,
            self._shelf.receiving(NOBODY, MOST_TEXT_BYTES, extraction.text(), UNBOUNDED) as (upload, part),
        ):
            verdict = await extraction.verdict()
            if verdict.refused is not None:
                row = msgspec.structs.replace(row, refused=verdict.refused)
            else:
                await self._shelf.place(upload, part, part.sha256)
                row = msgspec.structs.replace(
                    row,
                    text_sha256=part.sha256,
                    text_bytes=part.size,
                    pages=verdict.pages,
                    cut=verdict.cut,
                )
            if not await self._table.keep(row, upload.upload_id):
                raise _gone()
        return row

    async def _read(self, file: FileRow, end: int) -> AsyncGenerator[bytes, None]:
        content = await self._shelf.open(file)
        try:
            async for block in content.read(0, end):
                yield block
        except FileDamaged:
            await self._shelf.note_damage(file)
            raise
        finally:
            content.close()


async def _blocks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), BLOCK_BYTES):
        yield content[start : start + BLOCK_BYTES]


def _gone() -> FileDamaged:
    return FileDamaged("This file was removed while it was being read.")
