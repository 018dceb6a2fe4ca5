"""Pieces of a workspace with comments and docstrings blanked, so that they steer nobody who reads the code.

Lines keep their numbers. Where the file is still what it was, its comments are known from the whole of it; else from
what was gathered of it.
"""

from collections.abc import Sequence

from exai.evidence.code.syntax import Syntax
from exai.evidence.pieces import CHANGE, Piece
from exai.evidence.requests import Blanked
from exai.evidence.trees import Document, Tree

__all__ = ["blanked"]


def blanked(tree: Tree, syntax: Syntax, pieces: Sequence[Piece]) -> Blanked:
    """Return the texts of pieces without their comments, in the order of the pieces."""
    blanking = _Blanking(tree, syntax)
    return Blanked(tuple(blanking.text(piece) for piece in pieces), syntax.notes)


class _Blanking:
    def __init__(self, tree: Tree, syntax: Syntax) -> None:
        self._tree = tree
        self._syntax = syntax
        self._whole: dict[str, tuple[Document | None, tuple[str, ...]]] = {}

    def text(self, piece: Piece) -> str:
        if not piece.path or not piece.text:
            return piece.text
        lines = piece.text.removesuffix("\n").split("\n")
        is_hunk = piece.source == CHANGE
        spelled = self._hunk(piece, lines) if is_hunk else self._lines(piece.path, piece.first, lines)
        return "".join(f"{line}\n" for line in spelled)

    def _hunk(self, piece: Piece, lines: Sequence[str]) -> Sequence[str]:
        kept = [line[1:] for line in lines if line[:1] in {"+", " "}]
        gone = [line[1:] for line in lines if line[:1] == "-"]
        now = iter(self._lines(piece.path, piece.first, kept))
        before = iter(self._alone(piece.path, gone))
        return [
            line[:1] + next(before if line[:1] == "-" else now) if line[:1] in {"+", "-", " "} else line
            for line in lines
        ]

    def _lines(self, path: str, first: int, lines: Sequence[str]) -> Sequence[str]:
        document, without = self._of(path)
        there = slice(first - 1, first - 1 + len(lines))
        if document is not None and list(document.lines[there]) == list(lines):
            return without[there]
        return self._alone(path, lines)

    def _of(self, path: str) -> tuple[Document | None, tuple[str, ...]]:
        if path not in self._whole:
            document = self._tree.read(path)
            self._whole[path] = (document, () if document is None else self._without(document))
        return self._whole[path]

    def _alone(self, path: str, lines: Sequence[str]) -> tuple[str, ...]:
        if not lines:
            return ()
        text = "".join(f"{line}\n" for line in lines)
        without = self._without(self._document(path, text))
        return without if len(without) == len(lines) else tuple(lines)

    def _without(self, document: Document) -> tuple[str, ...]:
        """Blank the comments of a document before its secrets are replaced: these move what follows them."""
        data = bytearray(document.data)
        for first, last in self._syntax.of(document).comments:
            for at in range(first, last):
                if data[at] not in b"\r\n":
                    data[at] = 0x20
        return self._document(document.path, data.decode(errors="replace")).lines

    def _document(self, path: str, text: str) -> Document:
        return Document(path, text.encode(errors="replace"), text, keeps_secrets=self._tree.keeps_secrets)
