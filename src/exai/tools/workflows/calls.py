"""From the arguments of a tool that runs a workflow to its result, in either form."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from exai.consulting.arguments import effort_named
from exai.consulting.context import CallContext
from exai.consulting.results import Findings, ToolReturn
from exai.errors import BadArguments
from exai.tools.base import Arguments
from exai.tools.workflows.answers import Confirming, WorkflowAnswer
from exai.tools.workflows.guided_arguments import GuidedArguments, of_all_steps
from exai.workflows.definitions import Workflow
from exai.workflows.engine import Engine
from exai.workflows.faults import Unconfirmed
from exai.workflows.guided import GuidedReport, next_call
from exai.workflows.guided_runs import GuidedRuns, Reported
from exai.workflows.outcomes import Outcome, Previewed
from exai.workflows.request import WorkflowRequest

__all__ = ["Shape", "WorkflowCalls", "kept"]

MOST_KEPT = 400_000
"""Characters of a call's arguments; a log has at most half of that."""


G = TypeVar("G", bound=GuidedArguments)
R = TypeVar("R", bound=WorkflowAnswer)


@dataclass(frozen=True)
class Shape(Generic[R]):
    """How a tool says what became of a call."""

    answer: type[R]
    """Its result."""
    of: Callable[[Outcome], ToolReturn[R]]
    """Makes it of what a run came to."""


class WorkflowCalls:
    """Answers the calls of every tool that runs a workflow."""

    def __init__(self, engine: Engine, guided: GuidedRuns) -> None:
        self._engine = engine
        self._guided = guided

    async def run(
        self, workflow: Workflow, arguments: Arguments, request: WorkflowRequest, context: CallContext
    ) -> Outcome:
        """Do the work of a tool that has no guided form.

        Raises:
            ToolFault: one of its subclasses.
            Unconfirmed: it needs a budget.
        """
        return await self._engine.call(workflow, request, context, arguments=kept(arguments))

    async def preview(self, workflow: Workflow, request: WorkflowRequest, context: CallContext) -> Previewed:
        """Return what the work would ask; nothing is asked.

        Raises:
            ToolFault: it could not be asked.
        """
        return await self._engine.preview(workflow, request, context)

    async def answer(
        self,
        workflow: Workflow,
        arguments: G,
        requested: Callable[[G], Awaitable[WorkflowRequest]],
        context: CallContext,
        shape: Shape[R],
    ) -> ToolReturn[R]:
        """Do the work, or take one step of the caller's.

        `requested` makes the request of a call's arguments; of the guided form, of those that all steps said.

        Raises:
            ToolFault: one of its subclasses.
        """

        async def bounded(given: G) -> WorkflowRequest:
            return msgspec.structs.replace(
                await requested(given),
                wants_expert=given.use_assistant_model,
                budget_usd=given.budget_usd,
                effort=effort_named(given.effort),
                temperature=given.temperature,
                send_secrets=given.send_secrets,
                max_answer_tokens=given.max_answer_tokens,
            )

        if arguments.dry_run:
            if arguments.is_guided:
                raise BadArguments(
                    "Argument 'dry_run': a step asks nobody but the last one. Leave 'step' and 'step_number' out to "
                    "see the requests of one call."
                )
            previewed = await self.preview(workflow, await bounded(arguments), context)
            return ToolReturn(
                shape.answer(
                    model_used=previewed.model or "", notes=previewed.notes, answer=previewed.requests
                )
            )
        try:
            if arguments.is_guided:
                return await self._step(workflow, arguments, bounded, context, shape)
            return shape.of(await self.run(workflow, arguments, await bounded(arguments), context))
        except Unconfirmed as needed:
            confirming = Confirming.of(arguments, needed)
            return ToolReturn(
                shape.answer(
                    continuation_id=needed.conversation_id,
                    next_call=confirming.next_call,
                    estimated_usd=confirming.estimated_usd,
                    answer=confirming.answer,
                ),
                Findings(conversation_id=needed.conversation_id),
                confirmation=confirming.confirmation,
            )

    async def _step(
        self,
        workflow: Workflow,
        arguments: G,
        requested: Callable[[G], Awaitable[WorkflowRequest]],
        context: CallContext,
        shape: Shape[R],
    ) -> ToolReturn[R]:
        if arguments.fork:
            raise BadArguments(
                "Argument 'fork': continuation_id names the run that the step belongs to, which has no copy. Leave it "
                "out, or 'step' and 'step_number'."
            )
        handle = arguments.requested().conversation_id
        request = WorkflowRequest(question="", continuation_id=handle)
        report = arguments.report()
        outcome = await self._guided.report(
            workflow,
            report,
            request,
            context,
            finishes=arguments.finishes,
            requested=lambda reports: requested(of_all_steps(arguments, reports)),
        )
        if not isinstance(outcome, Reported):
            return shape.of(outcome)
        return ToolReturn(
            shape.answer(**_next_step(workflow, report, outcome)),
            Findings(conversation_id=outcome.conversation_id),
        )


def kept(arguments: Arguments) -> str | None:
    """Return arguments as a run keeps them, by which the same can be asked for again; `None`: they are too long."""
    given = {name: value for name, value in msgspec.to_builtins(arguments).items() if value is not None}
    text = msgspec.json.encode(given).decode()
    return text if len(text) <= MOST_KEPT else None


def _next_step(workflow: Workflow, report: GuidedReport, taken: Reported) -> dict[str, Any]:
    """Say what the caller is to do before its next step, as the fields of an answer."""
    word = "first" if report.number == 1 else report.confidence
    actions = workflow.actions(word, report.confidence)
    lines = [f"Step {report.number} is kept; {taken.reports} count. Before the next call of {workflow.name}:"]
    lines += [f"- {action}" for action in actions]
    lines += [
        "",
        "Then report by the call above. Do not call again before you have done this; with next_step_required=false the "
        "last step has it concluded, with autonomy=server this one does.",
    ]
    return {
        "continuation_id": taken.conversation_id,
        "next_call": next_call(report, taken.conversation_id),
        "required_actions": actions,
        "answer": "\n".join(lines),
    }
