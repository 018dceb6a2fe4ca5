"""Stored text by lines, without having more of it in memory than a block.

A line ends with a line feed, or with a carriage return and a line feed. Lines are numbered from 1, as editors number
them. An index per content, built when it is first read and kept for the latest ones, says how many lines end before
each block of a mebibyte, so that any line is found by reading one block or two.
"""

import asyncio
import codecs
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from exai.errors import BadArguments
from exai.files.documents.extracts import Extracts, FileText
from exai.files.documents.numbering import numbered
from exai.files.documents.search import MOST_MATCHES, LinePattern
from exai.files.faults import FileDamaged
from exai.files.store.shelf import Shelf
from exai.storage.files.tables import FileRow

__all__ = ["MOST_LINES", "LineIndex", "Lines", "Matches", "StoredText"]

MOST_LINES = 2_000
"""What one reading returns."""
MOST_BYTES = 2**18
"""What one reading returns, in bytes of the text. A line that is longer is cut."""
BLOCK_BYTES = 2**20
MATCH_BYTES = 400
"""What is shown of a line that matches."""
MOST_HELD_BYTES = 8 * 2**20
"""A line that is longer is searched in parts."""
SEARCHED_BYTES = 4_096
INDEXES_KEPT = 256


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a file, one after the other."""

    file: FileRow
    first: int
    """The number of the first one."""
    lines: tuple[str, ...]
    """Without their ends. What is no UTF-8 stands as `\\xff`."""
    total: int
    """How many lines the whole text has."""
    next_line: int | None
    """The first line that was asked for and is not among them, because of the bounds of one reading; else `None`."""
    is_cut: bool = False
    """Whether the end of the only line is missing, which is longer than one reading returns."""
    method: str | None = None
    """How the text was extracted from a document; `None`: it is the file's own."""
    pages: int = 0
    """Pages, slides or sheets of the document; 0: it has none."""
    cut: str | None = None
    """Why the text is not the whole document's."""

    @property
    def last(self) -> int:
        """The number of the last one; one less than `first` where there are none."""
        return self.first + len(self.lines) - 1

    @property
    def has_more(self) -> bool:
        """Whether the text goes on behind them."""
        return self.last < self.total

    def numbered(self) -> str:
        """Spell them as models and people are shown them: each with its number, invisible characters visible."""
        return numbered(self.first, self.lines).text


@dataclass(frozen=True, slots=True)
class Matches:
    """Lines in which a pattern was found."""

    lines: tuple[tuple[int, str], ...]
    """Their numbers, and what stands around the match where they are long."""
    has_more: bool
    """Whether it stopped because they were enough."""


@dataclass(frozen=True, slots=True)
class LineIndex:
    """Where the lines of a content are."""

    ends: tuple[int, ...]
    """For each block, how many line feeds stand before its end."""
    total: int

    def block_of(self, line: int) -> int:
        """Return the block in which a line begins, or in whose last byte the line before it ends."""
        return 0 if line == 1 else bisect_left(self.ends, line - 1)

    def lines_before(self, block: int) -> int:
        """Return how many line feeds stand before a block."""
        return self.ends[block - 1] if block else 0


