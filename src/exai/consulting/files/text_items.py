"""Texts that a call names, each with an id by which the model cites it and reads more of it."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from exai.conversations.estimates import estimate_tokens
from exai.files.documents.lines import Lines, Matches, StoredText
from exai.files.documents.numbering import Numbered, numbered
from exai.files.documents.search import LinePattern
from exai.files.secrets.places import Place

__all__ = ["MemoryText", "ReadableText", "StoredSource", "TextItem", "Whole"]

MATCH_CHARACTERS = 400


class ReadableText(Protocol):
    """A text of which a model may read more than it was shown."""

    async def lines(self, first: int, last: int) -> tuple[str, ...]:
        """Read lines, or as many of them as one reading returns."""
        ...

    async def search(self, pattern: LinePattern, first: int, most: int) -> Matches:
        """Find lines."""
        ...


class MemoryText:
    """A text that was read from a path."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        self._lines = lines

    async def lines(self, first: int, last: int) -> tuple[str, ...]:
        """Return lines."""
        return self._lines[first - 1 : last]

    async def search(self, pattern: LinePattern, first: int, most: int) -> Matches:
        """Find lines, in a thread."""
        return await asyncio.to_thread(self._search, pattern, first, most)

    def _search(self, pattern: LinePattern, first: int, most: int) -> Matches:
        found: list[tuple[int, str]] = []
        for number, line in enumerate(self._lines[first - 1 :], start=first):
            if pattern.places(line.encode(errors="replace"), 1):
                if len(found) == most:
                    return Matches(tuple(found), has_more=True)
                found.append((number, line[:MATCH_CHARACTERS]))
        return Matches(tuple(found), has_more=False)


class StoredSource:
    """A text of the store."""

    def __init__(self, text: StoredText, owner: str, file_id: str, by: str | None = None) -> None:
        """`by` is the provider whose reading of a document is preferred."""
        self._text = text
        self._by = by
        self._owner = owner
        self._file_id = file_id

    async def read(self, first: int, last: int | None) -> Lines:
        """Read lines, with what is known of the file."""
        return await self._text.read(self._owner, self._file_id, first, last, by=self._by)

    async def lines(self, first: int, last: int) -> tuple[str, ...]:
        """Read lines."""
        return (await self.read(first, last)).lines

    async def search(self, pattern: LinePattern, first: int, most: int) -> Matches:
        """Find lines."""
        return await self._text.search(self._owner, self._file_id, pattern, first, most, by=self._by)


@dataclass(frozen=True, slots=True)
class Whole:
    """A text as it is shown whole."""

    body: Numbered
    tokens: int

    @classmethod
    def of(cls, first: int, lines: tuple[str, ...]) -> "Whole":
        """Spell lines, and estimate what they are to a model."""
        spelled = numbered(first, lines)
        return cls(spelled, estimate_tokens(spelled.text))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextItem:
    """A text of a call, or a range of its lines."""

    id: str
    """What the model calls it, as `E3`."""
    name: str = field(repr=False)
    """The path, or the name and handle of a stored file."""
    sha256: str
    kind: str
    first: int
    last: int
    total: int
    """Lines of the whole text."""
    source: ReadableText
    whole: Whole | None
    """`None`: it is too large to be shown whole to any model."""
    secrets: tuple[Place, ...] = ()
    """Where it holds what looks like a secret."""
    file_id: str | None = None
    """Of the stored file whose text it is; `None`: it is not stored."""
    method: str | None = None
    """How it was extracted from a document."""
    pages: int = 0
    cut: str | None = None
    """Why the text is not the whole document's."""
