"""Gathers pieces of the sources that are asked for, within bounds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from exai.errors import BadArguments
from exai.evidence.collection.around_change import AroundChange, whole_files
from exai.evidence.collection.around_failure import AroundFailure
from exai.evidence.collection.graph import outlines
from exai.evidence.git.changes import Change, change_of, patched
from exai.evidence.pieces import CHANGE, Bounds, Piece, Wanted
from exai.evidence.reading import Reader
from exai.evidence.requests import Gathered
from exai.evidence.trees import FolderTree

__all__ = ["gather"]

CHANGED = {CHANGE, "changed_parts"}
AROUND = {"called_definitions", "callers", "tests", "configuration", "test_style"}
"""What belongs to named files where there is no change."""


def gather(reader: Reader, sources: Sequence[str], wanted: Wanted, bounds: Bounds) -> Gathered:
    """Gather pieces, those of the sources named first before others; the same lines come once.

    Raises:
        BadArguments: a source is not known, or the change cannot be read.
    """
    failure = AroundFailure(reader, wanted, bounds)
    change = _change(reader, wanted)
    if change is not None:
        if wanted.within:
            change.files = [file for file in change.files if _is_within(file.path, wanted.within)]
        change.files = [file for file in change.files if not _is_within(file.path, wanted.without)]
        around = AroundChange(reader, change, bounds)
    else:
        named = whole_files(reader, failure.named) if AROUND & set(sources) else Change("")
        around = AroundChange(reader, named, bounds, verb="is named")
    known: Mapping[str, Callable[[], Iterable[Piece]]] = {
        **failure.sources,
        **around.sources,
        **({} if change is not None else {CHANGE: tuple}),  # what is named does not change
        "structure": lambda: outlines(reader, wanted.paths),
    }
    taking = _Taking(wanted, bounds)
    for source in sources:
        if source not in known:
            raise BadArguments(
                f"There is no source of evidence {source!r}. There are: {', '.join(sorted(known))}."
            )
        if not taking.take(source, known[source]()):
            failure.notes.append(f"there is more of {source} than is gathered")
    notes = (*(change.notes if change else ()), *failure.notes, *reader.syntax.notes)
    return Gathered(tuple(taking.pieces), tuple(dict.fromkeys(notes)), change.title if change else "")


class _Taking:
    """The pieces that are taken, within bounds."""

    def __init__(self, wanted: Wanted, bounds: Bounds) -> None:
        self.pieces: list[Piece] = []
        self._by_path: defaultdict[str, list[Piece]] = defaultdict(list)
        self._without = wanted.without
        self._bounds = bounds

    def take(self, source: str, found: Iterable[Piece]) -> bool:
        """Take what a source found, in its order; return whether that is all of it.

        No file of a change is lost in silence, and none keeps others out by its size: one that is too large is named.
        """
        tokens, most = 0, self._bounds.tokens
        named: dict[str, Piece] = {}
        for piece in found:
            beside = self._by_path[piece.path]
            if _is_within(piece.path, self._without) or any(each.has(piece) for each in beside):
                continue
            if source in CHANGED and (tokens > most or piece.tokens > most // 2):
                named.setdefault(piece.path, msgspec.structs.replace(piece, text="", is_named_only=True))
                continue
            if len(self.pieces) >= self._bounds.pieces or tokens > most:
                return False
            self.pieces.append(piece)
            beside.append(piece)
            tokens += piece.tokens
        if source == CHANGE:
            self.pieces += [piece for path, piece in named.items() if not self._by_path[path]]
        return not named


def _is_within(path: str, places: Sequence[str]) -> bool:
    return any(f"{path}/".startswith(f"{place.strip('/')}/") for place in places)


def _change(reader: Reader, wanted: Wanted) -> Change | None:
    if wanted.patch:
        return patched(wanted.patch, reader.tree)
    if not wanted.change:
        return None
    if not isinstance(reader.tree, FolderTree):
        raise BadArguments("A snapshot has no repository: give the change as a unified diff, in a file.")
    return change_of(wanted.change, reader.tree)