class StoredText:
    """Reads the text of stored files by lines: of text files, and what is extracted from PDF, DOCX, XLSX and PPTX."""

    def __init__(self, shelf: Shelf, extracts: Extracts) -> None:
        self._shelf = shelf
        self._extracts = extracts
        self._indexes: OrderedDict[str, LineIndex] = OrderedDict()

    async def read(
        self, owner: str, file_id: str, first: int = 1, last: int | None = None, *, by: str | None = None
    ) -> Lines:
        """Read the lines `first` to `last` of a file of this owner, or as many as one reading returns.

        One reading returns at most `MOST_LINES` lines and about `MOST_BYTES` bytes; `Lines.next_line` says where to go
        on. `last` may be behind the end; `None` is the end. An empty text has no lines, and is read from line 1.
        `by` is the provider whose reading of a document is preferred.

        Raises:
            UnknownFile: he has none with this id.
            BadArguments: `first` is not in the text, or `last` before it.
            NoText: a file of its kind has no text, or this document.
            DocumentUnreadable, FileTooLarge: the document cannot be read.
            FileDamaged, StoreFull, StoreUnavailable, StoreBusy, StoreFailed: the store's faults.
        """
        _check_range(first, last)
        file = await self._shelf.get(owner, file_id)
        text = await self._extracts.text_of(owner, file, by)
        try:
            return await self._read(file, text, first, last)
        except FileDamaged:
            if text.method is None:
                raise
        return await self._read(file, await self._extracts.extract_again(owner, file), first, last)

    async def text_of(self, owner: str, file_id: str, by: str | None = None) -> FileText:
        """Find the text of a file of this owner, extracted where it is a document; raises what `read` does."""
        return await self._extracts.text_of(owner, await self._shelf.get(owner, file_id), by)

    def parts_of(self, owner: str, file: FileRow) -> AsyncGenerator[bytes, None]:
        """Read all text of an owner's file that is an archive; raises what `Extracts.parts_of` does."""
        return self._extracts.parts_of(owner, file)

    async def search(
        self,
        owner: str,
        file_id: str,
        pattern: LinePattern,
        first: int = 1,
        most: int = MOST_MATCHES,
        *,
        by: str | None = None,
    ) -> Matches:
        """Find the lines from `first` on in which a pattern is found; raises what `read` does."""
        file = await self._shelf.get(owner, file_id)
        text = await self._extracts.text_of(owner, file, by)
        try:
            return await self._search(text.content, pattern, first, most)
        except FileDamaged:
            if text.method is None:
                raise
        text = await self._extracts.extract_again(owner, file)
        return await self._search(text.content, pattern, first, most)

    async def _search(self, content: FileRow, pattern: LinePattern, first: int, most: int) -> Matches:
        index = await self._index(content)
        block = index.block_of(min(first, max(index.total, 1)))
        number = index.lines_before(block) + 1
        skip = first - number
        found: list[tuple[int, str]] = []
        held = b""
        async with aclosing(self.pieces(content, block * BLOCK_BYTES)) as pieces:
            async for piece in pieces:
                start, skip = _skipped(piece, skip)
                held += piece[start:]
                number = max(number, first)
                end = held.rfind(b"\n") + 1 or (len(held) if len(held) > MOST_HELD_BYTES else 0)
                found += await asyncio.to_thread(_matches, held[:end], number, pattern, most - len(found))
                number += held.count(b"\n", 0, end)
                held = held[end:]
                if len(found) >= most:
                    return Matches(tuple(found), has_more=True)
        found += await asyncio.to_thread(_matches, held, number, pattern, most - len(found))
        return Matches(tuple(found), has_more=False)

    async def _read(self, file: FileRow, text: FileText, first: int, last: int | None) -> Lines:
        index = await self._index(text.content)
        if first > max(index.total, 1):
            raise BadArguments(f"The text has {index.total:,} lines; line {first:,} is not there.")
        end = min(index.total, last or index.total)
        wanted = min(end - first + 1, MOST_LINES)
        lines, is_cut = await self._lines(text.content, index, first, wanted)
        following = first + len(lines)
        return Lines(
            file,
            first,
            lines,
            index.total,
            following if following <= end else None,
            is_cut,
            text.method,
            text.pages,
            text.cut,
        )

    async def _index(self, content: FileRow) -> LineIndex:
        index = self._indexes.get(content.sha256)
        if index is None:
            index = await self._build(content)
            self._indexes[content.sha256] = index
            if len(self._indexes) > INDEXES_KEPT:
                self._indexes.popitem(last=False)
        self._indexes.move_to_end(content.sha256)
        return index

    async def _build(self, content: FileRow) -> LineIndex:
        """Count the lines of each block; all of the content is checked on the way."""
        ends: list[int] = []
        count = position = 0
        final = b"\n"
        async for piece in self.pieces(content, 0):
            start = 0
            while start < len(piece):
                end = min(len(piece), start + BLOCK_BYTES - position % BLOCK_BYTES)
                count += piece.count(b"\n", start, end)
                position += end - start
                start = end
                if position % BLOCK_BYTES == 0:
                    ends.append(count)
            final = piece[-1:]
        ends.append(count)
        return LineIndex(tuple(ends), count + (final != b"\n"))

    async def _lines(
        self, content: FileRow, index: LineIndex, first: int, wanted: int
    ) -> tuple[tuple[str, ...], bool]:
        """Read at most `wanted` lines; also return whether the only one was cut."""
        if wanted <= 0:
            return (), False
        block = index.block_of(first)
        skip = first - 1 - index.lines_before(block)
        held = bytearray()
        async with aclosing(self.pieces(content, block * BLOCK_BYTES)) as pieces:
            async for piece in pieces:
                start, skip = _skipped(piece, skip)
                held += piece[start:]
                if len(held) > MOST_BYTES or held.count(b"\n") >= wanted:
                    break
            else:
                held += b"\n"  # the end of the text ends its last line
        return _split(bytes(held).removeprefix(codecs.BOM_UTF8 if first == 1 else b""), wanted)

    async def pieces(self, content: FileRow, start: int = 0) -> AsyncGenerator[bytes, None]:
        """Read the bytes of a text from a place on.

        Raises:
            FileDamaged: they are missing or changed, which is noted.
            StoreUnavailable: the store fails.
        """
        opened = await self._shelf.open(content)
        try:
            async with aclosing(opened.read(start, opened.size)) as pieces:
                async for piece in pieces:
                    yield piece
        except FileDamaged:
            await self._shelf.note_damage(content)
            raise
        finally:
            opened.close()


