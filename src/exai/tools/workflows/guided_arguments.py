"""Arguments of the guided form, in which the calling agent investigates; every tool with a workflow takes them."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from exai.consulting.arguments import (
    AnswerTokens,
    BudgetUsd,
    DryRun,
    EffortName,
    Fork,
    SendSecrets,
    Temperature,
)
from exai.errors import BadArguments
from exai.tools.base import Arguments
from exai.workflows.guided import Confidence, GuidedReport, files_of, further_arguments

__all__ = [
    "GUIDED",
    "OLDER_ARGUMENTS",
    "GuidedArguments",
    "of_all_steps",
    "question_of",
    "unusual",
]

TEXT_CHARACTERS = 50_000

StepNumber = Annotated[int, msgspec.Meta(ge=1)]
Names = Annotated[list[str], msgspec.Meta(max_length=1_000)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARACTERS)]


class GuidedArguments(Arguments, frozen=True, kw_only=True):
    """As agents know them."""

    step: Text | None = None
    step_number: StepNumber | None = None
    total_steps: StepNumber = 1
    next_step_required: bool | None = None
    findings: Text = ""
    files_checked: Names = msgspec.field(default_factory=list)
    relevant_files: Names = msgspec.field(default_factory=list)
    relevant_context: Names = msgspec.field(default_factory=list)
    issues_found: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=1_000)] = msgspec.field(
        default_factory=list
    )
    hypothesis: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    confidence: Confidence = "exploring"
    backtrack_from_step: StepNumber | None = None
    autonomy: Literal["agent", "server"] = "agent"
    fork: Fork = False
    use_assistant_model: bool = True
    effort: EffortName | None = None
    temperature: Temperature | None = None
    max_answer_tokens: AnswerTokens | None = None
    send_secrets: SendSecrets = False
    budget_usd: BudgetUsd | None = None
    dry_run: DryRun = False

    @property
    def is_guided(self) -> bool:
        """Whether the call is a step of the guided form."""
        return self.step is not None or self.step_number is not None

    @property
    def finishes(self) -> bool:
        """Whether it is the last step, or the engine is to finish by itself."""
        return self.next_step_required is False or self.autonomy == "server"

    @property
    def shown_tokens(self) -> int | None:
        """How long the answer may be that is shown; `None`: as long as any, as a preview is."""
        return None if self.dry_run else self.max_answer_tokens

    @property
    def shown_as_they_are(self) -> tuple[str, ...]:
        """The files that are shown with their secrets, where the workflow shows the others as evidence alone."""
        return tuple(self.relevant_files) if self.send_secrets else ()

    def report(self) -> GuidedReport:
        """Return the step that the call reports.

        Raises:
            BadArguments: an argument of the form is missing.
        """
        if self.step is None or not self.step.strip():
            raise BadArguments(
                "Argument 'step': say what this step is; the first one is the problem. Without 'step' and "
                "'step_number' the work is done in one call."
            )
        if self.step_number is None:
            raise BadArguments("Argument 'step_number': say which step this is; the first is 1.")
        if self.next_step_required is None and self.autonomy == "agent":
            raise BadArguments(
                "Argument 'next_step_required': say whether another step comes (true), or this is the last (false)."
            )
        return GuidedReport(
            step=self.step,
            number=self.step_number,
            total=max(self.total_steps, self.step_number),
            is_last=self.finishes,
            findings=self.findings,
            files_checked=tuple(self.files_checked),
            relevant_files=tuple(self.relevant_files),
            relevant_context=tuple(self.relevant_context),
            issues_found=tuple(self.issues_found),
            hypothesis=self.hypothesis,
            confidence=self.confidence,
            backtrack_from=self.backtrack_from_step,
            further={name: value for name, value in unusual(self).items() if name not in OF_ONE_STEP},
        )


GUIDED = frozenset(GuidedArguments.__struct_encode_fields__)
"""Their names: no list has them."""

OF_ONE_STEP = GUIDED - {
    "use_assistant_model",
    "effort",
    "temperature",
    "max_answer_tokens",
    "budget_usd",
} | {"continuation_id"}
"""What holds for the step that has it, and for none behind it; secrets are sent by whoever may do so in the last."""

OLDER_ARGUMENTS = frozenset({"images", "use_websearch"})
"""Arguments that the older tools took of every call, and that a workflow has no use for: it shows no pictures and
searches no web."""

G = TypeVar("G", bound=GuidedArguments)


def of_all_steps(arguments: G, reports: Sequence[GuidedReport]) -> G:
    """Return the arguments of a last step with those that earlier steps said, and the files that any of them named."""
    spoken = {**further_arguments(reports), **unusual(arguments), "relevant_files": files_of(reports)}
    return msgspec.convert(spoken, type(arguments))


def unusual(arguments: Arguments) -> dict[str, Any]:
    """Return the arguments that are not as usual."""
    fields = msgspec.structs.fields(arguments)
    usual = {
        field.encode_name: field.default_factory()
        if field.default_factory is not msgspec.NODEFAULT
        else field.default
        for field in fields
    }
    return {name: value for name, value in msgspec.to_builtins(arguments).items() if value != usual[name]}


def question_of(arguments: GuidedArguments, problem: str | None, name: str = "problem") -> str:
    """Return the question of a call; of the guided form, its reports are the question.

    Raises:
        BadArguments: there is none.
    """
    if problem is not None and problem.strip():
        return problem
    if arguments.is_guided:
        return ""
    raise BadArguments(
        f"Argument {name!r} is missing. Say what it is about, with what is needed to judge it."
    )
