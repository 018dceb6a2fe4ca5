"""The objects that the stages of a review answer with."""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec

from exai.consulting.structured import as_entry
from exai.workflows.citations import CheckedCitation, Citation
from exai.workflows.review.findings import Judged, Reported

__all__ = ["Defects", "Judgement", "Judgements", "Quoted", "QuotedDefects"]

MOST_FINDINGS = 200
"""Of one pass; a longer answer is none that anybody reads."""
MOST_OF_PATH = 500
"""Characters: a model may put whatever it likes in the place of a path."""


class Quoted(msgspec.Struct, frozen=True):
    """A finding whose quotation was compared with what was shown; its place is the true one."""

    reported: Reported
    citation: str
    is_stale: bool = False
    """Whether the file no longer has it."""

    @classmethod
    def of(cls, reported: Reported, check: Callable[[Citation], CheckedCitation]) -> "Quoted":
        """Compare, and correct the place by what was found."""
        first = max(1, reported.first)
        last = max(first, reported.last)
        found = check(Citation(reported.path, first, last, reported.quote, reported.message))
        place = msgspec.structs.replace(
            reported,
            path=found.path[:MOST_OF_PATH],
            first=found.first or first,
            last=found.last or found.first or last,
            quote=found.quote or reported.quote,
        )
        return cls(place, found.state, found.is_stale)


class Defects(msgspec.Struct, frozen=True):
    """What one pass found; none is an answer too."""

    findings: tuple[Reported, ...]

    def text(self) -> str:
        """Count them; whoever reads them reads the review."""
        return f"{len(self.findings)} findings"

    def facts(self) -> Mapping[str, float]:
        """Return what conditions may ask for."""
        return {}

    def states(self) -> list[str]:
        """List what was found of its places: nothing was compared yet."""
        return []

    def checked(self, check: Callable[[Citation], CheckedCitation]) -> "QuotedDefects":
        """Return the same with each place compared and corrected."""
        return QuotedDefects(tuple(Quoted.of(each, check) for each in self.findings[:MOST_FINDINGS]))


class QuotedDefects(msgspec.Struct, frozen=True):
    """What one pass found, compared with what it was shown."""

    findings: tuple[Quoted, ...]

    def text(self) -> str:
        """Count them; whoever reads them reads the review."""
        return f"{len(self.findings)} findings"

    def facts(self) -> Mapping[str, float]:
        """Return what conditions may ask for."""
        return {}

    def states(self) -> list[str]:
        """List what was found of each place."""
        stale = ["stale" for each in self.findings if each.is_stale]
        return [*(each.citation for each in self.findings), *stale]

    def checked(self, _check: Callable[[Citation], CheckedCitation]) -> "QuotedDefects":
        """Return it as it is: it was compared."""
        return self


class Judgement(msgspec.Struct, frozen=True):
    """What became of one finding that was put to another model."""

    id: Annotated[str, msgspec.Meta(description="As R3")]
    verdict: Judged
    reason: Annotated[str, msgspec.Meta(description="The line that decides, and why")] = ""


class Judgements(msgspec.Struct, frozen=True):
    """What a model says of findings that another one made."""

    judgements: tuple[Judgement, ...]

    def text(self) -> str:
        """Write it for a reader."""
        return "\n".join(
            f"{as_entry(each.id)} {each.verdict}: {as_entry(each.reason)}" for each in self.judgements
        )

    def facts(self) -> Mapping[str, float]:
        """Return what conditions may ask for."""
        return {}

    def states(self) -> list[str]:
        """List what was found of its places: it has none."""
        return []

    def checked(self, _check: Callable[[Citation], CheckedCitation]) -> "Judgements":
        """Return it as it is: it cites nothing by itself."""
        return self
