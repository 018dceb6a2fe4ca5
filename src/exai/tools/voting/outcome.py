"""A vote as an agent reads it, and as programs do: who voted for what and why, what counts, what it cost."""

from collections.abc import Iterator, Sequence
from typing import Self

import msgspec

from exai.consulting.answer import CostItems, More, TriedModel
from exai.consulting.results import Report, Result
from exai.consulting.structured import as_entry
from exai.costs import Bill, Usage
from exai.routing.ledger import Tried
from exai.tools.voting.rounds import Cast, NoVote
from exai.tools.voting.tally import Tally
from exai.tools.voting.votes import Synthesis

__all__ = ["Consensus", "ConsensusPreview", "ConsensusReport", "VoteShown", "WithoutVote", "votes_in_words"]

REASON_CHARACTERS = 200
"""Of why a model has no vote."""


class VoteShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model's vote."""

    model: str
    verdict: str
    confidence: float
    points: tuple[str, ...]
    would_change_my_mind: str = ""
    stance: str = ""
    """What it was asked to argue for, if anything."""
    changed_from: str = ""
    moved_by: str = ""
    """The point of another by which it was moved from that verdict."""
    conformed: bool = False
    """Whether it changed its verdict in the second round without a reason, so that the first one counts."""

    @classmethod
    def of(cls, cast: Cast) -> Self:
        vote = cast.vote
        return cls(
            model=cast.seat.model.name,
            verdict=vote.verdict,
            confidence=vote.confidence,
            points=tuple(vote.points),
            would_change_my_mind=vote.would_change_my_mind,
            stance="" if cast.seat.stance == "neutral" else cast.seat.stance,
            changed_from=cast.first.verdict if cast.moved_by is not None else "",
            moved_by=cast.moved_by or "",
            conformed=cast.conformed,
        )

    @property
    def lines(self) -> Iterator[str]:
        """Write it out."""
        stance = f", asked to argue {self.stance}" if self.stance else ""
        yield f"- {self.model}{stance}: {self.verdict}, confidence {self.confidence:g}"
        yield from (f"  - {as_entry(point)}" for point in self.points)
        if self.changed_from:
            yield f"  - changed from {self.changed_from} by: {as_entry(self.moved_by)}"
        if self.conformed:
            yield "  - changed its verdict in the second round without a reason; the first one counts"
        if self.would_change_my_mind:
            yield f"  - would change its mind: {as_entry(self.would_change_my_mind)}"


class WithoutVote(msgspec.Struct, frozen=True):
    """One model that was asked and has no vote."""

    model: str
    code: str
    reason: str

    @classmethod
    def of(cls, without: NoVote) -> Self:
        reason = without.reason
        shown = reason if len(reason) <= REASON_CHARACTERS else f"{reason[:REASON_CHARACTERS]}…"
        return cls(without.seat.model.name, without.code, shown)


class Consensus(Result, frozen=True, kw_only=True):
    """What several models voted."""

    continuation_id: str | None = None
    majority: str | None = None
    """`None`: a tie."""
    share: float
    """Of the weight, that the strongest verdict has."""
    weak: bool = False
    notes: tuple[str, ...] = ()
    more: tuple[More, ...] = ()
    answer: str
    """The arbiter's summary; without an arbiter the count in words."""
    would_settle: str | None = None
    votes: tuple[VoteShown, ...]
    without_vote: tuple[WithoutVote, ...] = ()
    cost_usd: float | None = None

    def text(self) -> str:
        cost = [] if self.cost_usd is None else [f"${self.cost_usd:.6f}"]
        head = " | ".join(
            [f"continuation_id: {self.continuation_id or 'none'}", f"{len(self.votes)} votes", *cost]
        )
        lines = [f"[{head}]", *(f"Note: {note}" for note in self.notes), "", *self.body]
        return "\n".join(lines)

    @property
    def body(self) -> Iterator[str]:
        """Write out what is more than the call's own."""
        majority = self.majority or "a tie"
        yield f"Majority: {majority}, {self.share:.0%} of the weight{', weak' if self.weak else ''}."
        yield from ("", self.answer)
        if self.would_settle:
            yield f"What would settle it: {as_entry(self.would_settle)}"
        yield ""
        for vote in self.votes:
            yield from vote.lines
        for each in self.without_vote:
            yield f"- {each.model}: no vote ({each.code}). {each.reason}"


class ConsensusPreview(Consensus, frozen=True, kw_only=True):
    """What would have been sent in the first round, in the place of votes."""

    share: float = 0.0
    votes: tuple[VoteShown, ...] = ()

    def text(self) -> str:
        return "\n".join([*(f"Note: {note}" for note in self.notes), self.answer])


class ConsensusReport(Report, frozen=True):
    """How a vote came about, and what it cost."""

    families: dict[str, str]
    """The family of each model."""
    rounds: int
    share: float
    margin: float
    arbiter: str | None
    estimated_usd: float
    budget_usd: float | None
    usage: Usage
    cost_usd: float | None
    cost: CostItems
    tried: tuple[TriedModel, ...]
    citations: dict[str, int] = msgspec.field(default_factory=dict)
    """How many places the points of all votes name, by what was found when they were compared with what was shown."""

    @classmethod
    def of(
        cls,
        tally: Tally,
        votes: Sequence[Cast],
        *,
        rounds: int,
        arbiter: str | None,
        estimated_usd: float,
        budget_usd: float | None,
        bill: Bill,
        tried: Sequence[Tried],
    ) -> Self:
        return cls(
            families={cast.seat.model.name: cast.seat.family for cast in votes},
            rounds=rounds,
            share=tally.share,
            margin=tally.margin,
            arbiter=arbiter,
            estimated_usd=estimated_usd,
            budget_usd=budget_usd,
            usage=bill.usage or Usage(),
            cost_usd=bill.cost.usd,
            cost=CostItems.of(bill.cost),
            tried=tuple(map(TriedModel.of, tried)),
        )


def votes_in_words(votes: Sequence[Cast]) -> str:
    """Write votes out for a model that is not to know whose they are."""
    blocks = []
    for letter, cast in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", votes, strict=False):
        points = "\n".join(f"- {as_entry(point)}" for point in cast.vote.points)
        blocks.append(
            f"Reviewer {letter}: {cast.vote.verdict}, confidence {cast.vote.confidence:g} of 10\n{points}"
        )
    return "\n\n".join(blocks)


def count_in_words(votes: Sequence[Cast], synthesis: Synthesis | None) -> str:
    """Return the summary of the votes, or how they were counted where nobody summed up."""
    if synthesis is not None:
        return synthesis.summary
    verdicts = list(dict.fromkeys(cast.vote.verdict for cast in votes))
    counts = (f"{sum(cast.vote.verdict == verdict for cast in votes)} for {verdict}" for verdict in verdicts)
    return f"{len(votes)} models voted: {', '.join(counts)}."
