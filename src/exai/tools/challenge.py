"""`challenge`: an instruction to look again at a claim, or the judgement of a model that is not told whose it is."""

from typing import Annotated, Literal

import msgspec

from exai.auth import scopes
from exai.consulting.answer import AnswerReport, More
from exai.consulting.arguments import (
    EFFORT_NAMES,
    AnswerTokens,
    BudgetUsd,
    DryRun,
    EffortName,
    FallbackModels,
    FilePaths,
    ModelName,
    SendSecrets,
    Temperature,
    effort_named,
)
from exai.consulting.budgets import within_budget
from exai.consulting.consultant import Consultant
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.consulting.preview import preview_of_one
from exai.consulting.results import Result, ToolReturn
from exai.consulting.structured import as_entry
from exai.errors import BadArguments
from exai.tools.base import ANSWER_FIELDS, Arguments, Requested, Tool
from exai.tools.prompts import prompt

__all__ = ["Challenge", "ChallengeArguments", "Judged"]

REEXAMINE = """\
Do not answer yet whether this is right. Look at it as if a stranger had said it:

{statement}

1. What would have to be true for it to hold? Which of that have you seen, and which do you take for granted?
2. Find the strongest case against it: an input, a state, a version, an order of events. Check it, not from memory.
3. If it fails, say so plainly and show where. If it holds, say so and why, without softening it to please.
4. If it hangs on a fact that you do not have, name the check that would settle it, and run that."""


class ChallengeArguments(Arguments, frozen=True):
    statement: Annotated[str, msgspec.Meta(min_length=1, description="The claim, as it was made")]
    independent: Annotated[
        bool,
        msgspec.Meta(description="Have another model judge it, blind; else you are told how to look again"),
    ] = False
    absolute_file_paths: FilePaths = msgspec.field(default_factory=list)
    model: ModelName | None = None
    effort: EffortName | None = None
    temperature: Temperature | None = None
    send_secrets: SendSecrets = False
    dry_run: DryRun = False
    fallback_models: FallbackModels | None = None
    max_answer_tokens: AnswerTokens | None = None
    budget_usd: BudgetUsd | None = None

    def requested(self) -> Requested:
        return Requested(self.model, answer_tokens=None if self.dry_run else self.max_answer_tokens)


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a model finds of a claim."""

    verdict: Annotated[Literal["holds", "fails", "open"], msgspec.Meta(description="Of the claim")]
    reasons: Annotated[
        list[str],
        msgspec.Meta(description="At most 5, the strongest first; cite E<n> and lines where a file shows it"),
    ]
    would_settle: Annotated[str, msgspec.Meta(description="The check that would settle it")] = ""


class Judged(Result, frozen=True, kw_only=True):
    """How to look again, or what a model found."""

    continuation_id: str | None = None
    verdict: Literal["holds", "fails", "open"] | None = None
    model_used: str | None = None
    structured: bool = True
    notes: tuple[str, ...] = ()
    more: tuple[More, ...] = ()
    answer: str

    def text(self) -> str:
        if self.model_used is None:
            return self.answer
        head = f"[continuation_id: {self.continuation_id or 'none'} | {self.model_used}]"
        verdict = [] if self.verdict is None else [f"The claim: {self.verdict}."]
        return "\n".join([head, *(f"Note: {note}" for note in self.notes), "", *verdict, self.answer])


class Challenge:
    """Tests a claim before it is agreed with."""

    def __init__(self, consultant: Consultant) -> None:
        self._consultant = consultant
        self._instructions = prompt("challenge")

    def tool(self) -> Tool[ChallengeArguments, Judged]:
        """The catalogue's entry."""
        return Tool(
            name="challenge",
            title="Test a claim",
            description="Test a claim before agreeing with it.",
            arguments=ChallengeArguments,
            result=Judged,
            report=AnswerReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"send_secrets": scopes.FILES_SECRETS},
            argument_aliases={
                "prompt": "statement",
                "files": "absolute_file_paths",
                **EFFORT_NAMES,
            },
            file_arguments=("absolute_file_paths",),
            unlisted=frozenset(ChallengeArguments.__struct_encode_fields__) - {"statement", "independent"},
            open_world=True,
            listed_result=ANSWER_FIELDS,
            answers_alike=frozenset({"statement", "independent", "model", "effort"}),
        )

    async def run(self, arguments: ChallengeArguments, context: CallContext) -> ToolReturn[Judged]:
        """Answer with how to look again, or with a model's judgement.

        Raises:
            ToolFault: one of its subclasses.
        """
        statement = arguments.statement.strip()
        if not statement:
            raise BadArguments("Argument 'statement' is blank. Give the claim that is to be tested.")
        # Whoever names a model or shows files wants it asked.
        if not (arguments.independent or arguments.model or arguments.absolute_file_paths):
            return ToolReturn(Judged(answer=REEXAMINE.format(statement=statement)))
        inquiry = Inquiry(
            instructions=self._instructions,
            question=f"The claim:\n\n{statement}",
            model=arguments.model,
            fallback_models=arguments.fallback_models,
            file_paths=arguments.absolute_file_paths,
            effort=effort_named(arguments.effort),
            temperature=arguments.temperature,
            send_secrets=arguments.send_secrets,
            answer_as=Judgement,
        )
        if arguments.dry_run:
            _, requests, _ = await preview_of_one(self._consultant, inquiry, context)
            return ToolReturn(Judged(answer=requests))
        inquiry = await within_budget(self._consultant, inquiry, arguments.budget_usd, context)
        consultation = await self._consultant.consult(inquiry, context)
        judgement = consultation.value_as(Judgement)
        result = Judged(
            continuation_id=consultation.conversation_id,
            verdict=None if judgement is None else judgement.verdict,
            model_used=consultation.completion.model,
            structured=judgement is not None,
            notes=consultation.notes,
            answer=consultation.completion.text if judgement is None else _in_words(judgement),
        )
        return ToolReturn(result, consultation.findings, AnswerReport.of(consultation))


def _in_words(judgement: Judgement) -> str:
    lines = [f"- {as_entry(reason)}" for reason in judgement.reasons]
    if judgement.would_settle:
        lines.append(f"What would settle it: {as_entry(judgement.would_settle)}")
    return "\n".join(lines)
