"""What a workspace is asked, and what it answers: the frames between the daemon and the process that reads it.

A frame is its length in four bytes and msgpack. The daemon sends an `Opening`, then one request after the other; each
has one `Reply`. Of a snapshot the process has no files: it asks for contents by a `Need`, which is answered by bytes.
"""

import struct
from typing import Annotated, Any

import msgspec

from exai.evidence.pieces import Bounds, Piece, Wanted
from exai.files.snapshots.manifests import ManifestEntry

__all__ = [
    "HEADER",
    "MOST_FRAME_BYTES",
    "BlameAt",
    "Blank",
    "Blanked",
    "CheckPatch",
    "CheckedPatch",
    "CommitNamed",
    "Edge",
    "Failure",
    "Found",
    "Gather",
    "Gathered",
    "GitBlame",
    "GitDiff",
    "GitLog",
    "GitShow",
    "Graph",
    "HistoryAt",
    "Hit",
    "Lines",
    "LinesAt",
    "ListFiles",
    "Listed",
    "Named",
    "NamedCommit",
    "Need",
    "Node",
    "Opening",
    "Outline",
    "OutlineOf",
    "PatchProblem",
    "PatchedFile",
    "ReadLines",
    "Reply",
    "Request",
    "Search",
    "Suspect",
    "Suspects",
    "SuspectsOf",
    "Symbol",
    "SymbolNamed",
    "Text",
    "Trace",
    "encode",
]

HEADER = struct.Struct(">I")
MOST_FRAME_BYTES = 64 * 2**20

Number = Annotated[int, msgspec.Meta(ge=1)]


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """Which workspace is read: a folder, or the files of a snapshot."""

    folder: str = ""
    roots: tuple[str, ...] = ()
    entries: tuple[ManifestEntry, ...] = ()
    keeps_secrets: bool = False
    """Whether what looks like secrets is shown as it is."""


class ListFiles(msgspec.Struct, frozen=True, tag=True):
    """Which files are there?"""

    glob: str = ""


class ReadLines(msgspec.Struct, frozen=True, tag=True):
    path: str
    first: Number = 1
    last: Number = 2**31


class Search(msgspec.Struct, frozen=True, tag=True):
    text: str = ""
    pattern: str = ""
    """In RE2's syntax, in place of `text`."""
    glob: str = ""


class OutlineOf(msgspec.Struct, frozen=True, tag=True):
    path: str


class SymbolNamed(msgspec.Struct, frozen=True, tag=True):
    name: str


class Gather(msgspec.Struct, frozen=True, tag=True):
    sources: tuple[str, ...]
    wanted: Wanted
    bounds: Bounds


class Trace(msgspec.Struct, frozen=True, tag=True):
    target: str
    kind: str
    bounds: Bounds


class Blank(msgspec.Struct, frozen=True, tag=True):
    """How do these pieces read without comments?"""

    pieces: tuple[Piece, ...]


class GitLog(msgspec.Struct, frozen=True, tag=True):
    path: str = ""
    most: Annotated[int, msgspec.Meta(ge=1, le=50)] = 20


class GitShow(msgspec.Struct, frozen=True, tag=True):
    rev: str
    path: str = ""


class GitBlame(msgspec.Struct, frozen=True, tag=True):
    path: str
    first: Number = 1
    last: Number = 2**31


class GitDiff(msgspec.Struct, frozen=True, tag=True):
    change: str = "all"
    path: str = ""


class CommitNamed(msgspec.Struct, frozen=True, tag=True):
    """Which commit has the first known of these names?"""

    names: tuple[str, ...]


class LinesAt(msgspec.Struct, frozen=True, tag=True):
    rev: str
    path: str
    first: Number = 1
    last: Number = 2**31


class BlameAt(msgspec.Struct, frozen=True, tag=True):
    rev: str
    path: str
    line: Number


class HistoryAt(msgspec.Struct, frozen=True, tag=True):
    rev: str
    path: str
    most: Annotated[int, msgspec.Meta(ge=1, le=50)] = 10


class SuspectsOf(msgspec.Struct, frozen=True, tag=True):
    """Which commits after `since`, up to `until`, changed the files of these places?"""

    since: str
    until: str
    places: tuple[tuple[str, int], ...]
    """Paths and lines."""


class CheckPatch(msgspec.Struct, frozen=True, tag=True):
    """Does a unified diff apply?"""

    patch: str
    keeps_code: bool = False
    """Whether it may change comments, docstrings and prose alone."""
    rev: str = ""
    """The commit that it is to apply to; empty: the files as they are."""


Request = (
    ListFiles
    | ReadLines
    | Search
    | OutlineOf
    | SymbolNamed
    | Gather
    | Trace
    | Blank
    | GitLog
    | GitShow
    | GitBlame
    | GitDiff
    | CommitNamed
    | LinesAt
    | BlameAt
    | HistoryAt
    | SuspectsOf
    | CheckPatch
)


