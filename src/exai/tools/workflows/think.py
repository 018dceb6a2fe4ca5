"""`think`: a hard question answered, attacked by another family, and answered with what remains."""

from typing import Annotated

import msgspec

from exai.auth import scopes
from exai.consulting.arguments import (
    EFFORT_NAMES,
    ContinuationId,
    FallbackModels,
    FilePaths,
    ModelName,
)
from exai.consulting.context import CallContext
from exai.consulting.results import ToolReturn
from exai.tools.aliases import Alias
from exai.tools.base import ANSWER_FIELDS, SHOWN_WHOLE, Requested, Tool
from exai.tools.workflows.answers import WorkflowAnswer, WorkflowReport, returned
from exai.tools.workflows.calls import Shape, WorkflowCalls
from exai.tools.workflows.guided_arguments import (
    GUIDED,
    OLDER_ARGUMENTS,
    GuidedArguments,
    question_of,
)
from exai.workflows.definitions import Workflow
from exai.workflows.request import WorkflowRequest

__all__ = ["Think", "ThinkArguments"]


class ThinkArguments(GuidedArguments, frozen=True):
    problem: Annotated[str, msgspec.Meta(description="The question, with your reasoning so far")] | None = (
        None
    )
    absolute_file_paths: FilePaths = msgspec.field(default_factory=list)
    focus: Annotated[list[str], msgspec.Meta(max_length=20)] = msgspec.field(default_factory=list)
    model: ModelName | None = None
    fallback_models: FallbackModels | None = None
    continuation_id: ContinuationId | None = None

    def requested(self) -> Requested:
        return Requested(self.model, self.continuation_id, self.shown_tokens)


class Think:
    """Runs the workflow `think`."""

    def __init__(self, calls: WorkflowCalls, workflow: Workflow) -> None:
        self._calls = calls
        self._workflow = workflow

    def tool(self) -> Tool[ThinkArguments, WorkflowAnswer]:
        """The catalogue's entry."""
        return Tool(
            name="think",
            title="Think",
            description="Have a hard question thought through and your reasoning tested.",
            arguments=ThinkArguments,
            result=WorkflowAnswer,
            report=WorkflowReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"send_secrets": scopes.FILES_SECRETS},
            argument_aliases=EFFORT_NAMES,
            aliases=(
                Alias(
                    "thinkdeep",
                    renames={"problem_context": "problem", "focus_areas": "focus"},
                    ignored=OLDER_ARGUMENTS,
                ),
            ),
            file_arguments=("absolute_file_paths", "relevant_files"),
            unlisted=GUIDED | {"fallback_models"},
            deadline_s=self._workflow.definition.budget.seconds,
            open_world=True,
            resumes=True,
            listed_result=ANSWER_FIELDS,
            answers_alike=frozenset({"problem", "focus", "model", "fallback_models"}),
            meta=SHOWN_WHOLE,
        )

    async def run(self, arguments: ThinkArguments, context: CallContext) -> ToolReturn[WorkflowAnswer]:
        """Answer a question by the workflow.

        Raises:
            ToolFault: one of its subclasses.
        """
        shape = Shape(WorkflowAnswer, returned)
        return await self._calls.answer(self._workflow, arguments, _requested, context, shape)


async def _requested(arguments: ThinkArguments) -> WorkflowRequest:
    focus = ", ".join(arguments.focus)
    return WorkflowRequest(
        question=question_of(arguments, arguments.problem),
        inputs={"focus": f"Look at this above all: {focus}"} if focus else {},
        file_paths=tuple(dict.fromkeys((*arguments.absolute_file_paths, *arguments.relevant_files))),
        model=arguments.model,
        fallback_models=None if arguments.fallback_models is None else tuple(arguments.fallback_models),
        continuation_id=arguments.continuation_id,
        fork=arguments.fork,
    )
