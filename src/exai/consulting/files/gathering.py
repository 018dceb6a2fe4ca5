"""Gathers what a call names as files: paths, folders, handles of stored files; text, documents and pictures.

Kind is judged by content, and size is looked at before anything is read. What a path names and is too large to be read
into memory, or is a document, is stored for its caller first, as `files put` would, and read from the store.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import PurePath

from exai import config
from exai.auth import scopes
from exai.callers import Caller
from exai.consulting.files.gathered import AttachedItem, Gathered, LeftOut
from exai.consulting.files.named_roots import roots_named_to
from exai.consulting.files.provider_reading import READER, ProviderReader, UnreadDocument, unshown_scan
from exai.consulting.files.redaction import RedactedText
from exai.consulting.files.text_items import MemoryText, ReadableText, StoredSource, TextItem, Whole
from exai.errors import FileRefused, ProviderFault, ScopeMissing
from exai.files.checks import secret_kind, text_of
from exai.files.documents.lines import Lines, StoredText
from exai.files.faults import NoText, SecretFound, SecretsUnchecked, UnknownFile, UnknownTree
from exai.files.kinds import DOCUMENTS, VIDEOS
from exai.files.paths.folders import FolderFiles
from exai.files.paths.opening import shown
from exai.files.paths.reader import FileReader, PathLook
from exai.files.paths.storing import PathStore
from exai.files.secrets.checks import SecretCheck
from exai.files.secrets.places import Place, redacted
from exai.files.snapshots.snapshots import Snapshots
from exai.files.store.handles import FileUri, uri_parts
from exai.files.store.shelf import Shelf
from exai.messages import Attachment, Image
from exai.providers.catalog import Model
from exai.providers.remote_files.faults import FileTooLargeForProvider, FileUnreadable, ProviderFilesFull
from exai.providers.remote_files.stored_source import StoredSource as StoredFileSource
from exai.storage.files.tables import FileRow

__all__ = ["FileSources"]

Hold = Callable[[int], None]

PICTURES = frozenset({"png", "jpeg", "gif", "webp"})
READ_BY_PROVIDERS = frozenset({"pdf", "docx", "xlsx", "pptx"})
_HANDLE = re.compile(r"file_[0-9A-Za-z]{1,64}")
_TREE = re.compile(r"tree_[0-9A-Za-z]{1,64}")
_TEXTS = frozenset({"text", "empty", "binary"})
"""Kinds that are read as text by path; what is binary behind its beginning is refused there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSources:
    """Where files are read from that callers name."""

    reader: FileReader
    paths: PathStore
    shelf: Shelf
    snapshots: Snapshots
    text: StoredText
    secrets: SecretCheck
    by_provider: ProviderReader | None
    """Has documents read by providers; `None`: nothing is sent to be read, and scans are refused."""
    settings: config.Files

    async def gather(
        self,
        caller: Caller,
        names: Sequence[str],
        images: Sequence[str],
        hold: Hold,
        *,
        send_secrets: bool = False,
        reads_here: bool = True,
        numbered_after: int = 0,
    ) -> Gathered:
        """Read files and pictures in the order in which they are named; all or none.

        `hold` is told of the bytes of each, and refuses what is too much. Unless `reads_here`, documents are left to
        the provider that answers. Their ids follow that number.

        Raises:
            FileRefused: one of them may not or cannot be read, or more than the limits allow.
            ScopeMissing: a stored file is named without the scope for that.
            ToolFault: the store's faults, and those of documents.
        """
        if not names and not images:
            return Gathered()
        found = Gathered(numbered_after=numbered_after)
        gathering = _Gathering(
            self, caller, hold, send_secrets=send_secrets, reads_here=reads_here, found=found
        )
        for name in names:
            await gathering.add(name)
        await gathering.add_images(images)
        return gathering.found

    async def read_unread(
        self,
        found: Gathered,
        caller: Caller,
        hold: Hold,
        model: Model,
        *,
        deadline: float,
        send_secrets: bool,
    ) -> None:
        """Add the documents that were left to the model that answers; raises what `ProviderReader.read` does."""
        if not found.unread:
            return
        gathering = _Gathering(self, caller, hold, send_secrets=send_secrets, found=found)
        for document in found.unread:
            await gathering.add_unread(document, model, deadline)