class Need(msgspec.Struct, frozen=True, tag=True):
    """A content that the process needs."""

    path: str


class Failure(msgspec.Struct, frozen=True, tag=True):
    """Why there is no answer; the caller's to fix."""

    kind: str
    """`arguments`, `repository` or `file`."""
    message: str


class Reply(msgspec.Struct, frozen=True, tag=True):
    value: msgspec.Raw


class Listed(msgspec.Struct, frozen=True):
    files: tuple[tuple[str, int], ...]
    """Paths and sizes."""
    total: int
    left_out: tuple[tuple[str, str], ...] = ()
    """What is not there although it is in the folder, and why; not what is ignored."""


class Lines(msgspec.Struct, frozen=True):
    path: str
    first: int
    lines: tuple[str, ...]
    total: int
    sha256: str


class Hit(msgspec.Struct, frozen=True):
    path: str
    line: int
    text: str


class Found(msgspec.Struct, frozen=True):
    hits: tuple[Hit, ...]
    has_more: bool
    """Whether it stopped because they were enough, or took too long."""


class Symbol(msgspec.Struct, frozen=True):
    """A named part of a file."""

    kind: str
    name: str
    first: int
    last: int
    inside: str = ""
    """Names of what it is in, with dots."""

    @property
    def qualified(self) -> str:
        """Its name with those of what it is in."""
        return f"{self.inside}.{self.name}" if self.inside else self.name


class Outline(msgspec.Struct, frozen=True):
    path: str
    language: str
    """Empty: by the beginnings of lines, as no grammar for it is there."""
    symbols: tuple[Symbol, ...]
    has_more: bool = False


class Named(msgspec.Struct, frozen=True):
    definitions: tuple[tuple[str, Symbol], ...]
    references: tuple[Hit, ...]
    has_more: bool


class Gathered(msgspec.Struct, frozen=True):
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...] = ()
    """What could not be looked at, and why."""
    title: str = ""
    """What the change is; empty: none was asked for."""


class Blanked(msgspec.Struct, frozen=True):
    """Texts without comments."""

    texts: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Which grammars are not installed, so that comments of their languages are still there."""


class Node(msgspec.Struct, frozen=True):
    """A part of a file in a graph."""

    path: str
    kind: str
    name: str
    """With the names of what it is in."""
    first: int
    last: int


class Edge(msgspec.Struct, frozen=True):
    """One part calls another; both by their places among the nodes."""

    caller: int
    called: int
    line: int
    """In the caller's file."""
    is_sure: bool
    """Whether no other part has the name that is called."""


class Graph(msgspec.Struct, frozen=True):
    """What calls what."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    starts: int
    """How many of the nodes, the first ones, the target names."""
    pieces: tuple[Piece, ...]
    """The texts of the nodes, in their order."""
    has_more: bool = False
    notes: tuple[str, ...] = ()
    """Which grammars are not installed."""


class Text(msgspec.Struct, frozen=True):
    """Lines of history."""

    lines: tuple[str, ...]
    has_more: bool = False


class NamedCommit(msgspec.Struct, frozen=True):
    """A commit, and the name by which it was found."""

    name: str
    commit: str


class Suspect(msgspec.Struct, frozen=True):
    """A commit that changed a file."""

    commit: str
    title: str
    """Its date, and the first line of its message."""
    path: str
    lines: tuple[str, ...] = ()
    """Of its hunks, each line behind its sign."""
    is_at_place: bool = False
    """Whether it wrote or surrounds lines of a place that was asked for."""


class Suspects(msgspec.Struct, frozen=True):
    """Commits, those at a place first, and of these the newest."""

    commits: tuple[Suspect, ...]
    has_more: bool = False


class PatchedFile(msgspec.Struct, frozen=True):
    """A file that a patch changes, and how many lines it adds and takes away."""

    path: str
    is_new: bool
    added: int
    removed: int


class PatchProblem(msgspec.Struct, frozen=True):
    """Why a patch does not apply, or may not."""

    path: str
    """Empty: it is of the patch as a whole."""
    hunk: int
    """Its number in the file, from 1; 0: it is of the file as a whole."""
    why: str

    def text(self) -> str:
        """Say it in a line."""
        place = f"`{self.path}`" if self.path else "The patch"
        return f"{place}{f', hunk {self.hunk}' if self.hunk else ''}: {self.why}."


class CheckedPatch(msgspec.Struct, frozen=True):
    """A patch that was applied in memory."""

    patch: str
    """Written anew where all of it applies; else as it was given."""
    files: tuple[PatchedFile, ...] = ()
    """Those that it can change."""
    problems: tuple[PatchProblem, ...] = ()
    """Empty: all of it applies."""
    broken: tuple[str, ...] = ()
    """Files of Python that it can change, and that would not be Python afterwards."""


def encode(value: Any) -> bytes:
    """Encode a frame."""
    body = msgspec.msgpack.encode(value)
    return HEADER.pack(len(body)) + body
