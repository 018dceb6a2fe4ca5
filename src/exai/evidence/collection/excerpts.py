"""Pieces made of documents: whole files, parts with names, lines around a place, outlines."""

from exai.evidence.code.syntax import Parsed
from exai.evidence.pieces import Piece, text_piece
from exai.evidence.requests import Symbol
from exai.evidence.trees import Document

__all__ = ["Excerpts"]

WHOLE_LINES = 150
AROUND_LINES = 25
HEAD_LINES = 40
CLASS_HEAD_LINES = 25
OUTLINE_SYMBOLS = 150


class Excerpts:
    """Makes pieces of one document, for one source."""

    def __init__(
        self, source: str, document: Document, parsed: Parsed, most_lines: int, rev: str = ""
    ) -> None:
        self.document = document
        self.parsed = parsed
        self._source = source
        self._most = most_lines
        self._rev = rev

    @property
    def is_small(self) -> bool:
        """Whether it is shown whole rather than in parts."""
        return len(self.document.lines) <= min(WHOLE_LINES, self._most)

    def lines(self, first: int, last: int, why: str) -> Piece:
        """Make a piece of lines, as many as one piece may have."""
        total = len(self.document.lines)
        first = min(max(first, 1), max(total, 1))
        last = min(last, total, first + self._most - 1)
        return Piece(
            source=self._source,
            path=self.document.path,
            first=first,
            last=last,
            sha256=self.document.sha256,
            text=self.document.text(first, last),
            why=why,
            rev=self._rev,
            total=total,
        ).counted()

    def whole(self, why: str) -> Piece:
        """Make a piece of the file, as far as one piece goes."""
        return self.lines(1, len(self.document.lines), why)

    def symbol(self, symbol: Symbol, why: str, line: int = 0) -> Piece:
        """Make a piece of a part; of a long one what stands around a line of it."""
        if symbol.last - symbol.first < self._most:
            return self.lines(symbol.first, symbol.last, why)
        middle = line or symbol.first
        first = max(symbol.first, middle - self._most // 2)
        return self.lines(first, min(symbol.last, first + self._most - 1), why)

    def around(self, line: int, why: str) -> Piece:
        """Make a piece of the part that has a line, or of the lines around it."""
        symbol = self.parsed.enclosing(line)
        if symbol is not None and symbol.kind != "heading":
            return self.symbol(symbol, why, line)
        return self.lines(line - AROUND_LINES, line + AROUND_LINES, why)

    def head(self, why: str) -> Piece | None:
        """Make a piece of what stands before the first part, where imports are."""
        first = self.parsed.symbols[0].first if self.parsed.symbols else HEAD_LINES + 1
        last = min(first - 1, HEAD_LINES)
        return self.lines(1, last, why) if last >= 1 else None

    def class_head(self, symbol: Symbol, why: str) -> Piece | None:
        """Make a piece of the beginning of what a part is in, such as the fields of its class."""
        outer = self._outer(symbol)
        if outer is None:
            return None
        inner = next((each for each in self.parsed.symbols if each.first > outer.first), symbol)
        last = min(inner.first - 1, outer.first + CLASS_HEAD_LINES - 1)
        return self.lines(outer.first, max(last, outer.first), why)

    def outline(self, why: str) -> Piece | None:
        """Make a piece that lists the parts of a file with their lines."""
        symbols = self.parsed.symbols[:OUTLINE_SYMBOLS]
        rows = [f"{each.kind} {each.qualified}, lines {each.first}-{each.last}" for each in symbols]
        return text_piece("outline", self.document.path, rows, why, self._rev) if rows else None

    def _outer(self, symbol: Symbol) -> Symbol | None:
        around = [
            each
            for each in self.parsed.symbols
            if each.first < symbol.first and each.last >= symbol.last and each != symbol
        ]
        return around[-1] if around else None
