"""`consensus`: one question to several models at once, none of which knows of the others.

seats chosen → files read → prompts made → estimate within the budget? → first round → weak? → second round
    → fewer than two votes? an error with what there is → summary by a model that did not vote → recorded
"""

from typing import Annotated, Any

import msgspec

from exai.auth import scopes
from exai.consulting.arguments import (
    EFFORT_NAMES,
    AnswerTokens,
    BudgetUsd,
    DryRun,
    EffortName,
    FilePaths,
    ImageSources,
    SendSecrets,
    Temperature,
    effort_named,
)
from exai.consulting.consultant import Consultant, Fitted, Prepared
from exai.consulting.context import CallContext
from exai.consulting.faults import BudgetTooSmall, ConsensusIncomplete
from exai.consulting.inquiry import Inquiry
from exai.consulting.preview import preview
from exai.consulting.results import Findings, ToolReturn
from exai.errors import BadArguments, Stopping, ToolFault
from exai.providers.catalog import Model
from exai.tools.base import ANSWER_FIELDS, Arguments, Requested, Tool
from exai.tools.prompts import prompt
from exai.tools.voting.outcome import (
    Consensus,
    ConsensusPreview,
    ConsensusReport,
    VoteShown,
    WithoutVote,
    count_in_words,
    votes_in_words,
)
from exai.tools.voting.rounds import ANSWER_TOKENS, Election, estimate
from exai.tools.voting.seats import LEAST_SEATS, MOST_SEATS, arbiter_for, named_seats, seats_for
from exai.tools.voting.votes import Synthesis

__all__ = ["ConsensusArguments", "ConsensusTool"]

VERDICTS = ("support", "oppose", "depends")
MOST_OPTIONS = 8

NO_ARBITER = "none"


ALONE = frozenset({"question", "models", "rebuttal", "options", "effort", "arbiter", "early_stop"})
"""Arguments with which a vote depends on their words alone."""


UNLISTED = frozenset(
    {
        "options",
        "images",
        "effort",
        "temperature",
        "arbiter",
        "early_stop",
        "deadline_s",
        "budget_usd",
        "send_secrets",
        "dry_run",
        "max_answer_tokens",
        "step_number",
        "total_steps",
        "next_step_required",
        "findings",
    }
)


class ConsensusArguments(Arguments, frozen=True):
    question: Annotated[
        str, msgspec.Meta(min_length=1, description="A proposition, or a choice; all models get these words")
    ]
    models: Annotated[
        list[Any], msgspec.Meta(max_length=MOST_SEATS, description="Names; default: the best of each family")
    ] = msgspec.field(default_factory=list)
    """Typed by `named_seats`: each client would pay for the schema of a seat."""
    absolute_file_paths: FilePaths = msgspec.field(default_factory=list)
    rebuttal: Annotated[bool, msgspec.Meta(description="Vote again where the vote is weak")] = True
    options: Annotated[list[str], msgspec.Meta(max_length=MOST_OPTIONS)] = msgspec.field(default_factory=list)
    images: ImageSources = msgspec.field(default_factory=list)
    effort: EffortName | None = None
    temperature: Temperature | None = None
    arbiter: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    early_stop: bool = False
    deadline_s: Annotated[float, msgspec.Meta(gt=0, le=3_600)] | None = None
    budget_usd: BudgetUsd | None = None
    send_secrets: SendSecrets = False
    dry_run: DryRun = False
    max_answer_tokens: AnswerTokens | None = None
    step_number: Annotated[int, msgspec.Meta(ge=1)] = 1
    total_steps: int = 1
    next_step_required: bool = False
    findings: str = ""

    def requested(self) -> Requested:
        return Requested(answer_tokens=None if self.dry_run else self.max_answer_tokens)


class ConsensusTool:
    """Puts a question to several models, and counts what they say."""

    def __init__(self, consultant: Consultant) -> None:
        self._consultant = consultant

    def tool(self) -> Tool[ConsensusArguments, Consensus]:
        """The catalogue's entry."""
        return Tool(
            name="consensus",
            title="Have models vote",
            description="Put one question to several models at once, blind: who votes for what, and the dissent.",
            arguments=ConsensusArguments,
            result=Consensus,
            report=ConsensusReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"send_secrets": scopes.FILES_SECRETS},
            argument_aliases={
                "proposal": "question",
                "step": "question",
                "prompt": "question",
                "relevant_files": "absolute_file_paths",
                "files": "absolute_file_paths",
                **EFFORT_NAMES,
            },
            file_arguments=("absolute_file_paths", "images"),
            unlisted=UNLISTED,
            open_world=True,
            listed_result=ANSWER_FIELDS,
            answers_alike=ALONE,
        )

    async def run(self, arguments: ConsensusArguments, context: CallContext) -> ToolReturn[Consensus]:
        """Have the models vote.

        Raises:
            BudgetTooSmall: it would cost more than `budget_usd`; nothing was asked.
            ConsensusIncomplete: fewer than two models voted.
            ToolFault: what is wrong with the arguments or the files.
        """
        return await _Vote(self._consultant, arguments, context).run()


