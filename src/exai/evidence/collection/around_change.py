"""What belongs to a change: its hunks, the parts that they are in, what these call, who calls them, tests, settings.

Where there is no change, the same belongs to files that are named.

Nearer comes first: the hunks, then what they are in, then one step away in either direction, then tests and files
beside. Of each kind what is smaller comes first, so that one long part does not take the place of several short ones.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import PurePosixPath

from exai.evidence.code.languages import row_of
from exai.evidence.code.syntax import Parsed
from exai.evidence.collection.excerpts import Excerpts
from exai.evidence.collection.names import Definition, NamePlaces, is_test
from exai.evidence.git.changes import Change
from exai.evidence.git.hunks import FileChange, Hunk
from exai.evidence.pieces import CHANGE, Bounds, Piece, text_piece
from exai.evidence.reading import Reader
from exai.evidence.requests import Symbol
from exai.evidence.trees import Document

__all__ = ["AroundChange", "whole_files"]

MOST_FILES = 96
"""Parsed one step away from all changed files together, in one direction."""
LEAST_FILES = 5
"""Of each changed file."""
MOST_CHANGED = 200
"""Files of the change that are looked into."""
HUNK_LINES = 200
MOST_BESIDE = 12
MOST_STYLES = 2
STYLE_LINES = 80
MOST_SIBLINGS = 12
SIBLING_BYTES = 8_000
_CONFIGURATION = {".toml", ".yaml", ".yml", ".ini", ".cfg", ".sql", ".proto", ".graphql", ".prisma", ".xsd"}
_MANIFESTS = (
    "pyproject.toml",
    "package.json",
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "setup.cfg",
    "tsconfig.json",
)


class _Changed:
    """A changed file with what is in it."""

    def __init__(self, file: FileChange, document: Document, parsed: Parsed) -> None:
        self.file = file
        self.document = document
        self.parsed = parsed
        lines = [line for hunk in file.hunks for line in hunk.changed]
        self.lines = lines
        self.symbols: dict[Symbol, int] = {}
        for line in lines:
            symbol = parsed.enclosing(line)
            if symbol is not None:
                self.symbols.setdefault(symbol, line)

    @property
    def names(self) -> list[str]:
        """What the changed parts are called, and, where a class changes by a part of it, what that is in."""
        return list(dict.fromkeys(symbol.name for symbol in self.symbols))

    @property
    def called(self) -> list[str]:
        """What is called in the changed lines, then what is called elsewhere in the changed parts."""
        near = [name for line in self.lines for name in self.parsed.calls_of(line, line)]
        parts = [name for each in self.symbols for name in self.parsed.calls_of(each.first, each.last)]
        return [name for name in dict.fromkeys([*near, *parts]) if name not in self.names]


class AroundChange:
    """Collects what belongs to one change."""

    def __init__(self, reader: Reader, change: Change, bounds: Bounds, *, verb: str = "changes") -> None:
        """`verb` is what reasons say of the files."""
        self._verb = verb
        self._reader = reader
        self._change = change
        self._bounds = bounds
        self.sources: Mapping[str, Callable[[], Iterator[Piece]]] = {
            CHANGE: self._hunks,
            "changed_parts": self._parts,
            "called_definitions": self._definitions,
            "callers": self._callers,
            "tests": self._tests,
            "configuration": self._beside,
            "test_style": self._style,
            "files_beside": self._siblings,
        }

    def _hunks(self) -> Iterator[Piece]:
        for file in self._change.files:
            for hunk in file.hunks:
                for first, lines in _portions(hunk):
                    why = f"{file.status} in {self._change.title}"
                    yield text_piece(CHANGE, file.path, lines, why, self._change.rev, first)

    def _parts(self) -> Iterator[Piece]:
        heads: list[Piece | None] = []
        for changed in self._changed:
            excerpts = self._excerpts("changed_parts", changed.document, changed.parsed, self._change.rev)
            if excerpts.is_small:
                yield excerpts.whole("it changes, and is small")
                continue
            for symbol, line in sorted(
                changed.symbols.items(), key=lambda each: each[0].last - each[0].first
            ):
                yield excerpts.symbol(symbol, f"`{symbol.qualified}` changes", line)
                heads.append(excerpts.class_head(symbol, f"`{symbol.qualified}`, which changes, is in it"))
            for line in changed.lines:
                if changed.parsed.enclosing(line) is None:
                    yield excerpts.around(line, "lines around a change")
            heads.append(excerpts.head("the beginning of a file that changes"))
            heads.append(excerpts.outline("the parts of a file that changes"))
        yield from (piece for piece in heads if piece is not None)

    def _definitions(self) -> Iterator[Piece]:
        for changed in self._changed:
            text = changed.document.data.decode(errors="replace")
            names = changed.called
            rank = {name: number for number, name in enumerate(names)}
            definitions = self._places.definitions(names, changed.file.path, text, self._most_files)
            for each in _nearest_first(definitions, rank):
                if not self._is_changed_part(each):
                    yield self._defined(each, changed.file.path)

    def _callers(self) -> Iterator[Piece]:
        yield from self._users("callers", in_tests=False)

    def _tests(self) -> Iterator[Piece]:
        yield from self._users("tests", in_tests=True)
        stems = {PurePosixPath(each.file.path).stem for each in self._changed if not is_test(each.file.path)}
        for path in self._reader.tree.files:
            name = PurePosixPath(path).stem
            if is_test(path) and name.removeprefix("test_").removesuffix("_test").split(".")[0] in stems:
                yield from self._start_of(
                    "tests", path, f"its name says that it tests a file that {self._verb}"
                )

    def _style(self) -> Iterator[Piece]:
        """Show the beginnings of the tests that are nearest to the files, and what such tests share."""
        near = next((PurePosixPath(each.file.path).parts for each in self._changed), ())
        tests = sorted(filter(is_test, self._reader.tree.files), key=lambda path: _distance(near, path))
        shared = [path for path in tests if PurePosixPath(path).stem == "conftest"]
        written = [path for path in tests if PurePosixPath(path).stem not in {"conftest", "__init__"}]
        for path in [*written[:MOST_STYLES], *shared[:1]]:
            document = self._reader.tree.read(path)
            if document is not None:
                excerpts = self._excerpts("test_style", document, self._reader.syntax.of(document))
                yield excerpts.lines(1, STYLE_LINES, "it shows how tests are written here")

    def _beside(self) -> Iterator[Piece]:
        folders = {str(PurePosixPath(each.file.path).parent) for each in self._changed}
        files = self._reader.tree.files
        beside = [
            path
            for path in files
            if PurePosixPath(path).suffix in _CONFIGURATION and str(PurePosixPath(path).parent) in folders
        ]
        for path in [*beside[:MOST_BESIDE], *(path for path in _MANIFESTS if path in files)]:
            yield from self._start_of("configuration", path, f"configuration beside a file that {self._verb}")

    def _siblings(self) -> Iterator[Piece]:
        """Show small files in the folders of those that change: what goes together often lies together."""
        changed = {each.file.path for each in self._changed}
        folders = {str(PurePosixPath(path).parent) for path in changed}
        sizes = self._reader.tree.files
        beside = [
            path
            for path in sizes
            if path not in changed
            and str(PurePosixPath(path).parent) in folders
            and row_of(path) is not None
            and not is_test(path)
            and sizes[path] <= SIBLING_BYTES
        ]
        for path in sorted(beside, key=lambda path: sizes[path])[:MOST_SIBLINGS]:
            yield from self._start_of(
                "files_beside", path, "it lies beside a file that changes, and is small"
            )

    def _users(self, source: str, *, in_tests: bool) -> Iterator[Piece]:
        for changed in self._changed:
            uses = self._places.uses(changed.names, changed.file.path, self._most_files, in_tests=in_tests)
            for use in uses:
                symbol = use.parsed.enclosing(use.line)
                if use.document.path == changed.file.path and symbol in changed.symbols:
                    continue
                excerpts = self._excerpts(source, use.document, use.parsed)
                yield excerpts.around(
                    use.line, f"it calls `{use.name}` of {changed.file.path}, which {self._verb}"
                )

    def _defined(self, definition: Definition, path: str) -> Piece:
        excerpts = self._excerpts("called_definitions", definition.document, definition.parsed)
        return excerpts.symbol(
            definition.symbol, f"{path}, which {self._verb}, calls `{definition.symbol.qualified}`"
        )

    def _is_changed_part(self, definition: Definition) -> bool:
        return any(
            each.document.path == definition.document.path and definition.symbol in each.symbols
            for each in self._changed
        )

    @property
    def _most_files(self) -> int:
        return max(LEAST_FILES, MOST_FILES // max(1, len(self._changed)))

    def _start_of(self, source: str, path: str, why: str) -> Iterator[Piece]:
        document = self._reader.tree.read(path)
        if document is not None:
            yield self._excerpts(source, document, self._reader.syntax.of(document)).whole(why)

    def _excerpts(self, source: str, document: Document, parsed: Parsed, rev: str = "") -> Excerpts:
        return Excerpts(source, document, parsed, self._bounds.lines, rev)

    @cached_property
    def _changed(self) -> list[_Changed]:
        changed = []
        for file in self._change.files[:MOST_CHANGED]:
            if file.lines is None:
                continue
            text = "".join(f"{line}\n" for line in file.lines)
            keeps = self._reader.tree.keeps_secrets
            document = Document(file.path, text.encode(errors="replace"), text, keeps_secrets=keeps)
            document.sha256 = file.sha256
            changed.append(_Changed(file, document, self._reader.syntax.of(document)))
        return changed

    @cached_property
    def _places(self) -> NamePlaces:
        names = [name for each in self._changed for name in each.names]
        called = [name for each in self._changed for name in each.called]
        places = NamePlaces.find(self._reader, [*names, *called], (each.file.path for each in self._changed))
        if places.is_cut:
            self._change.notes.append("not all files were searched for names, as that took too long")
        return places


def whole_files(reader: Reader, paths: Iterable[str]) -> Change:
    """Return files as if all of their lines changed, so that what belongs to them is found."""
    change = Change("files that are named")
    for path in paths:
        document = reader.tree.read(path)
        if document is not None and document.lines:
            hunk = Hunk(1, tuple(f"+{line}" for line in document.lines))
            change.files.append(FileChange(path, [hunk], lines=document.lines, sha256=document.sha256))
    return change


def _distance(near: tuple[str, ...], path: str) -> tuple[int, str]:
    """Return how many folders lie between a file and a test, those of the test's own kind not counted."""
    parts = [part for part in PurePosixPath(path).parts[:-1] if part not in near]
    return len(parts), path


def _nearest_first(definitions: Iterable[Definition], rank: Mapping[str, int]) -> list[Definition]:
    """Sort definitions: the nearest one of each name, then the second nearest of each."""
    counts: Counter[str] = Counter()
    ranked: list[tuple[int, int, Definition]] = []
    for each in definitions:
        ranked.append((counts[each.symbol.name], rank[each.symbol.name], each))
        counts[each.symbol.name] += 1
    return [each for _, _, each in sorted(ranked, key=lambda row: row[:2])]


def _portions(hunk: Hunk) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Divide a long hunk."""
    first = hunk.first
    for start in range(0, len(hunk.lines), HUNK_LINES):
        lines = hunk.lines[start : start + HUNK_LINES]
        yield first, lines
        first += sum(line[:1] != "-" for line in lines)
