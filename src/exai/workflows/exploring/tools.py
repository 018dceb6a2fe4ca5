"""The tools by which a model looks at a workspace. Each reads, and what it reads becomes pieces of evidence.

What a model is told of a piece is the block under which it is cited, so no line of a workspace begins a line of ours.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any

import msgspec

from exai.evidence.pieces import Piece, text_piece
from exai.evidence.requests import Hit, Lines, Symbol, Text
from exai.evidence.workspace import Workspace
from exai.files.documents.numbering import framed_name

__all__ = ["EXPLORING_TOOLS", "ExploringTool", "Looking"]

MOST_PLACES = 8
"""Of a search or a symbol that are shown with the lines around them; the others are listed."""
AROUND_LINES = 4
MOST_PART_LINES = 150
"""Of a definition that is shown."""
MOST_LISTED = 200

Line = Annotated[int, msgspec.Meta(ge=1)]
Path = Annotated[str, msgspec.Meta(max_length=500, description="Relative to the workspace")]
Within = Annotated[str, msgspec.Meta(max_length=500, description="A file or folder; empty: all")]
Glob = Annotated[str, msgspec.Meta(max_length=500, description="As in .gitignore; empty: all files")]


class Looking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all of them are given."""

    why: Annotated[str, msgspec.Meta(max_length=200, description="What it is to show, in a few words")] = ""


class ListFiles(Looking, frozen=True):
    glob: Glob = ""


class ReadLines(Looking, frozen=True):
    path: Path
    first: Line = 1
    last: Line = 400


class Search(Looking, frozen=True):
    text: Annotated[str, msgspec.Meta(max_length=500, description="Searched for as it is")] = ""
    pattern: Annotated[str, msgspec.Meta(max_length=500, description="RE2, in place of text")] = ""
    glob: Glob = ""


class Outline(Looking, frozen=True):
    path: Path


class SymbolNamed(Looking, frozen=True):
    name: Annotated[str, msgspec.Meta(max_length=200)]


class GitLog(Looking, frozen=True):
    path: Within = ""


class GitShow(Looking, frozen=True):
    commit: Annotated[str, msgspec.Meta(max_length=200)]
    path: Within = ""


class GitBlame(Looking, frozen=True):
    path: Path
    first: Line = 1
    last: Line = 400


class GitDiff(Looking, frozen=True):
    change: Annotated[
        str, msgspec.Meta(max_length=200, description="staged, unstaged, all, a ref, or A..B")
    ] = "all"
    path: Within = ""


class ExploringTool(msgspec.Struct, frozen=True):
    """A tool as a model is told of it, and what it reads."""

    description: str
    arguments: type[Looking]
    look: Callable[[Workspace, Any, str], Awaitable[Sequence[Piece]]]
    """Given the workspace, the arguments, and the reason that the pieces are to have.

    Raises `BadArguments`, `FileRefused` or `NotARepository` where there is nothing to read.
    """


async def _list_files(workspace: Workspace, given: ListFiles, why: str) -> Sequence[Piece]:
    listed = await workspace.list_files(given.glob)
    rows = [f"{path} ({size:,} bytes)" for path, size in listed.files[:MOST_LISTED]]
    title = f"{listed.total:,} files{f' that match {given.glob}' if given.glob else ''}"
    return [_text("list_files", [title, *rows], why)]


async def _read_lines(workspace: Workspace, given: ReadLines, why: str) -> Sequence[Piece]:
    return [_lines("read_lines", await workspace.read_lines(given.path, given.first, given.last), why)]


async def _search(workspace: Workspace, given: Search, why: str) -> Sequence[Piece]:
    found = await workspace.search(given.text, given.pattern, given.glob)
    if not found.hits:
        return []
    places = list(_places(found.hits))
    shown = [
        _lines("search", await workspace.read_lines(path, first, last), why)
        for path, first, last in places[:MOST_PLACES]
    ]
    if len(places) <= MOST_PLACES and not found.has_more:
        return shown
    title = f"{len(found.hits)} lines{', and there are more' if found.has_more else ''}"
    return [*shown, _text("search", [title, *map(_row, found.hits)], why)]