class _Vote:
    """One call."""

    def __init__(self, consultant: Consultant, arguments: ConsensusArguments, context: CallContext) -> None:
        self._consultant = consultant
        self._arguments = arguments
        self._context = context
        self._notes: list[str] = []

    async def run(self) -> ToolReturn[Consensus]:
        arguments, router = self._arguments, self._consultant.router
        options = _options(arguments.options)
        inquiry = self._inquiry()
        seats = seats_for(router, named_seats(arguments.models), images=bool(arguments.images))
        arbiter = None
        if arguments.arbiter != NO_ARBITER:
            arbiter = arbiter_for(router, seats, arguments.arbiter)
        prepared = await self._consultant.prepare(inquiry, self._context)
        election = Election(
            self._consultant, prepared, seats, options, self._context, model_s=arguments.deadline_s
        )
        fitted = await election.fit(reads=not arguments.dry_run)
        estimated_usd = self._check_budget(fitted, arbiter)
        if arguments.dry_run:
            return await self._previewed(fitted, estimated_usd)
        await election.first_round(fitted, early_stop=arguments.early_stop)
        rounds = await self._second_round(election, fitted)
        if len(election.cast) < LEAST_SEATS:
            raise _incomplete(election)
        synthesis, arbiter_name = await self._sum_up(election, prepared, arbiter)
        result = self._result(election, synthesis)
        handle, result = await self._recorded(election, fitted, result)
        report = ConsensusReport.of(
            election.tally,
            election.cast,
            rounds=rounds,
            arbiter=arbiter_name,
            estimated_usd=estimated_usd,
            budget_usd=arguments.budget_usd,
            bill=self._context.ask.ledger.bill,
            tried=self._context.ask.ledger.tried,
        )
        report = msgspec.structs.replace(report, citations=dict(election.citations))
        return ToolReturn(result, self._findings(election, handle), report)

    async def _previewed(self, fitted: list[Fitted], estimated_usd: float) -> ToolReturn[Consensus]:
        requests = await preview(self._consultant, fitted, self._context)
        all_rounds = (
            f"With a second round, if it comes to that, and a summary: about ${estimated_usd:.6f} at most."
        )
        return ToolReturn(ConsensusPreview(notes=(all_rounds,), answer=requests))

    def _inquiry(self) -> Inquiry:
        arguments = self._arguments
        if arguments.step_number > 1:
            raise BadArguments(
                "Argument 'step_number': a vote is one call here, in which all models vote side by side. The answer to "
                "the first call had all of it: ask `chat` with its continuation_id, or vote again without step_number."
            )
        question = arguments.question.strip()
        if not question:
            raise BadArguments("Argument 'question' is blank. Say what is to be voted on.")
        return Inquiry(
            instructions=prompt("consensus"),
            question=question,
            file_paths=arguments.absolute_file_paths,
            images=arguments.images,
            effort=effort_named(arguments.effort),
            temperature=arguments.temperature,
            send_secrets=arguments.send_secrets,
            max_answer_tokens=None if arguments.budget_usd is None else ANSWER_TOKENS,
        )

    def _check_budget(self, fitted: list[Fitted], arbiter: Model | None) -> float:
        """Return what the vote is expected to cost at most.

        Raises:
            BudgetTooSmall: that is more than the caller allows.
        """
        votes = estimate(fitted)
        first = votes.known_usd
        # A second round reads the points of the first one as well, and the summary reads all of them.
        second = first * 1.5 if self._arguments.rebuttal else 0.0
        summary = 0.0
        if arbiter is not None and arbiter.price is not None:
            read = 1_000 + ANSWER_TOKENS * len(fitted) / 4
            summary = (read * arbiter.price.input + ANSWER_TOKENS * arbiter.price.output) / 1e6
        total, budget = round(first + second + summary, 6), self._arguments.budget_usd
        if budget is None:
            return total
        if votes.unknown:
            raise BudgetTooSmall(
                f"Argument 'budget_usd': no estimate can be held to it. {votes.unknown[0]} Name models that have a "
                "price (see `status` with section models), or leave budget_usd out."
            )
        if total > budget:
            cheaper = f"the first round alone costs about ${first:.4f} (rebuttal false, arbiter 'none')"
            raise BudgetTooSmall(
                f"The vote of {', '.join(each.prompt.model.name for each in fitted)} is estimated at ${total:.4f}, "
                f"above budget_usd {budget:g}. Nothing was asked. Raise it, or ask for less: {cheaper}, and fewer or "
                "cheaper models less."
            )
        return total

    async def _second_round(self, election: Election, fitted: list[Fitted]) -> int:
        """Vote again where that may help; return how many rounds there were."""
        votes = len(election.cast)
        if votes < LEAST_SEATS or not self._arguments.rebuttal or not election.tally.is_weak:
            return 1
        if not self._affords(estimate(fitted).known_usd * 1.5):
            self._notes.append("The vote is weak, and budget_usd did not allow for a second round.")
            return 1
        for each in await election.second_round():
            self._notes.append(f"{each.seat.name} did not vote again ({each.code}); its first vote counts.")
        return 2

    def _affords(self, usd: float) -> bool:
        budget = self._arguments.budget_usd
        return budget is None or self._context.ask.ledger.bill.cost.known_usd + usd <= budget

    async def _sum_up(
        self, election: Election, prepared: Prepared, arbiter: Model | None
    ) -> tuple[Synthesis | None, str | None]:
        """Have a model that did not vote sum up; the votes stand without it."""
        if arbiter is None:
            if self._arguments.arbiter != NO_ARBITER:
                self._notes.append("No model is left that did not vote, so nobody summed up.")
            return None, None
        asked = (
            f"The question:\n\n{prepared.inquiry.question}\n\nThe votes:\n\n{votes_in_words(election.cast)}"
        )
        without_files = msgspec.structs.replace(prepared.inquiry, file_paths=(), images=())
        try:
            summing = await self._consultant.prepare(without_files, self._context)
            summing = summing.varied(question=asked, instructions=prompt("arbiter"), answer_as=Synthesis)
            fitted = await self._consultant.fit(summing, arbiter, self._context)
            if not self._affords(estimate([fitted]).known_usd):
                self._notes.append("budget_usd did not allow for a summary.")
                return None, None
            self._context.progress.status(f"{arbiter.name} sums up")
            answered = await self._consultant.ask(fitted, self._context, quietly=True)
        except Stopping:
            raise
        except ToolFault as fault:
            self._notes.append(f"{arbiter.name} could not sum up ({fault.code}); the votes stand without it.")
            return None, None
        value = None if answered.structured is None else answered.structured.value
        if isinstance(value, Synthesis):
            return value, arbiter.name
        return Synthesis(summary=answered.completion.text), arbiter.name

    def _result(self, election: Election, synthesis: Synthesis | None) -> Consensus:
        tally = election.tally
        return Consensus(
            majority=tally.majority,
            share=tally.share,
            weak=tally.is_weak,
            notes=tuple(self._notes),
            answer=count_in_words(election.cast, synthesis),
            would_settle=None if synthesis is None else synthesis.would_settle or None,
            votes=tuple(map(VoteShown.of, election.cast)),
            without_vote=tuple(map(WithoutVote.of, election.without)),
            cost_usd=self._context.ask.ledger.bill.cost.usd,
        )

    async def _recorded(
        self, election: Election, fitted: list[Fitted], result: Consensus
    ) -> tuple[str | None, Consensus]:
        """Keep question and outcome as an exchange, with which `chat` can go on."""
        voter = election.cast[0].seat
        (own,) = [each for each, seat in zip(fitted, election.seats, strict=True) if seat is voter]
        outcome = msgspec.structs.replace(
            election.completions[voter.name], text="\n".join(result.body), reasoning=None
        )
        recording = await self._consultant.record(own, outcome, self._context)
        notes = (*own.shown.notes, *result.notes)
        if recording.not_kept is not None:
            notes = (*notes, recording.not_kept)
        handle = recording.conversation_id
        return handle, msgspec.structs.replace(result, continuation_id=handle, notes=notes)

    def _findings(self, election: Election, handle: str | None) -> Findings:
        models = ", ".join(dict.fromkeys(cast.seat.model.name for cast in election.cast))
        return Findings(
            provider=election.cast[0].seat.model.provider, model_used=models, conversation_id=handle
        )


def _options(given: list[str]) -> tuple[str, ...]:
    """Return the verdicts that can be voted for."""
    options = tuple(dict.fromkeys(option.strip() for option in given))
    if not options:
        return VERDICTS
    if len(options) < 2 or not all(0 < len(option) <= 100 for option in options):
        raise BadArguments(
            "Argument 'options': Give 2 to 8 different texts of at most 100 characters, or leave it out for "
            f"{', '.join(VERDICTS)}."
        )
    return options


def _incomplete(election: Election) -> ConsensusIncomplete:
    failed = " ".join(
        f"{each.seat.name}: {each.code}, {WithoutVote.of(each).reason}" for each in election.without
    )
    fault = ConsensusIncomplete(
        f"{len(election.cast)} of {len(election.cast) + len(election.without)} models voted, and a consensus needs "
        f"two. {failed} Try again, or name other models."
    )
    lines = [line for cast in election.cast for line in VoteShown.of(cast).lines]
    lines += [f"- {each.seat.name}: {each.text[:2_000]}" for each in election.without if each.text]
    fault.partial = "\n".join(lines)
    return fault