class _Gathering:
    """The files of one call, as they are read."""

    def __init__(
        self,
        sources: FileSources,
        caller: Caller,
        hold: Hold,
        *,
        send_secrets: bool,
        reads_here: bool = True,
        found: Gathered | None = None,
    ) -> None:
        self._from = sources
        self._reads_here = reads_here
        self._send_secrets = send_secrets
        self._caller = caller
        self._hold = hold
        self._room = sources.settings.max_total_bytes
        self.found = Gathered() if found is None else found

    async def add(self, name: str) -> None:
        """Read a file, or the files of a folder or of a snapshot."""
        if _TREE.fullmatch(name.strip()):
            await self._add_snapshot(name.strip())
            return
        uri = uri_parts(name) or (FileUri(name.strip(), None) if _HANDLE.fullmatch(name.strip()) else None)
        if uri is not None:
            await self._add_stored(uri)
            return
        most = self._from.settings.max_files
        with roots_named_to(self._caller, self._from.reader.roots):
            look = await self._from.reader.look(
                self._caller.subject, name, most - len(self.found.texts), with_secrets=self._send_secrets
            )
        if isinstance(look, FolderFiles):
            await self._add_folder(look)
        elif look.kind.name in PICTURES:
            await self.add_images([name])
        elif (
            look.kind.name in DOCUMENTS
            or look.kind.name in VIDEOS
            or (look.kind.name == "text" and self._is_large(look))
        ):
            row = await self._from.paths.put(self._caller.subject, name)
            self.found.notes.append(
                f"`{shown(look.path)}` is kept as {row.file_id}, by which it can be named."
            )
            await self._add_kept(row, look.path, None)
        elif look.kind.name in _TEXTS and not self._is_large(look):
            await self._add_small(look)
        else:
            raise FileRefused(
                f"`{shown(look.path)}` is of kind {look.kind.name}, which models are not shown; name text files, PDF, "
                "DOCX, XLSX, PPTX, pictures, videos, or folders of text files."
            )
        self._check_count()

    async def add_images(self, sources: Sequence[str]) -> None:
        """Read pictures, by path, handle, or as they are."""
        for source in sources:
            before = len(self.found.images)
            number = len(self.found.images) + 1
            if number > (most := self._from.settings.max_images):
                raise FileRefused(f"{number} images are too many: one call takes {most}; name fewer.")
            uri = uri_parts(source) or (
                FileUri(source.strip(), None) if _HANDLE.fullmatch(source.strip()) else None
            )
            if uri is not None:
                await self._add_picture(await self._stored(uri.file_id))
            else:
                with roots_named_to(self._caller, self._from.reader.roots):
                    self._take_pictures(await self._from.reader.read_images(self._caller.subject, [source]))
            for image in self.found.images[before:]:
                await self._from.secrets.check_raw(
                    image.data, f"Image {number}", sends_secrets=self._send_secrets
                )

    async def _add_folder(self, folder: FolderFiles) -> None:
        self.found.left_out += (LeftOut(path, why) for path, why in folder.left_out)
        for path in folder.paths:
            try:
                look = await self._from.reader.look(
                    self._caller.subject, path, 0, with_secrets=self._send_secrets
                )
                if isinstance(look, FolderFiles) or look.kind.name not in {"text", "empty"}:
                    kind = "folder" if isinstance(look, FolderFiles) else look.kind.name
                    self.found.left_out.append(LeftOut(path, f"of kind {kind}; name it by itself"))
                elif self._is_large(look):
                    self.found.left_out.append(
                        LeftOut(path, "larger than `files.max_file_bytes`; name it by itself")
                    )
                else:
                    await self._add_small(look)
            except FileRefused as fault:
                if self._room < 0:
                    raise
                self.found.left_out.append(LeftOut(path, str(fault)))

    async def _add_snapshot(self, tree_id: str) -> None:
        self._check_scope()
        for path, row in await self._snapshot_files(tree_id):
            if row.kind not in {"text", "empty"}:
                self.found.left_out.append(LeftOut(path, f"of kind {row.kind}; store it by itself"))
            elif row.bytes > self._from.settings.max_file_bytes:
                self.found.left_out.append(
                    LeftOut(path, "larger than `files.max_file_bytes`; store it by itself")
                )
            elif (text := text_of(await self._content(row))) is None:
                self.found.left_out.append(LeftOut(path, "no text"))
            elif not self._send_secrets and (kind := secret_kind(PurePath(path), text)) is not None:
                self.found.left_out.append(LeftOut(path, f"looks as if it held {kind}"))
            else:
                await self._add_lines_unless_refused(path, row.sha256, text)

    async def _snapshot_files(self, tree_id: str) -> Sequence[tuple[str, FileRow]]:
        most = self._from.settings.max_files - len(self.found.texts)
        try:
            return await self._from.snapshots.files(self._caller.subject, tree_id, most)
        except UnknownTree:
            raise UnknownTree(
                f"You have no snapshot `{shown(tree_id)}`. List your snapshots to see what you have."
            ) from None

    async def _add_lines_unless_refused(self, path: str, sha256: str, text: str) -> None:
        try:
            await self._add_lines(path, sha256, text)
        except FileRefused as fault:
            if self._room < 0:
                raise
            self.found.left_out.append(LeftOut(path, str(fault)))

    async def _content(self, row: FileRow) -> bytes:
        content = await self._from.shelf.open(row)
        async with aclosing(content.read(0, row.bytes)) as blocks:
            return b"".join([block async for block in blocks])

    def _is_large(self, look: PathLook) -> bool:
        return look.size > self._from.settings.max_file_bytes

    async def _add_small(self, look: PathLook) -> None:
        (read,) = await self._from.reader.read_texts(
            self._caller.subject, [look.path], with_secrets=self._send_secrets
        )
        await self._add_lines(look.path, read.sha256, read.text)

    async def _add_lines(self, path: str, sha256: str, text: str) -> None:
        self._take(len(text.encode(errors="replace")), path)
        lines = tuple(_lines(text))
        places = await self._from.secrets.of_lines(lines)
        source = self._without(places, MemoryText(lines), path)
        lines = await source.lines(1, len(lines))
        whole = await asyncio.to_thread(Whole.of, 1, lines)
        self.found.texts.append(
            TextItem(
                id=self.found.next_id(),
                name=path,
                sha256=sha256,
                kind="text",
                first=1,
                last=len(lines),
                total=len(lines),
                source=source,
                whole=whole,
                secrets=places,
            )
        )

    async def _add_stored(self, uri: FileUri) -> None:
        row = await self._stored(uri.file_id)
        if row.kind in PICTURES:
            await self._add_picture(row)
            return
        if not self._send_secrets and (kind := secret_kind(PurePath(row.name))) is not None:
            raise FileRefused(
                f"`{shown(row.name)}` looks as if it held {kind}, which are not sent to a provider."
            )
        await self._add_kept(row, f"{row.name} ({row.file_id})", uri.lines)
        self._check_count()

    async def _add_kept(self, row: FileRow, name: str, wanted: tuple[int, int] | None) -> None:
        """Add a stored text, document or video."""
        if row.kind in VIDEOS:
            await self._attach(row, name)
        elif row.kind in READ_BY_PROVIDERS and not self._reads_here and self._from.by_provider is not None:
            self.found.unread.append(UnreadDocument(row, name, wanted, is_scan=False))
        else:
            await self._add_text(row, name, wanted)

    async def _attach(self, row: FileRow, name: str) -> None:
        source = StoredFileSource(self._from.shelf, self._caller.subject, row)
        await self._from.secrets.check_blocks(
            source.blocks(), name, row.sha256, sends_secrets=self._send_secrets
        )
        self.found.attached.append(
            AttachedItem(self.found.next_id(), row.sha256, Attachment(name, row.kind, source))
        )

    async def _stored(self, file_id: str) -> FileRow:
        self._check_scope()
        try:
            return await self._from.shelf.get(self._caller.subject, file_id)
        except UnknownFile:
            raise UnknownFile(
                f"You have no stored file `{shown(file_id)}`. List your files to see what you have."
            ) from None

    def _check_scope(self) -> None:
        if not self._caller.may(scopes.FILES):
            raise ScopeMissing(
                f"To name stored files, a token with the scope `{scopes.FILES}` is needed.",
                scope=scopes.FILES,
            )

    async def _add_text(
        self, row: FileRow, name: str, wanted: tuple[int, int] | None, by: str | None = None
    ) -> None:
        source = StoredSource(self._from.text, self._caller.subject, row.file_id, by)
        first, last = wanted or (1, None)
        try:
            read = await source.read(first, last)
        except NoText as fault:
            if fault.why != "no_text" or self._from.by_provider is None or self._is_unread(row):
                raise
            self.found.unread.append(UnreadDocument(row, name, wanted, is_scan=True))
            return
        end = min(read.total, last or read.total)
        places = await self._from.secrets.of_stored(self._caller.subject, row.file_id, by)
        readable = self._without(places, source, name)
        lines = await self._all_lines(source, read, end)
        if lines is not None and readable is not source:
            lines = redacted(first, lines, places)
        whole = None
        if lines is not None:
            whole = await asyncio.to_thread(Whole.of, first, lines)
            self._room -= len(whole.body.text)
            self._hold(len(whole.body.text))
        self.found.texts.append(
            TextItem(
                id=self.found.next_id(),
                name=name,
                sha256=row.sha256,
                kind=row.kind,
                first=first,
                last=end,
                total=read.total,
                source=readable,
                whole=whole,
                secrets=tuple(each for each in places if first <= each.end_line and each.line <= end),
                file_id=row.file_id,
                method=read.method,
                pages=read.pages,
                cut=read.cut,
            )
        )

    async def add_unread(self, document: UnreadDocument, model: Model, deadline: float) -> None:
        """Add a document as the model is shown it: as it is, by its provider's reading, or by ours."""
        if (why := await self._stays_here(document)) is not None:
            name = shown(document.name)
            self.found.notes.append(f"`{name}` {why}, so it was read here and not sent as it is.")
            await self._add_text(document.file, document.name, document.lines)
            return
        if document.lines is None and model.takes(document.file.kind, document.file.bytes):
            await self._attach(document.file, document.name)
            return
        by = await self._reader_of(document, model, deadline)
        try:
            await self._add_text(document.file, document.name, document.lines, by)
        except NoText as fault:
            if fault.why != "no_text" or by is not None:
                raise
            raise unshown_scan(document.name) from None

    async def _stays_here(self, document: UnreadDocument) -> str | None:
        """Why a document may not leave as it is, although it can be read here; `None`: it may.

        Raises:
            SecretFound, SecretsUnchecked: it may not, and has no text here.
        """
        owner, file, name = self._caller.subject, document.file, document.name
        try:
            await self._from.secrets.check_document(owner, file, name, sends_secrets=self._send_secrets)
        except (SecretFound, SecretsUnchecked) as fault:
            if document.is_scan:
                raise
            is_found = isinstance(fault, SecretFound)
            return "holds what looks like a secret" if is_found else "could not be looked through for secrets"
        return None

    async def _reader_of(self, document: UnreadDocument, model: Model, deadline: float) -> str | None:
        """Have a document read by the provider that answers; who did it, or `None` where it is to be read here."""
        reader = self._from.by_provider
        if reader is None or (model.provider != READER and not document.is_scan):
            return None
        try:
            await reader.read(
                self._caller, document, model.provider, deadline=deadline, send_secrets=self._send_secrets
            )
        except (ProviderFault, FileUnreadable, FileTooLargeForProvider, ProviderFilesFull) as fault:
            if document.is_scan:
                raise
            self.found.notes.append(
                f"{READER.capitalize()} did not read `{shown(document.name)}` ({fault.code}), so it was read here."
            )
            return None
        return READER

    def _is_unread(self, row: FileRow) -> bool:
        return any(document.file.file_id == row.file_id for document in self.found.unread)

    async def _all_lines(self, source: StoredSource, read: Lines, end: int) -> tuple[str, ...] | None:
        """Read lines to an end; `None` where they are more than one file, or all, may be in memory."""
        most = min(self._room, self._from.settings.max_file_bytes)
        lines = list(read.lines)
        size = sum(map(len, lines)) + len(lines)
        while read.next_line is not None and not read.is_cut and size <= most:
            read = await source.read(read.next_line, end)
            lines += read.lines
            size += sum(map(len, read.lines)) + len(read.lines)
        return tuple(lines) if size <= most and not read.is_cut else None

    async def _add_picture(self, row: FileRow) -> None:
        most = self._from.settings.max_image_bytes
        if row.kind not in PICTURES or row.bytes > most:
            raise FileRefused(
                f"{row.file_id} is no picture of at most {most} bytes; PNG, JPEG, GIF and WebP are shown to models."
            )
        data = await self._content(row)
        name = f"Image {len(self.found.images) + 1} ({row.file_id})"
        picture = await self._from.reader.check_picture(self._caller.subject, data, row.sha256, name)
        self._take_pictures([replace(picture, file_owner=self._caller.subject)])

    def _take_pictures(self, pictures: Sequence[Image]) -> None:
        for picture in pictures:
            self._hold(len(picture.data))
            self.found.images.append(picture)

    def _without(self, places: tuple[Place, ...], source: ReadableText, name: str) -> ReadableText:
        """Return a text without its secrets, unless they are to be sent.

        Raises:
            SecretFound: it is to be blocked.
        """
        if not places or self._send_secrets:
            return source
        self._from.secrets.refuse(name, places)
        return source if self._from.secrets.mode == "warn" else RedactedText(source, places)

    def _take(self, size: int, path: str) -> None:
        self._hold(size)
        self._room -= size
        if self._room < 0:
            raise FileRefused(
                f"The files up to `{shown(path)}` are together larger than one call may read "
                f"({self._from.settings.max_total_bytes} bytes); name fewer or smaller ones."
            )

    def _check_count(self) -> None:
        found, most = self.found, self._from.settings.max_files
        count = len(found.texts) + len(found.attached) + len(found.unread)
        if count > most:
            raise FileRefused(f"{count} files are too many: one call may name {most}; name fewer.")


def _lines(text: str) -> list[str]:
    """Split a text as the store does: at line feeds, with the carriage return before one."""
    lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
    return lines[:-1] if lines[-1] == "" else lines