async def _outline(workspace: Workspace, given: Outline, why: str) -> Sequence[Piece]:
    outline = await workspace.outline(given.path)
    rows = [f"{each.kind} {each.qualified}, lines {each.first}-{each.last}" for each in outline.symbols]
    return [_text("outline", [f"{outline.path}: {len(rows)} parts", *rows[:MOST_LISTED]], why)]


async def _symbol(workspace: Workspace, given: SymbolNamed, why: str) -> Sequence[Piece]:
    named = await workspace.symbol(given.name)
    pieces = [
        _lines("symbol", await workspace.read_lines(path, symbol.first, _end(symbol)), why)
        for path, symbol in named.definitions[:MOST_PLACES]
    ]
    if named.references:
        title = f"{len(named.references)} lines name it{', and there are more' if named.has_more else ''}"
        pieces.append(_text("symbol", [title, *map(_row, named.references)], why))
    return pieces


async def _git_log(workspace: Workspace, given: GitLog, why: str) -> Sequence[Piece]:
    return _history("git_log", given.path, await workspace.git_log(given.path), why)


async def _git_show(workspace: Workspace, given: GitShow, why: str) -> Sequence[Piece]:
    return _history("git_show", given.path, await workspace.git_show(given.commit, given.path), why)


async def _git_blame(workspace: Workspace, given: GitBlame, why: str) -> Sequence[Piece]:
    blamed = await workspace.git_blame(given.path, given.first, given.last)
    return _history("git_blame", given.path, blamed, why)


async def _git_diff(workspace: Workspace, given: GitDiff, why: str) -> Sequence[Piece]:
    return _history("git_diff", given.path, await workspace.git_diff(given.change, given.path), why)


EXPLORING_TOOLS: Mapping[str, ExploringTool] = {
    "list_files": ExploringTool("List files with their sizes.", ListFiles, _list_files),
    "read_lines": ExploringTool("Read lines of a file.", ReadLines, _read_lines),
    "search": ExploringTool("Find lines in all files, by a text or a pattern.", Search, _search),
    "outline": ExploringTool("List the named parts of a file with their lines.", Outline, _outline),
    "symbol": ExploringTool(
        "Read the definitions of a name, and list the lines that have it.", SymbolNamed, _symbol
    ),
    "git_log": ExploringTool("List the last commits, of a path or of all.", GitLog, _git_log),
    "git_show": ExploringTool("Show a commit with what it changed.", GitShow, _git_show),
    "git_blame": ExploringTool("Show lines, each with the commit that it is from.", GitBlame, _git_blame),
    "git_diff": ExploringTool("Show what is not committed, or what a range changes.", GitDiff, _git_diff),
}
"""By the names that definitions use and pieces have as their source."""


def _lines(source: str, read: Lines, why: str) -> Piece:
    return Piece(
        source=source,
        path=read.path,
        first=read.first,
        last=read.first + len(read.lines) - 1,
        sha256=read.sha256,
        text="".join(f"{line}\n" for line in read.lines),
        why=why,
        total=read.total,
    ).counted()


def _text(source: str, rows: Sequence[str], why: str) -> Piece:
    """Make a piece that is of no one file: its paths are among its lines."""
    return text_piece(source, "", rows, why)


def _history(source: str, path: str, text: Text, why: str) -> Sequence[Piece]:
    if not text.lines:
        return []
    more = ["There is more."] if text.has_more else []
    return [_text(source, [f"{source} {framed_name(path)}".strip(), *text.lines, *more], why)]


def _places(hits: Iterable[Hit]) -> Iterator[tuple[str, int, int]]:
    """Join lines that stand near one another into places of files."""
    for path, its in groupby(hits, key=lambda hit: hit.path):
        first = last = 0
        for hit in its:
            if first and hit.line > last + AROUND_LINES + 1:
                yield path, first, last
                first = 0
            first = first or max(1, hit.line - AROUND_LINES)
            last = hit.line + AROUND_LINES
        yield path, first, last


def _row(hit: Hit) -> str:
    return f"{hit.path}:{hit.line}: {hit.text.strip()}"


def _end(symbol: Symbol) -> int:
    return min(symbol.last, symbol.first + MOST_PART_LINES - 1)
