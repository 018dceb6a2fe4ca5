"""A page of a stored file's text, as HTTP, commands and tools show it."""

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


def page_of(lines: Lines, most: int | None = None) -> TextPage:
    """Show lines that were read, of which as many as have `most` characters together, but at least one.

    One that is longer by itself is cut.
    """
    shown, is_cut = _within(lines.lines, most)
    last = lines.first + len(shown) - 1
    return TextPage(
        id=lines.file.file_id,
        from_line=lines.first,
        to_line=last,
        total_lines=lines.total,
        next_line=last + 1 if last < lines.total else None,
        note=_note(lines, is_cut=is_cut or lines.is_cut),
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


def _within(lines: tuple[str, ...], most: int | None) -> tuple[tuple[str, ...], bool]:
    if most is None:
        return lines, False
    left = most
    for count, line in enumerate(lines):
        left -= len(line) + 1
        if left < 0:
            return ((line[:most],), True) if count == 0 else (lines[:count], False)
    return lines, False


def _note(lines: Lines, *, is_cut: bool) -> str | None:
    notes = []
    if lines.method is not None:
        pages = f", {lines.pages} pages" if lines.pages else ""
        notes.append(f"Text of the document ({lines.method}{pages}).")
    if lines.cut is not None:
        notes.append(f"Not all of it: {lines.cut}")
    if is_cut:
        notes.append("The end of this long line is left out.")
    return " ".join(notes) or None