def _matches(text: bytes, number: int, pattern: LinePattern, most: int) -> list[tuple[int, str]]:
    """Find matching lines of a piece whose first line has this number; each begins at most a bit before its match."""
    found = []
    counted = 0
    for place in pattern.places(text, most):
        number += text.count(b"\n", counted, place)
        counted = place
        begin = max(text.rfind(b"\n", 0, place) + 1, place - MATCH_BYTES // 2)
        end = text.find(b"\n", place, begin + MATCH_BYTES)
        found.append((number, _decoded(text[begin : begin + MATCH_BYTES if end < 0 else end])))
    return found


def _check_range(first: int, last: int | None) -> None:
    if first < 1:
        raise BadArguments("Lines are numbered from 1.")
    if last is not None and last < first:
        raise BadArguments(f"The last line, {last:,}, is before the first, {first:,}.")


def _skipped(piece: bytes, lines: int) -> tuple[int, int]:
    """Return where a piece goes on behind so many line feeds, and how many are left to skip in the next one."""
    start, end = 0, len(piece)
    while lines and end - start > SEARCHED_BYTES:
        middle = (start + end) // 2
        count = piece.count(b"\n", start, middle)
        if count >= lines:
            end = middle
        else:
            start, lines = middle, lines - count
    while lines:
        found = piece.find(b"\n", start)
        if found < 0:
            return len(piece), lines
        start, lines = found + 1, lines - 1
    return start, 0


def _split(text: bytes, wanted: int) -> tuple[tuple[str, ...], bool]:
    """Split bytes into whole lines within the bounds; the first is cut where it alone is beyond them."""
    lines: list[str] = []
    position = 0
    while len(lines) < wanted:
        end = text.find(b"\n", position)
        if end < 0 or end > MOST_BYTES:
            break
        lines.append(_decoded(text[position:end]))
        position = end + 1
    if lines:
        return tuple(lines), False
    return (_decoded(text[:MOST_BYTES]),), True


def _decoded(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="backslashreplace")
