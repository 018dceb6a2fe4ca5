"""The objects that stages answer with, and how each is shown as text."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Literal, Protocol, runtime_checkable

import msgspec

from exai.consulting.structured import as_entry
from exai.workflows.citations import CheckedCitation, Citation
from exai.workflows.review.answers import Defects, Judgements

__all__ = [
    "ANSWERS",
    "Answer",
    "CheckedOpportunities",
    "CheckedOpportunity",
    "CheckedPlace",
    "Hypotheses",
    "Hypothesis",
    "Opportunities",
    "Opportunity",
    "Place",
    "Refutation",
]

MOST_HYPOTHESES = 10
MOST_OPPORTUNITIES = 10
MOST_PLACES = 50

_LINES = re.compile(r"\D*(\d+)(?:\D+(\d+))?")


@runtime_checkable
class Answer(Protocol):
    """An object that a stage answers with."""

    def text(self) -> str:
        """Write it for a reader, and for the stages behind it."""

    def facts(self) -> Mapping[str, float]:
        """Return what conditions may ask for."""

    def states(self) -> list[str]:
        """List what was found of each place that was compared."""

    def checked(self, check: Callable[[Citation], CheckedCitation], /) -> "Answer":
        """Return the same with each place compared and corrected."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that speak for a hypothesis."""

    path: Annotated[str, msgspec.Meta(description="The file's path, or its id such as E1")]
    lines: Annotated[str, msgspec.Meta(description="As 41-44")] = ""
    quote: Annotated[str, msgspec.Meta(description="What stands there, word for word")] = ""

    def text(self) -> str:
        place = f"{self.path}:{self.lines}" if self.lines else self.path
        where = " ".join(place.split())
        return f"{where} `{' '.join(self.quote.split())}`" if self.quote else where

    def citation(self, sentence: str) -> Citation:
        """Return what is to be compared; `sentence` is what the place is to prove."""
        found = _LINES.match(self.lines)
        first = int(found[1]) if found else None
        last = int(found[2]) if found and found[2] else first
        return Citation(self.path, first, last, self.quote, sentence)


class CheckedPlace(Place, frozen=True, kw_only=True):
    """A place that was compared with what was shown; its lines and its file are the true ones."""

    state: str
    is_stale: bool = False
    """Whether the file no longer has it."""

    @classmethod
    def of(cls, place: Place, checked: CheckedCitation) -> "CheckedPlace":
        """Correct a place by what was found."""
        lines = place.lines
        if checked.first is not None:
            lines = f"{checked.first}" + (f"-{checked.last}" if checked.last != checked.first else "")
        return cls(
            path=checked.path,
            lines=lines,
            quote=checked.quote or place.quote,
            state=checked.state,
            is_stale=checked.is_stale,
        )

    def text(self) -> str:
        marks = [] if self.state in {"verified", "moved", "wrong_file"} else [self.state.replace("_", " ")]
        if self.is_stale:
            marks += ["stale: the file no longer has it"]
        return f"{super().text()} ({'; '.join(marks)})" if marks else super().text()


class Hypothesis(msgspec.Struct, frozen=True):
    """One possible cause."""

    cause: str
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1, description="From 0 to 1")]
    evidence: tuple[Place, ...] = ()
    against: str = ""
    check: str = ""
    fix: str = ""

    def lines(self) -> Iterator[str]:
        for place in self.evidence:
            yield f"   evidence: {place.text()}"
        for label, value in (("against it", self.against), ("check", self.check), ("fix", self.fix)):
            if value:
                yield f"   {label}: {as_entry(value)}"


class Hypotheses(msgspec.Struct, frozen=True):
    """What may be the cause, most likely first."""

    hypotheses: tuple[Hypothesis, ...]
    unexplained: str = ""

    @property
    def ranked(self) -> list[Hypothesis]:
        """The hypotheses, most likely first, whatever their order was."""
        return sorted(self.hypotheses, key=lambda each: -each.confidence)

    def text(self) -> str:
        """Write it for a reader, and for the stages behind it."""
        lines = []
        for number, each in enumerate(self.ranked, 1):
            lines += [f"{number}. {as_entry(each.cause)} (confidence {each.confidence:.2f})", *each.lines()]
        if not lines:
            lines = ["No hypothesis: what was shown does not tell."]
        if self.unexplained:
            lines += ["", f"Unexplained: {as_entry(self.unexplained)}"]
        return "\n".join(lines)

    def facts(self) -> Mapping[str, float]:
        """Return what conditions may ask for."""
        return {
            "top_confidence": max((each.confidence for each in self.hypotheses), default=0.0),
            "citations_unverified": self.states().count("unverified") + self.states().count("unknown_file"),
        }

    def states(self) -> list[str]:
        """List what was found of each place that was compared, and `stale` for each that the file no longer has."""
        places = [
            place for each in self.hypotheses for place in each.evidence if isinstance(place, CheckedPlace)
        ]
        return [*(place.state for place in places), *("stale" for place in places if place.is_stale)]

    def checked(self, check: Callable[[Citation], CheckedCitation]) -> "Hypotheses":
        """Return the same with each place compared and corrected."""

        def of(hypothesis: Hypothesis) -> Hypothesis:
            places = (
                CheckedPlace.of(place, check(place.citation(hypothesis.cause)))
                for place in hypothesis.evidence[:MOST_PLACES]
            )
            return msgspec.structs.replace(hypothesis, evidence=tuple(places))

        return msgspec.structs.replace(self, hypotheses=tuple(map(of, self.hypotheses[:MOST_HYPOTHESES])))


