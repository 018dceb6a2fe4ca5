"""Gathers pieces of the sources that are asked for, within bounds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

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
    pieces: list[Piece] = []
    by_path: defaultdict[str, list[Piece]] = defaultdict(list)
    for source in sources:
        tokens = 0
        if source not in known:
            raise BadArguments(
                f"There is no source of evidence {source!r}. There are: {', '.join(sorted(known))}."
            )
        for piece in known[source]():
            if _is_within(piece.path, wanted.without) or any(each.has(piece) for each in by_path[piece.path]):
                continue
            if len(pieces) >= bounds.pieces or tokens > bounds.tokens:
                failure.notes.append(f"there is more of {source} than is gathered")
                break
            pieces.append(piece)
            by_path[piece.path].append(piece)
            tokens += piece.tokens
    notes = (*(change.notes if change else ()), *failure.notes, *reader.syntax.notes)
    return Gathered(tuple(pieces), tuple(dict.fromkeys(notes)), change.title if change else "")


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
