"""What calls what, from a part of a workspace on: by names and syntax alone, so each edge says how sure it is.

An edge leads from the part in which a name is called to the part that is defined under this name. Where several parts
have the name, the nearest is taken, and the edge is not sure.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from exai.errors import BadArguments
from exai.evidence.code.syntax import Parsed
from exai.evidence.collection.excerpts import Excerpts
from exai.evidence.collection.names import Definition, NamePlaces
from exai.evidence.pieces import Bounds, Piece
from exai.evidence.reading import Reader
from exai.evidence.requests import Edge, Graph, Node, Symbol
from exai.evidence.trees import Document

__all__ = ["outlines", "trace"]

MOST_STARTS = 20
MOST_NODES = 60
MOST_EDGES = 120
MOST_CALLS = 40
"""Of one part."""
MOST_FILES = 8
MOST_START_FILES = 200
MOST_OUTLINES = 60
DEPTHS = {"trace": (3, 1), "dependencies": (1, 2)}
"""How many steps it goes to what is called, and to who calls, by kind."""


def trace(reader: Reader, target: str, kind: str, bounds: Bounds) -> Graph:
    """Follow calls from the parts that a target names: a path, a name, `Class.method`, or `path:name`.

    Raises:
        BadArguments: nothing in the workspace is called so, or it is a path of a file without parts.
    """
    tracing = _Tracing(reader, bounds)
    starts = _starts(reader, target)
    if not starts:
        raise BadArguments(
            f"Nothing in the workspace is defined as {target[:100]!r}. Give `target` as a path, a name, `Class.method` "
            "or `path:name`."
        )
    down, up = DEPTHS[kind]
    for start in starts:
        tracing.add(start)
    tracing.follow(starts, down, tracing.called)
    tracing.follow(starts, up, tracing.calling)
    return tracing.graph(len(starts))


def outlines(reader: Reader, paths: Iterable[str]) -> Iterator[Piece]:
    """Yield the outlines of files, or of those below folders; of all files, those nearest to the top first."""
    wanted = tuple(path.removeprefix("./").rstrip("/") for path in paths if path.strip("./"))
    files = [
        path
        for path in sorted(reader.tree.files, key=lambda path: (path.count("/"), path))
        if not wanted or any(path == each or path.startswith(f"{each}/") for each in wanted)
    ]
    count = 0
    for path in files:
        document = reader.tree.read(path)
        parsed = None if document is None else reader.syntax.of(document)
        if document is None or parsed is None or not parsed.symbols or not parsed.language:
            continue
        piece = Excerpts("structure", document, parsed, 1).outline("its parts")
        if piece is not None:
            yield piece
            count += 1
        if count == MOST_OUTLINES:
            return


Step = Callable[[Definition], Iterator[Definition]]


class _Tracing:
    """The parts and edges that were found so far."""

    def __init__(self, reader: Reader, bounds: Bounds) -> None:
        self._reader = reader
        self._bounds = bounds
        self._numbers: dict[tuple[str, Symbol], int] = {}
        self._pieces: list[Piece] = []
        self._edges: dict[tuple[int, int], Edge] = {}
        self._is_cut = False

    def add(self, found: Definition) -> int | None:
        """Return the number of a part; `None`: there are enough."""
        key = (found.document.path, found.symbol)
        if key not in self._numbers:
            if len(self._numbers) == MOST_NODES:
                self._is_cut = True
                return None
            self._numbers[key] = len(self._numbers)
            excerpts = Excerpts("graph", found.document, found.parsed, self._bounds.lines)
            self._pieces.append(excerpts.symbol(found.symbol, f"`{found.symbol.qualified}` is in the graph"))
        return self._numbers[key]

    def follow(self, starts: Iterable[Definition], depth: int, step: Step) -> None:
        """Go on from parts for so many steps."""
        waiting = deque((each, 0) for each in starts)
        seen = {(each.document.path, each.symbol) for each in starts}
        while waiting:
            found, steps = waiting.popleft()
            if steps == depth:
                continue
            for other in step(found):
                key = (other.document.path, other.symbol)
                if key not in seen:
                    seen.add(key)
                    waiting.append((other, steps + 1))

    def called(self, found: Definition) -> Iterator[Definition]:
        """Find the parts that a part calls."""
        first, last = found.symbol.first, found.symbol.last
        lines = {call.name: call.line for call in reversed(found.parsed.calls) if first <= call.line <= last}
        names = [name for name in sorted(lines, key=lines.__getitem__) if name != found.symbol.name][
            :MOST_CALLS
        ]
        places = NamePlaces.find(self._reader, names)
        text = found.document.data.decode(errors="replace")
        for name in names:
            definitions = list(places.definitions([name], found.document.path, text, MOST_FILES))
            if definitions and self._edge(found, definitions[0], lines[name], is_sure=len(definitions) == 1):
                yield definitions[0]

    def calling(self, found: Definition) -> Iterator[Definition]:
        """Find the parts that call a part."""
        name, path = found.symbol.name, found.document.path
        places = NamePlaces.find(self._reader, [name], [path], least_length=1)
        is_sure = len(list(places.definitions([name], path, "", MOST_FILES))) == 1
        for in_tests in (False, True):
            for use in places.uses([name], path, MOST_FILES, in_tests=in_tests):
                symbol = use.parsed.enclosing(use.line)
                if symbol is None or (use.document.path, symbol) == (path, found.symbol):
                    continue
                caller = Definition(use.document, use.parsed, symbol)
                if self._edge(caller, found, use.line, is_sure=is_sure):
                    yield caller

    def graph(self, starts: int) -> Graph:
        """Return what was found."""
        nodes = tuple(
            Node(path, symbol.kind, symbol.qualified, symbol.first, symbol.last)
            for path, symbol in self._numbers
        )
        notes = self._reader.syntax.notes
        return Graph(nodes, tuple(self._edges.values()), starts, tuple(self._pieces), self._is_cut, notes)

    def _edge(self, source: Definition, target: Definition, line: int, *, is_sure: bool) -> bool:
        numbers = (self.add(source), self.add(target))
        if numbers[0] is None or numbers[1] is None or len(self._edges) == MOST_EDGES:
            self._is_cut = True
            return False
        self._edges.setdefault((numbers[0], numbers[1]), Edge(numbers[0], numbers[1], line, is_sure))
        return True


def _starts(reader: Reader, target: str) -> list[Definition]:
    target = target.strip().removeprefix("./").replace("::", ".")
    path, _, name = target.rpartition(":")
    if path in reader.tree.files:
        return [each for each in _parts(reader, path) if name in {each.symbol.name, each.symbol.qualified}]
    if target in reader.tree.files:
        return [each for each in _parts(reader, target) if each.symbol.kind != "heading"][:MOST_STARTS]
    last = target.rpartition(".")[2]
    places = NamePlaces.find(reader, [last], least_length=1)
    found = list(places.parts([last], "", target, MOST_START_FILES))
    exact = [each for each in found if f".{each.symbol.qualified}".endswith(f".{target}")]
    return (exact or ([] if "." in target else found))[:MOST_STARTS]


def _parts(reader: Reader, path: str) -> list[Definition]:
    document: Document | None = reader.tree.read(path)
    if document is None:
        return []
    parsed: Parsed = reader.syntax.of(document)
    return [Definition(document, parsed, symbol) for symbol in parsed.symbols]
