"""Where names stand in a workspace: one pass over its files for all of them, then the syntax of those that matter."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import PurePosixPath

import re2

from exai.evidence.code.syntax import Parsed
from exai.evidence.reading import Reader
from exai.evidence.requests import Symbol
from exai.evidence.trees import Document

__all__ = ["Definition", "NamePlaces", "Use", "is_test"]

MOST_NAMES = 400
LEAST_LENGTH = 3
MOST_MATCHES = 2_000
"""Looked at in one file."""
SCAN_S = 6.0
MOST_DEFINITIONS = 8
"""A name that more parts have says nothing about which one is meant."""
CACHED = 2**16
_TEST_FOLDERS = {"test", "tests", "spec", "specs", "__tests__", "testing"}
_NO_SOURCE = {
    ".csv",
    ".css",
    ".html",
    ".json",
    ".lock",
    ".md",
    ".rst",
    ".svg",
    ".toml",
    ".txt",
    ".xml",
    ".yaml",
    ".yml",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """A part that has a name that was looked for."""

    document: Document
    parsed: Parsed
    symbol: Symbol


@dataclass(frozen=True, slots=True)
class Use:
    """A line in which a name is called."""

    document: Document
    parsed: Parsed
    name: str
    line: int


@dataclass(slots=True)
class NamePlaces:
    """The files in which names stand."""

    reader: Reader
    by_path: dict[str, frozenset[str]] = field(default_factory=dict)
    is_cut: bool = False
    """Whether not all files were looked at, as that took too long."""

    @classmethod
    def find(
        cls,
        reader: Reader,
        names: Iterable[str],
        near: Iterable[str] = (),
        *,
        least_length: int = LEAST_LENGTH,
    ) -> "NamePlaces":
        """Look for names in all source files, and for what imports of the files in `near` have to mention."""
        long = [name for name in dict.fromkeys(names) if len(name) >= least_length]
        wanted = list(dict.fromkeys([*long[:MOST_NAMES], *map(_stem, near)]))
        places = cls(reader)
        if not wanted:
            return places
        pattern = re2.compile((r"\b(?:" + "|".join(map(re2.escape, wanted)) + r")\b").encode(), _options())
        until = time.monotonic() + SCAN_S
        paths = [path for path in reader.tree.files if PurePosixPath(path).suffix.lower() not in _NO_SOURCE]
        for path in paths:
            matches = islice(pattern.finditer(reader.tree.bytes_of(path) or b""), MOST_MATCHES)
            found = {match[0] for match in matches}
            if found:
                places.by_path[path] = frozenset(name.decode(errors="replace") for name in found)
            if time.monotonic() > until:
                places.is_cut = True
                break
        return places

    def definitions(
        self, names: Iterable[str], near: str, mentioned: str, most_files: int
    ) -> Iterator[Definition]:
        """Find the parts with these names: those of the same file first, of files that it mentions, then near ones.

        Args:
            near: the path from whose place it is looked.
            mentioned: the text in which the files that are imported are mentioned.
        """
        found: dict[str, list[Definition]] = {}
        for each in self.parts(names, near, mentioned, most_files):
            found.setdefault(each.symbol.name, []).append(each)
        for definitions in found.values():
            if len(definitions) <= MOST_DEFINITIONS:
                yield from definitions
            else:
                yield from (each for each in definitions if _stem(each.document.path) in mentioned)

    def parts(self, names: Iterable[str], near: str, mentioned: str, most_files: int) -> Iterator[Definition]:
        """Find the parts with these names, however many have the same one."""
        wanted = set(names)
        for path in self._ranked(wanted, near, mentioned)[:most_files]:
            document = self.reader.tree.read(path)
            if document is None:
                continue
            parsed = self.reader.syntax.of(document)
            for symbol in parsed.symbols:
                if symbol.name in wanted and symbol.kind != "heading":
                    yield Definition(document, parsed, symbol)

    def uses(self, names: Iterable[str], near: str, most_files: int, *, in_tests: bool) -> Iterator[Use]:
        """Find the calls of these names, in tests or elsewhere: those of files that mention `near` come first."""
        wanted = set(names)
        paths = [path for path in self._ranked(wanted, near, "") if is_test(path) == in_tests]
        for path in paths[:most_files]:
            document = self.reader.tree.read(path)
            if document is None:
                continue
            parsed = self.reader.syntax.of(document)
            seen: set[tuple[str, int]] = set()
            for call in parsed.calls:
                symbol = parsed.enclosing(call.line)
                key = (call.name, symbol.first if symbol else call.line)
                if call.name in wanted and key not in seen:
                    seen.add(key)
                    yield Use(document, parsed, call.name, call.line)

    def _ranked(self, wanted: set[str], near: str, mentioned: str) -> list[str]:
        folder = _folders(near)
        stem = _stem(near)

        def rank(path: str) -> tuple[bool, bool, int, int, str]:
            is_mentioned = _stem(path) in mentioned if mentioned else stem in self.by_path[path]
            distance = _distance(folder, _folders(path))
            return (path != near, not is_mentioned, distance, -len(self.by_path[path] & wanted), path)

        return sorted((path for path, names in self.by_path.items() if names & wanted), key=rank)


@lru_cache(maxsize=CACHED)
def is_test(path: str) -> bool:
    """Return whether a file is one of tests, by its name or its folders."""
    parts = [part.lower() for part in PurePosixPath(path).parts]
    name = PurePosixPath(parts[-1]).stem
    is_named = name.startswith(("test_", "test-", "spec_")) or name.endswith(
        ("_test", ".test", ".spec", "_spec", "-test")
    )
    return is_named or name in {"test", "tests", "conftest"} or bool(_TEST_FOLDERS & set(parts[:-1]))


@lru_cache(maxsize=CACHED)
def _stem(path: str) -> str:
    name = PurePosixPath(path)
    stem = name.stem.split(".")[0]
    return (
        name.parent.name if stem in {"__init__", "index", "mod", "main", "lib"} and name.parent.name else stem
    )


@lru_cache(maxsize=CACHED)
def _folders(path: str) -> tuple[str, ...]:
    return PurePosixPath(path).parts[:-1]


def _distance(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    common = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        common += 1
    return len(left) + len(right) - 2 * common


def _options() -> "re2.Options":
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 2**25
    options.encoding = re2.Options.Encoding.UTF8
    return options
