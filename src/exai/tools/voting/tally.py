"""Counts votes. Models of one family err alike, so each further one of a family counts half of the one before."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from fractions import Fraction

import msgspec

__all__ = ["WEAK_MARGIN", "WEAK_SHARE", "Counted", "Tally", "is_decided", "tally", "weights"]

WEAK_SHARE = 2 / 3
"""Of the weight: a vote that has less is weak."""

WEAK_MARGIN = 0.25
"""Between the two strongest verdicts, in shares of the weighted confidence: a vote that has less is weak."""


class Counted(msgspec.Struct, frozen=True):
    """A vote as it is counted."""

    family: str
    verdict: str
    confidence: float
    """From 0 to 10."""


class Tally(msgspec.Struct, frozen=True):
    """The outcome of a vote."""

    majority: str | None
    """`None`: two verdicts have the same weight and confidence."""
    share: float
    """Of the weight, that the strongest verdict has."""
    margin: float
    """Of the weighted confidence, between the two strongest verdicts."""

    @property
    def is_weak(self) -> bool:
        """Whether it is too close to be taken as it is."""
        return self.majority is None or self.share < WEAK_SHARE - 1e-9 or self.margin < WEAK_MARGIN


def weights(families: Sequence[str]) -> list[Fraction]:
    """Return what each vote counts: one of a family 1, two of it 1.5 together, three 1.75."""
    sizes = Counter(families)
    return [Fraction(2 ** sizes[family] - 1, 2 ** (sizes[family] - 1) * sizes[family]) for family in families]


def tally(votes: Sequence[Counted]) -> Tally:
    """Count votes, of which there is at least one. Sums are exact, so that their order changes nothing."""
    counted = list(zip(votes, weights([vote.family for vote in votes]), strict=True))
    weight = _sums((vote.verdict, counts) for vote, counts in counted)
    conviction = _sums((vote.verdict, counts * Fraction(vote.confidence) / 10) for vote, counts in counted)
    ranked = sorted(weight, key=lambda verdict: (-weight[verdict], -conviction[verdict], verdict))
    first, second = ranked[0], ranked[1] if len(ranked) > 1 else None
    total = sum(conviction.values())
    lead = conviction[first] - (0 if second is None else conviction[second])
    is_tie = second is not None and (weight[first], conviction[first]) == (weight[second], conviction[second])
    return Tally(
        majority=None if is_tie else first,
        share=round(float(weight[first] / sum(weight.values())), 3),
        margin=round(float(lead / total), 3) if total else 0.0,
    )


def is_decided(votes: Sequence[tuple[str, Fraction]], outstanding: Fraction | int) -> bool:
    """Tell whether votes, each a verdict with its weight, keep their majority whatever is still `outstanding`."""
    ranked = sorted(_sums(votes).values(), reverse=True)
    return bool(ranked) and ranked[0] > (ranked[1] if len(ranked) > 1 else 0) + outstanding


def _sums(parts: Iterable[tuple[str, Fraction]]) -> dict[str, Fraction]:
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for verdict, part in parts:
        sums[verdict] += part
    return sums
