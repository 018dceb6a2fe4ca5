"""Answers what a workspace is asked, in the process that reads it. Nothing is written, run or fetched."""

import codecs
import time
from collections.abc import Iterable, Iterator, Sequence

import re2
from pathspec import GitIgnoreSpec

from exai.errors import BadArguments, FileRefused
from exai.evidence.code.syntax import Syntax
from exai.evidence.requests import Found, Hit, Lines, Listed, Named, Outline, Symbol
from exai.evidence.trees import Document, Tree
from exai.files.documents.search import LinePattern
from exai.files.paths.opening import shown

__all__ = ["Reader", "word_pattern"]

MOST_LISTED = 500
MOST_LINES = 400
MOST_LINES_BYTES = 24_000
MOST_HITS = 100
SEARCH_S = 2.0
HIT_CHARACTERS = 300
MOST_NAMED = 60
MOST_OUTLINE = 400
MOST_GLOB = 500
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Reader:
    """Lists, reads, searches and outlines the files of a tree."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.syntax = Syntax()

    def list_files(self, glob: str = "") -> Listed:
        """List files with their sizes, by their paths."""
        paths = self._matching(glob)
        left_out = tuple((each.path, each.why) for each in self.tree.left_out[:MOST_LISTED])
        listed = tuple((path, self.tree.files[path]) for path in paths[:MOST_LISTED])
        return Listed(listed, len(paths), left_out)

    def read_lines(self, path: str, first: int = 1, last: int = 2**31) -> Lines:
        """Read lines of a file, at most so many and so long together.

        Raises:
            FileRefused: it is not there, or no text.
            BadArguments: it has no such line.
        """
        document = self.document(path)
        total = len(document.lines)
        if last < first or first > max(total, 1):
            raise BadArguments(
                f"`{shown(path)}` has {total:,} lines; lines {first:,} to {last:,} are not there."
            )
        lines: list[str] = []
        size = 0
        for line in document.lines[first - 1 : min(last, first + MOST_LINES - 1)]:
            size += len(line.encode(errors="replace")) + 1
            if size > MOST_LINES_BYTES and lines:
                break
            lines.append(line[:MOST_LINES_BYTES])
        return Lines(document.path, first, tuple(lines), total, document.sha256)

    def search(self, text: str = "", pattern: str = "", glob: str = "") -> Found:
        """Find lines that have a text, or match a pattern.

        Raises:
            BadArguments: neither or both are given, or the pattern is none.
        """
        if bool(text) == bool(pattern):
            raise BadArguments("Give either `text`, which is searched for as it is, or `pattern`.")
        searched = LinePattern(pattern or re2.escape(text))
        until = time.monotonic() + SEARCH_S
        hits: list[Hit] = []
        for document in self.documents(self._matching(glob), searched):
            hits += _hits(document, searched, MOST_HITS + 1 - len(hits))
            if len(hits) > MOST_HITS or time.monotonic() > until:
                return Found(tuple(hits[:MOST_HITS]), has_more=True)
        return Found(tuple(hits), has_more=False)

    def outline(self, path: str) -> Outline:
        """List the named parts of a file.

        Raises:
            FileRefused: it is not there, or no text.
        """
        parsed = self.syntax.of(self.document(path))
        symbols = parsed.symbols
        return Outline(path, parsed.language, symbols[:MOST_OUTLINE], has_more=len(symbols) > MOST_OUTLINE)

    def symbol(self, name: str) -> Named:
        """Find the definitions of a name, and the lines that have it.

        Raises:
            BadArguments: the name is empty.
        """
        name = name.strip().rpartition(".")[2]
        if not name:
            raise BadArguments("Give the name of a function, class or other part.")
        definitions: list[tuple[str, Symbol]] = []
        references: list[Hit] = []
        until = time.monotonic() + SEARCH_S
        word = LinePattern(word_pattern([name]))
        has_more = False
        for document in self.documents(self.tree.files, word):
            hits = _hits(document, word, MOST_NAMED + 1)
            found = [each for each in self.syntax.of(document).symbols if each.name == name]
            defined = {each.first for each in found}
            definitions += ((document.path, each) for each in found)
            references += (hit for hit in hits if hit.line not in defined)
            has_more = has_more or time.monotonic() > until
            if has_more:
                break
        room = max(0, MOST_NAMED - len(definitions))
        has_more = has_more or len(references) > room
        return Named(tuple(definitions[:MOST_NAMED]), tuple(references[:room]), has_more)

    def document(self, path: str) -> Document:
        """Read a text file of the tree.

        Raises:
            FileRefused: it is not there, or no text.
        """
        document = self.tree.read(path.removeprefix("./"))
        if document is None:
            raise FileRefused(
                f"The workspace has no text file `{shown(path)}` that may be read; `list_files` lists what it has."
            )
        return document

    def documents(self, paths: Iterable[str], pattern: LinePattern) -> Iterator[Document]:
        """Read the text files among paths that match a pattern, one after the other."""
        for path in paths:
            data = self.tree.bytes_of(path)
            # What is not in UTF-8 is looked at once it is decoded.
            if data is None or not (data.startswith(_WIDE) or pattern.places(data, 1)):
                continue
            document = self.tree.read(path)
            if document is not None:
                yield document

    def _matching(self, glob: str) -> list[str]:
        if len(glob) > MOST_GLOB:
            raise BadArguments(f"`glob` is longer than {MOST_GLOB} characters.")
        if not glob.strip():
            return list(self.tree.files)
        spec = GitIgnoreSpec.from_lines([glob.strip().removeprefix("./")])
        return [path for path in self.tree.files if spec.match_file(path)]


def word_pattern(names: Sequence[str]) -> str:
    """Return a pattern of RE2 that finds names where they stand as words."""
    return r"(?:^|[^\w$])(?:" + "|".join(re2.escape(name) for name in names) + r")(?:[^\w$]|$)"


def _hits(document: Document, pattern: LinePattern, most: int) -> list[Hit]:
    """Find lines; what is shown of them has no secrets."""
    hits = []
    number, counted = 1, 0
    for place in pattern.places(document.data, most):
        number += document.data.count(b"\n", counted, place)
        counted = place
        line = document.lines[number - 1] if number <= len(document.lines) else ""
        hits.append(Hit(document.path, number, _around(line, document.data, place)))
    return hits


def _around(line: str, data: bytes, place: int) -> str:
    """Cut a long line to what stands around a place of it."""
    if len(line) <= HIT_CHARACTERS:
        return line
    at = max(0, place - (data.rfind(b"\n", 0, place) + 1) - HIT_CHARACTERS // 2)
    return line[at : at + HIT_CHARACTERS]
