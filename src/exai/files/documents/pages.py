"""A page of a stored file's text, as HTTP, commands and tools show it."""

from bisect import bisect_right
from typing import Any

import msgspec

from exai.files.documents.lines import Lines
from exai.files.documents.numbering import numbered

__all__ = ["TextPage", "described", "page_of"]


class TextPage(msgspec.Struct, frozen=True, kw_only=True):
    """Numbered lines of a file."""

    id: str
    from_line: int
    to_line: int
    total_lines: int
    next_line: int | None
    """Where the text goes on; `None` at its end."""
    note: str | None
    """What is not as usual: where the text was extracted, or is not whole."""
    lines: str


def page_of(lines: Lines, most: int | None = None, how_to_see_more: str = "") -> TextPage:
    """Show lines that were read, of which as many as take `most` bytes together as they are sent, but at least one.

    They are sent with their numbers, as a text of JSON. One that is longer by itself is cut, and a note says
    `how_to_see_more` of it.
    """
    shown, is_cut = _within(lines, most)
    last = lines.first + len(shown) - 1
    return TextPage(
        id=lines.file.file_id,
        from_line=lines.first,
        to_line=last,
        total_lines=lines.total,
        next_line=last + 1 if last < lines.total else None,
        note=_note(lines, is_cut=is_cut or lines.is_cut, how_to_see_more=how_to_see_more if is_cut else ""),
        lines=numbered(lines.first, shown).text,
    )


def described(lines: Lines) -> dict[str, Any]:
    """Describe lines that were read as HTTP does."""
    return {
        "id": lines.file.file_id,
        "from": lines.first,
        "to": lines.last,
        "lines": lines.total,
        "next": lines.next_line,
        "text": lines.numbered(),
        "is_cut": lines.is_cut,
        "extracted_by": lines.method,
        "pages": lines.pages,
        "not_whole": lines.cut,
    }


def _within(lines: Lines, most: int | None) -> tuple[tuple[str, ...], bool]:
    shown = lines.lines
    if most is None:
        return shown, False
    left = most
    for count, line in enumerate(shown):
        left -= _sent_bytes(lines.first + count, line)
        if left < 0:
            return (shown[:count], False) if count else ((_beginning(lines.first, line, most),), True)
    return shown, False


def _sent_bytes(number: int, line: str) -> int:
    return len(msgspec.json.encode(numbered(number, (line,)).text)) - len('""')


def _beginning(number: int, line: str, most: int) -> str:
    """Return the longest beginning of a line that takes at most so many bytes."""
    longest = bisect_right(range(len(line)), most, key=lambda count: _sent_bytes(number, line[:count]))
    return line[: max(longest - 1, 0)]


def _note(lines: Lines, *, is_cut: bool, how_to_see_more: str) -> str | None:
    notes = []
    if lines.method is not None:
        pages = f", {lines.pages} pages" if lines.pages else ""
        notes.append(f"Text of the document ({lines.method}{pages}).")
    if lines.cut is not None:
        notes.append(f"Not all of it: {lines.cut}")
    if is_cut:
        notes.append(f"The end of this long line is left out. {how_to_see_more}".rstrip())
    return " ".join(notes) or None
