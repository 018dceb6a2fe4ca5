"""The rounds of a vote: all models at once and blind; then, where it is weak, once more with the points of others.

each seat: asked, within its time → voted | failed (an entry, not an end) | not awaited (the rest cannot matter)
tally ──strong──────────────────────────────────────────────→ outcome
      └─weak→ second round: a verdict that changes without a point named does not count, and is marked → outcome
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field

import msgspec

from exai.consulting.consultant import Consultant, Fitted, Prepared
from exai.consulting.context import CallContext
from exai.costs import Cost
from exai.errors import ContextOverflow, Stopping, ToolFault
from exai.providers.base import Completion
from exai.tools.voting.tally import Counted, Tally, is_decided, tally, weights
from exai.tools.voting.votes import (
    Seat,
    Vote,
    ballot,
    in_second_round,
    points_of,
    with_stance,
)
from exai.workflows.stages.prose import checked_prose
from exai.workflows.stages.shown_blocks import shown_file

__all__ = ["ANSWER_TOKENS", "Cast", "Election", "NoVote", "estimate"]

ANSWER_TOKENS = 8_000
"""Of one vote or summary, thinking included: what an estimate reckons with, and the cap where there is a budget."""

FIRST_SHARE = 0.5
SECOND_SHARE = 0.6
"""Of the time that is left: the longest that a round waits for a model."""


class Cast(msgspec.Struct, frozen=True):
    """A vote that counts."""

    seat: Seat
    vote: Vote
    """What counts: the second vote, or the first where the second one conformed."""
    first: Vote
    moved_by: str | None = None
    """The point that changed the verdict."""
    conformed: bool = False
    """Whether it changed its verdict in the second round and named no point, so that its first vote counts."""


class NoVote(msgspec.Struct, frozen=True):
    """A model that was asked and has no vote."""

    seat: Seat
    code: str
    reason: str
    """A sentence."""
    text: str = ""
    """What it answered, where that was no vote."""


@dataclass(slots=True)
class _Round:
    """The first round, as votes arrive."""

    seats: Sequence[Seat]
    early_stop: bool
    outcomes: dict[int, tuple[Vote, Completion] | NoVote] = field(default_factory=dict)

    @property
    def is_decided(self) -> bool:
        counts = weights([seat.family for seat in self.seats])
        votes = [
            (outcome[0].verdict, counts[number])
            for number, outcome in self.outcomes.items()
            if not isinstance(outcome, NoVote)
        ]
        open_weight = sum(counts[number] for number in range(len(self.seats)) if number not in self.outcomes)
        return self.early_stop and is_decided(votes, open_weight)


def estimate(fitted: Sequence[Fitted]) -> Cost:
    """Estimate what answers to these prompts cost; a model without a price adds to `unknown`."""
    total = Cost()
    for each in fitted:
        total += each.estimate(ANSWER_TOKENS)
    return total


class Election:
    """One vote of several models."""

    def __init__(
        self,
        consultant: Consultant,
        prepared: Prepared,
        seats: Sequence[Seat],
        options: tuple[str, ...],
        context: CallContext,
        *,
        model_s: float | None,
    ) -> None:
        """`model_s` bounds the time of each model, beside the call's own."""
        self._consultant = consultant
        self._prepared = prepared
        self._options = options
        self._context = context
        self._model_s = model_s
        self.seats = list(seats)
        """Those into whose windows the question fits, once that is known."""
        self.cast: list[Cast] = []
        self.without: list[NoVote] = []
        self.completions: dict[str, Completion] = {}
        """The answers that the first votes were read from, by seat."""
        self.citations: Counter[str] = Counter()
        """How many places the points name, by what was found when they were compared with what was shown."""
        self._read: dict[str, Prepared] = {}
        """The inquiry with its documents as each seat is shown them."""

    async def fit(self, *, reads: bool = True) -> list[Fitted]:
        """Make the prompts of the first round; a model that cannot be shown the question has no vote.

        Args:
            reads: whether documents are read for each model whose reading depends on it.

        Raises:
            ToolFault: no model can be shown the files.
        """
        kind, question = ballot(self._options), self._prepared.inquiry.question
        fitting: list[Seat] = []
        prompts: list[Fitted] = []
        faults: list[ToolFault] = []
        for seat in self.seats:
            try:
                own = self._prepared
                if reads:
                    own = await self._consultant.read_for(own, seat.model, self._context)
                prepared = own.varied(question=with_stance(question, seat), answer_as=kind)
                prompts.append(await self._consultant.fit(prepared, seat.model, self._context))
            except Stopping:
                raise
            except ToolFault as fault:
                faults.append(fault)
                self.without.append(NoVote(seat, fault.code, str(fault)))
            else:
                self._read[seat.name] = own
                fitting.append(seat)
        if not fitting and not all(isinstance(fault, ContextOverflow) for fault in faults):
            raise faults[0]
        self.seats = fitting
        return prompts

    @property
    def tally(self) -> Tally:
        """Count the votes, of which there is at least one."""
        return tally(
            [Counted(cast.seat.family, cast.vote.verdict, cast.vote.confidence) for cast in self.cast]
        )

    async def first_round(self, fitted: Sequence[Fitted], *, early_stop: bool) -> None:
        """Have every seat vote, side by side and without knowing of each other."""
        limit_s = self._limit_s(FIRST_SHARE)
        state = _Round(self.seats, early_stop)
        tasks: list[asyncio.Task[None]] = []

        async def vote(number: int) -> None:
            seat = self.seats[number]
            state.outcomes[number] = outcome = await self._vote(seat, fitted[number], limit_s)
            self._report(seat, outcome, len(state.outcomes))
            if state.is_decided:
                for task in tasks:
                    if task is not asyncio.current_task():
                        task.cancel()

        await _side_by_side(tasks, [vote(number) for number in range(len(self.seats))], self.seats)
        for number, seat in enumerate(self.seats):
            outcome = state.outcomes.get(number)
            if outcome is None:
                why = "The others had decided the vote, so its answer was not awaited."
                self.without.append(NoVote(seat, "not_awaited", why))
            elif isinstance(outcome, NoVote):
                self.without.append(outcome)
            else:
                self.cast.append(Cast(seat, outcome[0], outcome[0]))
                self.completions[seat.name] = outcome[1]

    async def second_round(self) -> list[NoVote]:
        """Have those who voted vote again, with the points of the others; return who did not; their first one stays."""
        limit_s = self._limit_s(SECOND_SHARE)
        failed: list[NoVote] = []
        kind, question = ballot(self._options), self._prepared.inquiry.question
        first: list[Cast] = list(self.cast)
        tasks: list[asyncio.Task[None]] = []

        async def vote(number: int) -> None:
            cast = first[number]
            others = points_of([other.first for other in first if other is not cast], self._context.call_id)
            asked = in_second_round(with_stance(question, cast.seat), cast.first, others)
            prepared = self._read[cast.seat.name].varied(question=asked, answer_as=kind)
            try:
                fitted = await self._consultant.fit(prepared, cast.seat.model, self._context)
            except ToolFault as fault:
                failed.append(NoVote(cast.seat, fault.code, str(fault)))
                return
            outcome = await self._vote(cast.seat, fitted, limit_s)
            if isinstance(outcome, NoVote):
                failed.append(outcome)
            else:
                self.cast[number] = _reconsidered(cast, outcome[0], others)
                self._context.progress.status(
                    f"{cast.seat.name} voted again: {self.cast[number].vote.verdict}"
                )

        await _side_by_side(
            tasks, [vote(number) for number in range(len(first))], [cast.seat for cast in first]
        )
        return failed

    async def _vote(self, seat: Seat, fitted: Fitted, limit_s: float) -> tuple[Vote, Completion] | NoVote:
        part = self._context.asking_through(self._context.ask.branch())
        try:
            async with asyncio.timeout(limit_s) as limit:
                answered = await self._consultant.ask(fitted, part, quietly=True)
        except Stopping:
            raise
        except ToolFault as fault:
            return NoVote(seat, fault.code, str(fault))
        except TimeoutError:
            if not limit.expired():
                raise
            return NoVote(seat, "deadline_exceeded", f"It did not vote within {limit_s:.0f} s.")
        structured = answered.structured
        if structured is None or not isinstance(structured.value, Vote):
            why = "" if structured is None else structured.fault or ""
            return NoVote(seat, "no_vote", f"Its answer was no vote: {why}.", answered.completion.text)
        return await self._checked(structured.value, fitted), answered.completion

    async def _checked(self, vote: Vote, fitted: Fitted) -> Vote:
        """Return a vote in whose points the places are marked that were not found in what was shown."""
        try:
            shown = [await shown_file(block) for block in fitted.shown.blocks]
        except ToolFault:
            return vote  # a file has gone meanwhile; a vote is none the less one
        points: list[str] = []
        for point in vote.points:
            text, states = checked_prose(point, shown)
            self.citations.update(states)
            points.append(text)
        return msgspec.structs.replace(vote, points=points)

    def _report(self, seat: Seat, outcome: tuple[Vote, Completion] | NoVote, count: int) -> None:
        said = (
            f"has no vote ({outcome.code})"
            if isinstance(outcome, NoVote)
            else f"voted {outcome[0].verdict}, confidence {outcome[0].confidence:g}"
        )
        self._context.progress.status(f"{seat.name} {said}; {count} of {len(self.seats)} have answered")

    def _limit_s(self, share: float) -> float:
        """Return how long a round may wait for a model."""
        limit_s = max(0.0, self._consultant.left_s(self._context)) * share
        return limit_s if self._model_s is None else min(limit_s, self._model_s)


async def _side_by_side(
    tasks: list[asyncio.Task[None]], votes: Sequence[Coroutine[None, None, None]], seats: Sequence[Seat]
) -> None:
    """Run one task for each seat; what ends the whole call ends all of them."""
    try:
        async with asyncio.TaskGroup() as group:
            for vote, seat in zip(votes, seats, strict=True):
                tasks.append(group.create_task(vote, name=f"vote {seat.name[:60]}"))
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None


def _reconsidered(cast: Cast, again: Vote, points: Sequence[str]) -> Cast:
    """Return what counts of a second vote: a verdict that changes needs one of the `points` that were shown."""
    if again.verdict == cast.first.verdict:
        return Cast(cast.seat, again, cast.first)
    named = again.moved_by.strip().upper().rstrip(".").removeprefix("P")
    if named.isdecimal() and 1 <= int(named) <= len(points):
        return Cast(cast.seat, again, cast.first, moved_by=points[int(named) - 1])
    return Cast(cast.seat, cast.first, cast.first, conformed=True)
