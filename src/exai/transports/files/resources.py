"""Stored files as resources of MCP: `exai://files/ID`, listed and read by their owner."""

import base64

import mcp_types as types

from exai.files.checks import text_of
from exai.files.documents.lines import StoredText
from exai.files.documents.pages import page_of
from exai.files.faults import FileDamaged, FileTooLarge, UnknownFile
from exai.files.kinds import TEXT
from exai.files.store.handles import FILE_URIS, LINES_URIS, uri_of, uri_parts
from exai.files.store.shelf import Shelf
from exai.storage.files.tables import FileRow
from exai.transports.resources.kind import Content

__all__ = ["FileResources"]

LARGEST = 2**20
"""What one reading returns, in bytes; a client holds it in memory several times over."""
TEXTS = frozenset({"text", "empty"})


class FileResources:
    """Stored files."""

    prefix = FILE_URIS.removesuffix("{id}")
    templates = (
        types.ResourceTemplate(
            uri_template=FILE_URIS,
            name="file",
            title="A stored file",
            description="Up to 1 MiB, text or base64.",
        ),
        types.ResourceTemplate(
            uri_template=LINES_URIS,
            name="lines",
            title="Lines of a stored file",
            description="Numbered; of PDF and Office documents too.",
            mime_type=TEXT.media_type,
        ),
    )

    def __init__(self, shelf: Shelf, text: StoredText) -> None:
        self._shelf = shelf
        self._text = text

    async def page(self, owner: str, most: int, after: str | None) -> list[types.Resource]:
        """List some of an owner's files, newest first.

        Raises:
            UnknownFile: he never had one with the id `after`.
        """
        return [_resource(row) for row in await self._shelf.newest(owner, most, after=after)]

    async def read(self, owner: str, uri: str) -> Content:
        """Read one of the owner's files, or lines of it: text as text, anything else in base64.

        Raises:
            UnknownFile: the owner has none at this address.
            ToolFault: it is too large, damaged, or has no such lines.
        """
        named = uri_parts(uri)
        if named is None:
            raise UnknownFile(f"Resources here are {FILE_URIS}; `resources/list` has yours.")
        if named.lines is None:
            return await self._whole(uri, await self._shelf.get(owner, named.file_id))
        text = await self._lines(owner, named.file_id, *named.lines)
        return types.TextResourceContents(uri=uri, mime_type=TEXT.media_type, text=text)

    async def ids(self, owner: str, begin: str, most: int) -> list[str]:
        """List the latest of the owner's files whose ids begin so."""
        rows = await self._shelf.newest(owner, most)
        return [row.file_id for row in rows if row.file_id.startswith(begin)]

    async def _lines(self, owner: str, file_id: str, first: int, last: int) -> str:
        """Read numbered lines, and say in a line of its own what of them was left out."""
        lines = await self._text.read(owner, file_id, first, last)
        page = page_of(lines)
        said = [] if page.note is None else [page.note]
        if lines.next_line is not None:
            said.append(f"Goes on at {uri_of(file_id)}/lines/{lines.next_line}-{min(last, lines.total)}.")
        return page.lines + (f"[{' '.join(said)}]\n" if said else "")

    async def _whole(self, uri: str, row: FileRow) -> Content:
        if row.bytes > LARGEST:
            raise _too_large(row)
        opened = await self._shelf.open(row)
        try:
            content = b"".join([block async for block in opened.read(0, opened.size)])
        except FileDamaged:
            await self._shelf.note_damage(row)
            raise
        finally:
            opened.close()
        text = text_of(content) if row.kind in TEXTS else None
        if text is not None:
            return types.TextResourceContents(uri=uri, mime_type=row.media_type, text=text)
        blob = base64.b64encode(content).decode()
        return types.BlobResourceContents(uri=uri, mime_type=row.media_type, blob=blob)


def _resource(row: FileRow) -> types.Resource:
    return types.Resource(
        uri=uri_of(row.file_id),
        name=row.name,
        mime_type=row.media_type,
        size=row.bytes,
        annotations=types.Annotations(last_modified=row.created_at.isoformat(timespec="seconds")),
    )


def _too_large(row: FileRow) -> FileTooLarge:
    return FileTooLarge(
        f"This file has {row.bytes:,} bytes, and a resource may have {LARGEST:,}. Read a text by lines with the tool "
        f"`files` (action read, id {row.file_id}); GET /files/{row.file_id}/content at EXAI's MCP port has all bytes."
    )