class Refuted(msgspec.Struct, frozen=True):
    """What became of one hypothesis."""

    hypothesis: Annotated[int, msgspec.Meta(description="Its number")]
    verdict: Literal["holds", "fails", "open"]
    reason: str


class Refutation(msgspec.Struct, frozen=True):
    """What another model says of each hypothesis."""

    verdicts: tuple[Refuted, ...]
    overlooked: str = ""

    def text(self) -> str:
        """Write it for a reader."""
        lines = [f"{each.hypothesis}. {each.verdict}: {as_entry(each.reason)}" for each in self.verdicts]
        if self.overlooked:
            lines += [f"Overlooked: {as_entry(self.overlooked)}"]
        return "\n".join(lines) or "Nothing was said of any."

    def facts(self) -> Mapping[str, float]:
        """Return what conditions may ask for."""
        return {}

    def checked(self, _check: Callable[[Citation], CheckedCitation]) -> "Refutation":
        """Return it as it is: it cites nothing by itself."""
        return self

    def states(self) -> list[str]:
        """List what was found of its places: it has none."""
        return []


class Opportunity(msgspec.Struct, frozen=True):
    """Something that is worth restructuring."""

    title: str
    place: Place
    problem: Annotated[str, msgspec.Meta(description="What it costs, and whom")]
    change: Annotated[str, msgspec.Meta(description="What to do instead, in steps")]
    patch: Annotated[
        str, msgspec.Meta(description="A unified diff, only if it is short and sure; else empty")
    ] = ""


class CheckedOpportunity(Opportunity, frozen=True):
    """One whose place was compared with what was shown."""

    place: CheckedPlace

    def lines(self, number: int) -> list[str]:
        """Write it for a reader."""
        return [
            f"{number}. {as_entry(self.title)}",
            f"   place: {self.place.text()}",
            f"   problem: {as_entry(self.problem)}",
            f"   change: {as_entry(self.change)}",
        ]


class Opportunities(msgspec.Struct, frozen=True):
    """What is worth restructuring, the most worthwhile first."""

    opportunities: tuple[Opportunity, ...]
    leave: Annotated[str, msgspec.Meta(description="What looks odd and is better left as it is")] = ""

    def text(self) -> str:
        """Write it for a reader."""
        return f"{len(self.opportunities)} opportunities"

    def facts(self) -> Mapping[str, float]:
        """Return what conditions may ask for."""
        return {}

    def states(self) -> list[str]:
        """List what was found of its places: they were not compared yet."""
        return []

    def checked(self, check: Callable[[Citation], CheckedCitation]) -> "CheckedOpportunities":
        """Return the same with each place compared and corrected."""
        return CheckedOpportunities(
            tuple(
                CheckedOpportunity(
                    each.title,
                    CheckedPlace.of(each.place, check(each.place.citation(each.problem))),
                    each.problem,
                    each.change,
                    each.patch,
                )
                for each in self.opportunities[:MOST_OPPORTUNITIES]
            ),
            self.leave,
        )


class CheckedOpportunities(msgspec.Struct, frozen=True):
    """The same, each place compared with what was shown."""

    opportunities: tuple[CheckedOpportunity, ...]
    leave: str = ""

    def text(self) -> str:
        """Write it for a reader."""
        parts = ["\n".join(each.lines(number)) for number, each in enumerate(self.opportunities, 1)]
        parts = parts or ["Nothing that was shown is worth restructuring."]
        if self.leave:
            parts.append(f"Better left as it is: {as_entry(self.leave)}")
        return "\n\n".join(parts)

    def facts(self) -> Mapping[str, float]:
        """Return what conditions may ask for."""
        return {}

    def states(self) -> list[str]:
        """List what was found of each place, and `stale` for each that the file no longer has."""
        places = [each.place for each in self.opportunities]
        return [*(place.state for place in places), *("stale" for place in places if place.is_stale)]

    def checked(self, _check: Callable[[Citation], CheckedCitation]) -> "CheckedOpportunities":
        """Return it as it is."""
        return self


ANSWERS: Mapping[str, type[msgspec.Struct]] = {
    "hypotheses": Hypotheses,
    "refutation": Refutation,
    "defects": Defects,
    "judgements": Judgements,
    "opportunities": Opportunities,
}
"""By the names that definitions use; each is an `Answer`."""
