"""Looks citations up: is that quote in that evidence, at that place?"""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from exai.error_tracking.investigation.answers import Citation, Step
from exai.error_tracking.investigation.bundle import EvidencePiece

__all__ = ["CheckedCitation", "CheckedStep", "check_citations", "check_step"]

LEAST_QUOTE = 6
"""Characters besides blanks: a shorter quote is everywhere."""

Verdict = Literal["verified", "no such evidence", "not quoted exactly", "not at that place", "too short"]


class CheckedCitation(msgspec.Struct, frozen=True):
    """A citation, and whether it holds."""

    citation: Citation
    verdict: Verdict
    at_failing_place: bool = False
    """Whether it holds, and its evidence shows where it went wrong."""

    @property
    def is_verified(self) -> bool:
        return self.verdict == "verified"


class CheckedStep(msgspec.Struct, frozen=True):
    """A step of the chain with what became of its citations."""

    who: str
    text: str
    citations: tuple[CheckedCitation, ...]

    @property
    def is_verified(self) -> bool:
        """Whether one of its citations holds, and none is false."""
        return bool(self.citations) and all(each.is_verified for each in self.citations)


def check_step(step: Step, pieces: Mapping[str, EvidencePiece]) -> CheckedStep:
    """Look up the citations of a step."""
    return CheckedStep(step.who, step.text, check_citations(step.citations, pieces))


def check_citations(
    citations: Iterable[Citation], pieces: Mapping[str, EvidencePiece]
) -> tuple[CheckedCitation, ...]:
    """Look citations up in the pieces that were shown, by their ids."""
    return tuple(_checked(each, pieces.get(each.evidence.strip())) for each in citations)


def _checked(citation: Citation, piece: EvidencePiece | None) -> CheckedCitation:
    if piece is None:
        return CheckedCitation(citation, "no such evidence")
    quote = _folded(_without_numbers(citation.quote) if piece.path else citation.quote)
    if len(quote.replace(" ", "")) < LEAST_QUOTE:
        return CheckedCitation(citation, "too short")
    if quote not in _folded(piece.text):
        return CheckedCitation(citation, "not quoted exactly")
    if citation.place and not _is_right(citation.place, quote, piece):
        return CheckedCitation(citation, "not at that place")
    return CheckedCitation(citation, "verified", piece.is_failing_place)


def _is_right(place: str, quote: str, piece: EvidencePiece) -> bool:
    """Return whether a quote begins at a place: the path and line of its file, or the evidence's own place."""
    if not piece.path:
        return _folded(place) in _folded(piece.place)
    path, _, line = place.strip().rpartition(":")
    if path != piece.path or not line.isascii() or not line.isdigit():
        return False
    lines = piece.text.split("\n")
    index = int(line[:9]) - piece.first
    if not 0 <= index < len(lines):
        return False
    first, rest = _folded(lines[index]), _folded(" ".join(lines[index + 1 :]))
    at = f"{first} {rest}".find(quote)
    return -1 < at < max(len(first), 1)


def _without_numbers(quote: str) -> str:
    """Take away the numbers behind which lines are shown."""
    return "\n".join(_bare(line) for line in quote.split("\n"))


def _bare(line: str) -> str:
    number, bar, rest = line.partition("│")
    return rest if bar and number.strip().isdigit() else line


def _folded(text: str) -> str:
    return " ".join(text.split())
