"""`analyze`: evidence of a workspace, gathered by structure and without a model, and one model that explains it.

With `kind=refactor` the model names what is worth restructuring, and each place is compared with the workspace.
"""

from typing import Annotated, Literal, Self

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
from exai.errors import BadArguments
from exai.evidence.pieces import Wanted
from exai.evidence.requests import Graph
from exai.tools.base import ANSWER_FIELDS, Requested, Tool
from exai.tools.older.refactoring import REFACTORERS
from exai.tools.older.tracing import TRACERS
from exai.tools.workflows.answers import WorkflowAnswer, WorkflowReport, findings_of, report_of
from exai.tools.workflows.calls import Shape, WorkflowCalls
from exai.tools.workflows.guided_arguments import GuidedArguments, question_of
from exai.workflows.definitions import Workflow
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest

__all__ = ["AnalysisReport", "Analyze", "AnalyzeArguments"]

MOST_PATHS = 50
QUESTION_CHARACTERS = 20_000
TYPES = {
    "architecture": "Look above all at how the parts fit together, and whether that fits what they are for.",
    "performance": "Look above all at what takes time, memory or requests.",
    "security": "Look above all at what an attacker could reach.",
    "quality": "Look above all at what makes the code hard to change and to test.",
    "general": "",
}
FORMATS = {
    "summary": "Answer with a summary of at most ten lines.",
    "detailed": "Answer in detail, part by part.",
    "actionable": "Answer with what to do next, as a list in the order of its worth.",
}


class AnalyzeArguments(GuidedArguments, frozen=True):
    question: Annotated[str, msgspec.Meta(max_length=QUESTION_CHARACTERS)] | None = None
    kind: Literal["structure", "trace", "dependencies", "refactor"] = "structure"
    target: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=500,
                description="Where a trace or dependencies begin: path, Class.method or path:name",
            ),
        ]
        | None
    ) = None
    workspace: WorkspaceName | None = None
    paths: Annotated[list[str], msgspec.Meta(max_length=MOST_PATHS)] = msgspec.field(default_factory=list)
    model: ModelName | None = None
    fallback_models: FallbackModels | None = None
    continuation_id: ContinuationId | None = None
    analysis_type: Literal["architecture", "performance", "security", "quality", "general"] | None = None
    output_format: Literal["summary", "detailed", "actionable"] | None = None

    def requested(self) -> Requested:
        return Requested(self.model, self.continuation_id, self.shown_tokens)


class AnalysisReport(WorkflowReport, frozen=True):
    """How an analysis came about."""

    graph: Graph | None = None
    """Without the texts of its nodes."""

    def kept(self) -> Self:
        return msgspec.structs.replace(super().kept(), graph=None)


class Analyze:
    """Runs the workflow `analyze`."""

    def __init__(self, calls: WorkflowCalls, workflow: Workflow) -> None:
        self._calls = calls
        self._workflow = workflow

    def tool(self) -> Tool[AnalyzeArguments, WorkflowAnswer]:
        """The catalogue's entry."""
        return Tool(
            name="analyze",
            title="Analyze",
            description="Explain structure, trace calls, find what to restructure.",
            arguments=AnalyzeArguments,
            result=WorkflowAnswer,
            report=AnalysisReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"send_secrets": scopes.FILES_SECRETS},
            file_arguments=("workspace",),
            argument_aliases=EFFORT_NAMES,
            aliases=(*TRACERS, *REFACTORERS),
            unlisted=frozenset(AnalyzeArguments.__struct_encode_fields__)
            - {"question", "kind", "target", "workspace", "paths"},
            deadline_s=self._workflow.definition.budget.seconds,
            open_world=True,
            resumes=True,
            listed_result=ANSWER_FIELDS,
        )

    async def run(self, arguments: AnalyzeArguments, context: CallContext) -> ToolReturn[WorkflowAnswer]:
        """Explain by the workflow.

        Raises:
            ToolFault: one of its subclasses.
        """
        shape = Shape(WorkflowAnswer, self._reported)
        return await self._calls.answer(self._workflow, arguments, _requested, context, shape)

    def _reported(self, outcome: Outcome) -> ToolReturn[WorkflowAnswer]:
        found = outcome.values.get(self._workflow.definition.result)
        graph = None if found is None else msgspec.convert(found, Graph)
        report = AnalysisReport(**msgspec.structs.asdict(report_of(outcome)), graph=graph)
        return ToolReturn(WorkflowAnswer.of(outcome), findings_of(outcome), report)


async def _requested(arguments: AnalyzeArguments) -> WorkflowRequest:
    target = (arguments.target or "").strip()
    if arguments.kind in {"trace", "dependencies"} and not target:
        raise BadArguments(
            f"Argument 'target': say where {arguments.kind} begins: a path, a name, Class.method or path:name."
        )
    paths = dict.fromkeys((*arguments.paths, *arguments.relevant_files))
    wishes = (TYPES.get(arguments.analysis_type or ""), FORMATS.get(arguments.output_format or ""))
    return WorkflowRequest(
        question=question_of(arguments, arguments.question, "question"),
        inputs={
            "kind": arguments.kind,
            "about": f" of `{target}`" if target else "",
            "wishes": " ".join(each for each in wishes if each),
        },
        target=target,
        file_paths=arguments.shown_as_they_are,
        workspace=arguments.workspace,
        wanted=Wanted(paths=tuple(paths)),
        model=arguments.model,
        fallback_models=None if arguments.fallback_models is None else tuple(arguments.fallback_models),
        continuation_id=arguments.continuation_id,
        fork=arguments.fork,
    )
