"""`debug`: hypotheses of a failure's cause, ranked, compared with the code that was shown, and refuted where unsure."""

from typing import Annotated, Literal

import msgspec

from exai.auth import scopes
from exai.consulting.arguments import (
    EFFORT_NAMES,
    ContinuationId,
    FallbackModels,
    ModelName,
    WorkspaceName,
)
from exai.consulting.context import CallContext
from exai.consulting.results import ToolReturn
from exai.evidence.pieces import Wanted
from exai.tools.base import ANSWER_FIELDS, Requested, Tool
from exai.tools.workflows.answers import WorkflowAnswer, WorkflowReport, returned
from exai.tools.workflows.calls import Shape, WorkflowCalls
from exai.tools.workflows.guided_arguments import GUIDED, GuidedArguments, question_of
from exai.workflows.definitions import Workflow
from exai.workflows.request import WorkflowRequest

__all__ = ["Debug", "DebugArguments"]

LOG_CHARACTERS = 200_000
LOG_HEAD = 10_000
LOG_SHOWN = 40_000
"""Of a longer log the beginning and the end are shown: it ends with what failed."""


class DebugArguments(GuidedArguments, frozen=True):
    problem: Annotated[str, msgspec.Meta(description="What happens, and what should")] | None = None
    log: Annotated[str, msgspec.Meta(max_length=LOG_CHARACTERS)] | None = None
    workspace: WorkspaceName | None = None
    paths: Annotated[list[str], msgspec.Meta(max_length=500)] = msgspec.field(default_factory=list)
    depth: Literal["quick", "standard", "deep"] = "standard"
    model: ModelName | None = None
    fallback_models: FallbackModels | None = None
    continuation_id: ContinuationId | None = None

    def requested(self) -> Requested:
        return Requested(self.model, self.continuation_id, self.shown_tokens)


class Debug:
    """Runs the workflow `debug`."""

    def __init__(self, calls: WorkflowCalls, workflow: Workflow) -> None:
        self._calls = calls
        self._workflow = workflow

    def tool(self) -> Tool[DebugArguments, WorkflowAnswer]:
        """The catalogue's entry."""
        return Tool(
            name="debug",
            title="Debug",
            description="Find the root cause of a failure in this code.",
            arguments=DebugArguments,
            result=WorkflowAnswer,
            report=WorkflowReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"send_secrets": scopes.FILES_SECRETS},
            argument_aliases={"absolute_file_paths": "paths", **EFFORT_NAMES},
            file_arguments=("workspace", "paths", "relevant_files"),
            unlisted=GUIDED | {"model", "fallback_models"},
            deadline_s=self._workflow.definition.budget.seconds,
            open_world=True,
            resumes=True,
            listed_result=ANSWER_FIELDS,
        )

    async def run(self, arguments: DebugArguments, context: CallContext) -> ToolReturn[WorkflowAnswer]:
        """Look for the cause by the workflow.

        Raises:
            ToolFault: one of its subclasses.
        """
        shape = Shape(WorkflowAnswer, returned)
        return await self._calls.answer(self._workflow, arguments, _requested, context, shape)


async def _requested(arguments: DebugArguments) -> WorkflowRequest:
    return WorkflowRequest(
        question=question_of(arguments, arguments.problem),
        inputs={} if arguments.log is None else {"log": _shown(arguments.log)},
        depth=arguments.depth,
        file_paths=tuple(dict.fromkeys((*arguments.paths, *arguments.relevant_files))),
        workspace=arguments.workspace,
        wanted=Wanted(log=arguments.log or ""),
        model=arguments.model,
        fallback_models=None if arguments.fallback_models is None else tuple(arguments.fallback_models),
        continuation_id=arguments.continuation_id,
        fork=arguments.fork,
    )


def _shown(log: str) -> str:
    """Leave out the middle of a long log."""
    if len(log) <= LOG_SHOWN:
        return log
    left_out = len(log) - LOG_SHOWN
    return f"{log[:LOG_HEAD]}\n[{left_out} characters left out]\n{log[-(LOG_SHOWN - LOG_HEAD) :]}"
