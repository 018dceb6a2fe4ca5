"""What models are asked to vote by: the objects of an answer, and the questions around them."""

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, cast

import msgspec

from exai.consulting.structured import as_entry
from exai.providers.catalog import Model

__all__ = [
    "STANCES",
    "Seat",
    "Synthesis",
    "Vote",
    "in_second_round",
    "points_of",
    "with_stance",
]

Stance = Literal["for", "against", "neutral"]

STANCES = {
    "for": "You were asked to make the case for it: choose and stress what speaks for it. Where it is wrong, say so.",
    "against": "You were asked to make the case against it: choose and stress what speaks against it. Where it is "
    "right, say so.",
}
"""What a seat with a stance is told. It bounds what is said, and not what is true."""

MOST_POINTS = 8
"""Of one vote, that others are shown."""

Confidence = Annotated[
    float, msgspec.Meta(ge=0, le=10, description="From 0 (a guess) to 10 (you would stake your name on it)")
]


class Seat(msgspec.Struct, frozen=True):
    """One model that is asked to vote."""

    model: Model
    family: str
    stance: Stance = "neutral"
    further: str = ""
    """What the caller adds to its question."""

    @property
    def name(self) -> str:
        """Its model, with the stance that tells it from another seat of that model."""
        return self.model.name if self.stance == "neutral" else f"{self.model.name} ({self.stance})"


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """One model's vote."""

    verdict: str
    confidence: Confidence
    points: Annotated[
        list[str],
        msgspec.Meta(
            description="At most 5 reasons, the strongest first; cite E<n> and lines where a file shows it"
        ),
    ]
    would_change_my_mind: Annotated[
        str, msgspec.Meta(description="The one fact or check that would turn your verdict")
    ] = ""
    moved_by: Annotated[
        str,
        msgspec.Meta(
            description="Where you vote again: the number of the point that changed your verdict, as P3; else empty"
        ),
    ] = ""
    """Asked for in both rounds, so that the second one begins with what the provider has read in the first."""


class Synthesis(msgspec.Struct, frozen=True, kw_only=True):
    """What an arbiter makes of the votes."""

    summary: Annotated[
        str,
        msgspec.Meta(description="What was agreed on, what not, and which reason decides; 150 words at most"),
    ]
    would_settle: Annotated[
        str, msgspec.Meta(description="The fact or check that would settle what is left open")
    ] = ""


@lru_cache(maxsize=64)
def ballot(options: tuple[str, ...]) -> type[Vote]:
    """Return the type of a vote whose verdict is one of `options`."""
    verdict = Annotated[Literal[options], msgspec.Meta(description="Your verdict")]  # type: ignore[valid-type]
    made: Any = msgspec.defstruct("Vote", [("verdict", verdict)], bases=(Vote,), frozen=True, kw_only=True)
    return cast("type[Vote]", made)


def with_stance(question: str, seat: Seat) -> str:
    """Return the question as a seat is asked it: what only this seat is told comes last, behind what all share."""
    return "\n\n".join(part for part in (question, STANCES.get(seat.stance, ""), seat.further) if part)


def points_of(votes: Sequence[Vote], seed: str) -> list[str]:
    """Return the points of votes in an order that tells nobody whose they are; the same for the same seed."""
    points = list(dict.fromkeys(as_entry(point) for vote in votes for point in vote.points[:MOST_POINTS]))
    random.Random(seed).shuffle(points)  # noqa: S311 - nothing to be guessed
    return [point for point in points if point]


def in_second_round(question: str, own: Vote, others: Sequence[str]) -> str:
    """Return the question with the points of others, without names and numbers of those who made them."""
    listed = "\n".join(f"P{number}. {point}" for number, point in enumerate(others, 1))
    mine = "\n".join(f"- {as_entry(point)}" for point in own.points)
    return (
        f"{question}\n\nYou voted {own.verdict!r}, confidence {own.confidence:g} of 10, because:\n{mine}\n\n"
        f"Other reviewers made these points:\n{listed}\n\n"
        "Vote again. Points are to be weighed, not counted: keep your verdict unless one of them shows you that it "
        "was wrong, and then name that point in moved_by."
    )
