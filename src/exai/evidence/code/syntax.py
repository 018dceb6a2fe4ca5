"""What a source file holds: its named parts, what they call, where its comments are.

Files are others': one that is nested without end costs no more than another, as nothing is looked for below a depth;
one that is too large has no syntax here. What a grammar itself does not survive, the process of the workspace does not
either, and its owner begins another (`exai.evidence.workspace`).
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tree_sitter import QueryCursor

from exai.evidence.code.languages import INSTALL, Grammar, grammar_of, is_missing, row_of
from exai.evidence.requests import Symbol
from exai.evidence.trees import Document

__all__ = ["MOST_BROKEN_NODES", "Call", "Parsed", "Syntax", "captured", "is_written"]

MOST_BYTES = 2**19
MOST_DEPTH = 128
MOST_LINE_BYTES = 20_000
"""A file with a longer line was written by no person."""
MOST_BROKEN_NODES = 30_000
"""Of a file that its grammar does not understand: what is looked for in one takes the square of their number."""
MOST_SYMBOLS = 5_000
MOST_NAME = 200
PARSED_KEPT = 4_000
_HEADING = re.compile(
    r"^(?P<indent>[ \t]{0,12})(?:(?:pub|export|async|static|public|private|protected|default|abstract|final) )*"
    r"(?P<kind>def|class|function|func|fn|impl|struct|interface|trait|enum|module|namespace|package|type|message|"
    r"service|sub|proc)\s+(?P<name>[\w$.:]{1,100})"
    r"|^(?P<marks>#{1,6}) (?P<title>[^\n]{1,100})"
)
MOST_HEADING = 240


@dataclass(frozen=True, slots=True)
class Call:
    """A name that is called, or used as a type."""

    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a file holds."""

    language: str
    """Empty: its parts are guessed from the beginnings of lines."""
    symbols: tuple[Symbol, ...]
    """By their first lines; an outer one before those in it."""
    calls: tuple[Call, ...] = ()
    comments: tuple[tuple[int, int], ...] = ()
    """Where comments and docstrings are, in bytes."""
    missing: str = ""
    """The language whose grammar is not installed."""

    def enclosing(self, line: int) -> Symbol | None:
        """Return the innermost part that has a line."""
        inner: Symbol | None = None
        for symbol in self.symbols:
            if symbol.first > line:
                break
            if symbol.last >= line:
                inner = symbol
        return inner

    def calls_of(self, first: int, last: int) -> list[str]:
        """List the names that are called between two lines, in their order."""
        return list(dict.fromkeys(call.name for call in self.calls if first <= call.line <= last))


class Syntax:
    """Parses files, and remembers by their contents what was found."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Parsed] = OrderedDict()
        self.missing: set[str] = set()
        """Languages of which a file was seen and whose grammars are not installed."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Say which grammars are missing, and how to have them."""
        return tuple(f"no grammar for {name} is installed ({INSTALL})" for name in sorted(self.missing))

    def of(self, document: Document) -> Parsed:
        """Parse a file."""
        row = row_of(document.path)
        key = (row.name if row else "", document.sha256)
        parsed = self._kept.get(key)
        if parsed is None:
            parsed = self._kept[key] = _parsed(document)
            if len(self._kept) > PARSED_KEPT:
                self._kept.popitem(last=False)
        if parsed.missing:
            self.missing.add(parsed.missing)
        return parsed


def _parsed(document: Document) -> Parsed:
    row = row_of(document.path)
    if row is not None and is_missing(row):
        return Parsed("", _headings(document), missing=row.name)
    if row is None or not is_written(document.data):
        return Parsed("", _headings(document))
    grammar = grammar_of(row)
    root = grammar.parser.parse(document.data).root_node
    if root.has_error and root.descendant_count > MOST_BROKEN_NODES:
        return Parsed("", _headings(document))
    calls = {(node.start_point[0] + 1, _text(node)) for node in captured(grammar.calls, root, "name")}
    comments = [(node.start_byte, node.end_byte) for node in captured(grammar.comments, root, "comment")]
    return Parsed(
        row.name,
        _nested(_definitions(grammar, root)),
        tuple(Call(name, line) for line, name in sorted(calls)),
        tuple(sorted(comments)),
    )


def is_written(data: bytes) -> bool:
    """Whether a file is small enough, and its lines short enough, to have been written by a person."""
    return len(data) <= MOST_BYTES and max(map(len, data.split(b"\n"))) <= MOST_LINE_BYTES


def _cursor(query: Any) -> Any:
    cursor = QueryCursor(query, match_limit=10_000)
    cursor.set_max_start_depth(MOST_DEPTH)
    return cursor


def captured(query: Any, root: Any, name: str) -> Sequence[Any]:
    """Return the nodes that a query captures under a name."""
    found: Sequence[Any] = _cursor(query).captures(root).get(name, [])
    return found


def _definitions(grammar: Grammar, root: Any) -> list[Symbol]:
    found: dict[tuple[int, int], Symbol] = {}
    for _, nodes in _cursor(grammar.definitions).matches(root):
        kind = next(each for each in nodes if each != "name")
        node = nodes[kind][0]
        first, last = node.start_point[0] + 1, node.end_point[0] + 1
        found.setdefault((first, node.end_byte), Symbol(kind, _text(nodes["name"][0]), first, last))
        if len(found) >= MOST_SYMBOLS:
            break
    return list(found.values())


def _nested(symbols: list[Symbol]) -> tuple[Symbol, ...]:
    """Say of each part in which others it is."""
    nested: list[Symbol] = []
    around: list[Symbol] = []
    for symbol in sorted(symbols, key=lambda each: (each.first, -each.last)):
        while around and around[-1].last < symbol.last:
            around.pop()
        inside = ".".join(each.name for each in around[-4:])
        nested.append(Symbol(symbol.kind, symbol.name, symbol.first, symbol.last, inside))
        around.append(symbol)
    return tuple(nested)


def _headings(document: Document) -> tuple[Symbol, ...]:
    """Guess parts from the beginnings of lines: each goes on to the next one that is indented no deeper."""
    found: list[tuple[int, int, str, str]] = []
    for number, line in enumerate(document.lines, start=1):
        match = _HEADING.match(line[:MOST_HEADING])
        if match is None:
            continue
        if match["title"]:
            found.append((number, len(match["marks"]), "heading", match["title"]))
        else:
            found.append((number, len(match["indent"].expandtabs(4)), match["kind"], match["name"]))
        if len(found) >= MOST_SYMBOLS:
            break
    return _nested(_ended(found, len(document.lines)))


def _ended(found: Sequence[tuple[int, int, str, str]], total: int) -> list[Symbol]:
    symbols = []
    begun: list[tuple[int, int, str, str]] = []
    for each in [*found, (total + 1, -1, "", "")]:
        while begun and begun[-1][1] >= each[1]:
            first, _, kind, name = begun.pop()
            symbols.append(Symbol(kind, name, first, max(first, each[0] - 1)))
        begun.append(each)
    return symbols


def _text(node: Any) -> str:
    text: bytes = node.text
    return text[:MOST_NAME].decode(errors="replace")
