"""The values that are gathered of a workspace: pieces of it, what is wanted of it, and within which bounds."""

import hashlib
from collections.abc import Sequence

import msgspec

from exai.conversations.estimates import estimate_tokens
from exai.files.documents.numbering import framed_name, numbered

__all__ = ["CHANGE", "SOURCES", "Bounds", "Piece", "Range", "Wanted", "block", "text_piece"]

CHANGE = "change"
"""The source of the hunks of a change, which a prompt has behind all other evidence."""

SOURCES = (
    "frames_of_log",
    "named_paths",
    "symbols_in_problem",
    "called_by_frames",
    "words_of_problem",
    "recent_changes",
    "rules",
    CHANGE,
    "changed_parts",
    "called_definitions",
    "callers",
    "tests",
    "configuration",
    "test_style",
    "files_beside",
    "structure",
)
"""The kinds of evidence that can be gathered without a model."""

Range = tuple[str, str, int, int]


class Piece(msgspec.Struct, frozen=True):
    """Lines of a file, or a text about the workspace, such as a commit."""

    source: str
    """Which kind of evidence it is, as a definition names it."""
    path: str
    """Relative to the workspace, with slashes; empty where it is of no one file."""
    first: int
    """Number of its first line, from 1."""
    last: int
    """Number of its last line; one less than `first` where there are none."""
    sha256: str
    """Of the content of the file that it is from; of its own text where it is of no file."""
    text: str
    """Its lines without numbers, each with its line feed; of a change the lines of a hunk, each behind its sign."""
    why: str
    """Why it was gathered, as a sentence for who reads the report."""
    rev: str = ""
    """The commit that it is from; empty: the workspace as it is."""
    tokens: int = 0
    """Estimated, with the numbers of its lines and its frame."""
    total: int = 0
    """How many lines the whole file has."""
    is_named_only: bool = False
    """Whether its text was too much to be gathered, so that it is never shown."""

    @property
    def range(self) -> Range:
        """Return what makes it one: a second piece with this content and these lines adds nothing."""
        return (self.path, self.sha256, self.first, self.last)

    def has(self, other: "Piece") -> bool:
        """Return whether all lines of another piece are among its own."""
        return (
            (self.path, self.sha256, self.rev) == (other.path, other.sha256, other.rev)
            and self.first <= other.first
            and other.last <= self.last
        )

    def counted(self) -> "Piece":
        """Return it with its tokens estimated."""
        return msgspec.structs.replace(self, tokens=estimate_tokens(block("E000", self)))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What evidence is wanted for. Each source looks at what concerns it."""

    question: str = ""
    """The problem in the caller's words, in which paths and symbols may stand."""
    log: str = ""
    """Output of a failure, in which frames may stand."""
    change: str = ""
    """`staged`, `unstaged`, `all`, a ref, or `A..B`; empty: no change."""
    patch: str = ""
    """A unified diff that stands for the change."""
    within: tuple[str, ...] = ()
    """Files and folders of the change to look at alone; empty: all."""
    without: tuple[str, ...] = ()
    """Files and folders that no source looks at."""
    paths: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much is gathered at most."""

    tokens: int = 60_000
    """Of each source: more than a prompt shows of it, so that there is a choice."""
    pieces: int = 400
    """Of all sources together."""
    lines: int = 400
    """Of one piece."""


def text_piece(
    source: str, path: str, lines: Sequence[str], why: str, rev: str = "", first: int = 1
) -> Piece:
    """Make a piece of a text that is no part of a file, such as a hunk or a commit."""
    text = "".join(f"{line}\n" for line in lines)
    digest = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    last = first + sum(line[:1] != "-" for line in lines) - 1 if source == CHANGE else len(lines)
    return Piece(
        source=source, path=path, first=first, last=last, sha256=digest, text=text, why=why, rev=rev
    ).counted()


def block(name: str, piece: Piece) -> str:
    """Frame a piece for a prompt under a name that answers cite, such as `E3`; each line has its number."""
    lines = piece.text.removesuffix("\n").split("\n") if piece.text else []
    body = _numbered_hunk(piece.first, lines) if piece.source == CHANGE else numbered(piece.first, lines).text
    kind = "CHANGE" if piece.source == CHANGE else "FILE"
    at = f" at {piece.rev[:12]}" if piece.rev else ""
    of = f" of {piece.total}" if piece.total else ""
    digest = f"sha256:{piece.sha256[:12]}"
    place = framed_name(piece.path or piece.source)
    return (
        f"<<<{kind} {name} {place}{at} lines {piece.first}-{piece.last}{of} {digest}>>>\n"
        f"{body}<<<END {name} {digest}>>>\n"
    )


def _numbered_hunk(first: int, lines: Sequence[str]) -> str:
    """Number the lines of a hunk as they are after the change; those that it takes away have no number."""
    spelled = []
    number = first
    for line in lines:
        (text,) = numbered(number, [line]).text.splitlines(keepends=True)
        gutter, bar, rest = text.partition("│")
        is_in_file = line[:1] in {"+", " "}
        spelled.append(f"{gutter if is_in_file else ' ' * len(gutter)}{bar}{rest}")
        number += is_in_file
    return "".join(spelled)
