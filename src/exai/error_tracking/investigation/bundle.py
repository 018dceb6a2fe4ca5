"""The evidence of one investigation, and the two questions by which it is gathered."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from exai.error_tracking.provenance import Provenance
from exai.storage.error_tracking.groups import OccurrenceRow
from exai.storage.error_tracking.rows import GroupRow

__all__ = [
    "LARGEST_PIECE",
    "MENU",
    "MOST_ITEMS",
    "MOST_TOKENS",
    "EvidenceBundle",
    "EvidenceGatherer",
    "EvidencePiece",
    "FurtherItem",
    "ItemKind",
    "LeftOut",
    "Provenance",
    "Subject",
]

MOST_TOKENS = 24_000
"""Of a bundle, and again of what is gathered further."""
LARGEST_PIECE = 8 * 1024
"""Bytes of the text of one piece, in UTF-8."""
MOST_ITEMS = 6
"""That a model may ask for further, once."""

ItemKind = Literal["source", "history", "blame", "change", "log", "occurrence", "setting"]

MENU: Mapping[ItemKind, str] = {
    "source": "lines of a file at the release's commit, as `path:first-last`, at most 120",
    "history": "the latest commits that touched a file, as `path`",
    "blame": "the commit that wrote a line, as `path:line`",
    "change": "what a commit changed, as `commit` or `commit:path`",
    "log": "lines of the log around the occurrence, as a number of seconds, at most 300",
    "occurrence": "another kept occurrence, as a number; 1 is the one before the latest",
    "setting": "a setting's name and whether it is its default, as `section.name`",
}
"""What may be asked for further, with how its place is spelled. There is nothing else."""


class Subject(msgspec.Struct, frozen=True):
    """What is investigated."""

    group: GroupRow
    occurrence: OccurrenceRow
    """The latest that was kept whole."""
    release: str
    """That it occurred in; `version+commit` where the commit is known."""


class EvidencePiece(msgspec.Struct, frozen=True, kw_only=True):
    """One text that a model is shown and may cite."""

    evidence_id: str
    """`e1`, `e2`, …; those of one kind share its number: `e4`, `e4.2`, `e4.3`. Further items follow as `e13`, …"""
    kind: str
    """As the manual lists them, such as `occurrence` or `source`."""
    place: str
    """Where it is from, for people: `src/exai/jobs/durable.py:10-34 at 1a2b3c4d`, `call call_…`."""
    sha256: str
    """Of the text in UTF-8."""
    provenance: Provenance
    text: str
    """Redacted, at most `LARGEST_PIECE` long. Lines of a file are as they are, without numbers."""
    path: str = ""
    """Of the file whose lines the text is, relative to the repository; empty: of no file."""
    first: int = 0
    """Number of the text's first line in that file, from 1."""
    commit: str = ""
    """That the file was read at; empty: of the installed package."""
    is_failing_place: bool = False
    """Whether it shows where it went wrong: the crash frame, the setting, or the provider's answer."""
    occurrence_id: str = ""
    """Of the occurrence that it tells; empty: it tells none."""


class LeftOut(msgspec.Struct, frozen=True):
    """A piece that is not shown."""

    kind: str
    place: str
    """Of it, as it reads behind the kind: `source` `of the frames`."""
    reason: str
    """As a sentence for the reader of the report."""
    tokens: int
    """Estimated; 0 where it was not read at all."""


class EvidenceBundle(msgspec.Struct, frozen=True, kw_only=True):
    """All that a model is shown of a group."""

    pieces: tuple[EvidencePiece, ...]
    left_out: tuple[LeftOut, ...]
    tokens: int
    """Estimated, of all pieces together."""
    repository: str = ""
    """Root of the repository that sources were read from; empty: none is known."""
    commit: str = ""
    """The release's commit in it, in full."""


class FurtherItem(msgspec.Struct, frozen=True):
    """One entry of the menu that a model asks for."""

    kind: ItemKind
    place: str
    """As `MENU` says."""


class EvidenceGatherer(Protocol):
    """Gathers evidence; starts no program, writes nothing, and asks no model."""

    async def gather(self, subject: Subject) -> EvidenceBundle:
        """Gather the bundle within three seconds; what fails or is not there is left out with the reason.

        Raises:
            StoreFailed: the database is out of reach.
        """
        ...

    async def gather_more(
        self, subject: Subject, bundle: EvidenceBundle, items: Sequence[FurtherItem]
    ) -> EvidenceBundle:
        """Return the bundle with what was asked for appended, or named in `left_out` with the reason.

        Raises:
            StoreFailed: the database is out of reach.
        """
        ...
