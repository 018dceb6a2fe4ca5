"""What tools that run workflows return: an answer for the agent, and a report of how the run came to it."""

from collections.abc import Iterator
from typing import Any, Self

import msgspec

from exai.consulting.answer import More
from exai.consulting.results import Confirmation, Findings, Report, Result, ToolReturn
from exai.evidence.shown import ShownEvidence
from exai.tools.base import Arguments
from exai.tools.workflows.guided_arguments import unusual
from exai.workflows.exploring.rounds import Explored
from exai.workflows.faults import Unconfirmed
from exai.workflows.outcomes import ExpertReport, Outcome, StageReport

__all__ = ["Confirming", "WorkflowAnswer", "WorkflowReport", "findings_of", "report_of", "returned"]

MOST_REPEATED = 2_000
"""Characters of a call that are written out for the one who made it."""


class Confirming(msgspec.Struct, frozen=True):
    """What is answered where a call needs a budget."""

    next_call: dict[str, Any]
    """The same call with a budget; of a long one, the budget alone."""
    estimated_usd: float
    answer: str
    confirmation: Confirmation

    @classmethod
    def of(cls, arguments: Arguments, needed: Unconfirmed) -> "Confirming":
        """Say how a call is allowed what it is estimated at."""
        confirmation = Confirmation(
            needed.estimated_usd, needed.above_usd, needed.budget_usd, needed.conversation_id
        )
        allowed = confirmation.allowed
        repeated = {**unusual(arguments), **allowed}
        is_short = len(msgspec.json.encode(repeated)) <= MOST_REPEATED
        names = " and ".join(f"{name}={value}" for name, value in allowed.items())
        answer = (
            f"{needed} To have it done, make the same call with {names}; ask your user first where they pay."
        )
        return cls(repeated if is_short else allowed, round(needed.estimated_usd, 6), answer, confirmation)


class WorkflowReport(Report, frozen=True):
    """How an answer came about."""

    workflow_id: str
    stages: tuple[StageReport, ...]
    expert: ExpertReport | None
    citations: dict[str, int]
    """How many places the answers name, by what was found when they were compared with what was shown."""
    evidence: tuple[ShownEvidence, ...]
    """What was gathered in the workspace: what was shown, under its id, and why the rest was not."""
    exploring: Explored | None
    """How far the model looked for evidence by itself, and why it ended."""
    partial: bool
    recalled: bool
    cost_usd: float | None
    """Of the run, earlier calls included; null where a request has no known price."""

    def kept(self) -> Self:
        return msgspec.structs.replace(super().kept(), evidence=())


class WorkflowAnswer(Result, frozen=True, kw_only=True):
    """An answer that several requests came to. All that is short stands before it."""

    continuation_id: str | None = None
    model_used: str = ""
    notes: tuple[str, ...] = ()
    next_call: dict[str, Any] | None = None
    """The arguments of the guided form's next step, or of the call that allows what this one is estimated at."""
    estimated_usd: float | None = None
    """What the call is estimated at, where nothing was asked because it needs a budget."""
    required_actions: tuple[str, ...] = ()
    """Of the guided form: what to do before it."""
    more: tuple[More, ...] = ()
    """Where to read on by `files`."""
    answer: str

    @classmethod
    def of(cls, outcome: Outcome) -> "WorkflowAnswer":
        """Make it of what a run came to."""
        return cls(
            continuation_id=outcome.conversation_id,
            model_used=", ".join(outcome.models),
            notes=(*_of_expert(outcome.expert), *outcome.notes),
            answer=outcome.answer,
        )

    def text(self) -> str:
        head = [] if self.continuation_id is None else [f"continuation_id: {self.continuation_id}"]
        if self.model_used:
            head += [self.model_used]
        lines = [f"[{' | '.join(head)}]"] if head else []
        lines += [f"Note: {note}" for note in self.notes]
        if self.next_call is not None:
            lines += [f"Next: {msgspec.json.encode(self.next_call).decode()}"]
        return "\n".join([*lines, "", self.answer] if lines else [self.answer])


def returned(outcome: Outcome) -> ToolReturn[WorkflowAnswer]:
    """Return what a run came to, as its tool does."""
    return ToolReturn(WorkflowAnswer.of(outcome), findings_of(outcome), report_of(outcome))


def report_of(outcome: Outcome) -> WorkflowReport:
    """Return how a run came to its answer."""
    costs = [stage.cost_usd for stage in outcome.stages]
    known = [cost for cost in costs if cost is not None]
    return WorkflowReport(
        workflow_id=outcome.workflow_id,
        stages=outcome.stages,
        expert=outcome.expert,
        citations=outcome.citations,
        evidence=outcome.evidence,
        exploring=outcome.exploring,
        partial=outcome.is_partial,
        recalled=outcome.recalled,
        cost_usd=round(sum(known), 9) if len(known) == len(costs) else None,
    )


def findings_of(outcome: Outcome) -> Findings:
    """Return what the journal keeps of a run."""
    return Findings(
        model_used=outcome.models[0] if outcome.models else None, conversation_id=outcome.conversation_id
    )


def _of_expert(expert: ExpertReport | None) -> Iterator[str]:
    if expert is None:
        return
    if not expert.ran:
        yield f"No other family was asked. {expert.why}"
    elif expert.family == "same":
        yield f"{expert.model} was asked once more, in a new context. {expert.why}"
