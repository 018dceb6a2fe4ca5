"""`analyze`: evidence of a workspace, gathered by structure and without a model, and one model that explains it.

With `kind=refactor` the model names what is worth restructuring, and each place is compared with the workspace.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, Self

import msgspec

from exai.auth import scopes
from exai.consulting.answer import AnswerReport, More
from exai.consulting.arguments import (
    AnswerTokens,
    BudgetUsd,
    ContinuationId,
    DryRun,
    EffortName,
    FallbackModels,
    Fork,
    ModelName,
    WorkspaceName,
    effort_named,
)
from exai.consulting.budgets import ANSWER_TOKENS, check_budget
from exai.consulting.consultant import Consultant
from exai.consulting.consultation import Consultation
from exai.consulting.context import CallContext
from exai.consulting.inquiry import Inquiry
from exai.consulting.preview import preview_of_one
from exai.consulting.results import Result, ToolReturn
from exai.errors import BadArguments
from exai.evidence.packing import Packed, Packer
from exai.evidence.pieces import Bounds, Piece, Wanted, block
from exai.evidence.requests import Edge, Graph
from exai.evidence.shown import ShownEvidence, shown_evidence
from exai.evidence.workspace import Workspace, Workspaces
from exai.tools.analysis.refactoring import Opportunities, described_opportunities
from exai.tools.base import ANSWER_FIELDS, Arguments, Requested, Tool
from exai.tools.older.refactoring import REFACTORERS
from exai.tools.older.tracing import TRACERS
from exai.tools.prompts import prompt

__all__ = ["Analysis", "AnalysisReport", "Analyze", "AnalyzeArguments"]

EVIDENCE_TOKENS = 24_000
MOST_PATHS = 50
MOST_LISTED = 40
"""Calls in an answer."""
DEPTHS = {"trace": "trace", "dependencies": "dependencies", "refactor": "dependencies"}
"""Which graph is followed from a target, by kind."""
LABEL_CHARACTERS = 200
QUESTION_CHARACTERS = 20_000
STRUCTURE = ("rules", "named_paths", "symbols_in_problem", "structure")
AROUND = ("rules", "named_paths", "symbols_in_problem")
REFACTOR = (*AROUND, "callers", "tests")


class AnalyzeArguments(Arguments, frozen=True):
    question: Annotated[str, msgspec.Meta(min_length=1, max_length=QUESTION_CHARACTERS)]
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
    effort: EffortName | None = None
    max_answer_tokens: AnswerTokens | None = None
    continuation_id: ContinuationId | None = None
    fork: Fork = False
    budget_usd: BudgetUsd | None = None
    dry_run: DryRun = False
    step_number: Annotated[int, msgspec.Meta(ge=1)] = 1
    total_steps: int = 1
    next_step_required: bool = False
    findings: str = ""
    files_checked: list[str] = msgspec.field(default_factory=list)
    relevant_context: list[str] = msgspec.field(default_factory=list)
    issues_found: list[dict[str, Any]] = msgspec.field(default_factory=list)
    hypothesis: str = ""
    confidence: str = ""
    use_assistant_model: bool = True
    analysis_type: str = ""
    output_format: str = ""

    def requested(self) -> Requested:
        return Requested(model=self.model, conversation_id=self.continuation_id)


class AnalysisReport(AnswerReport, frozen=True):
    """How an analysis came about."""

    evidence: tuple[ShownEvidence, ...] = ()
    graph: Graph | None = None
    """Without the texts of its nodes."""

    def kept(self) -> Self:
        return msgspec.structs.replace(super().kept(), evidence=(), graph=None)


class Analysis(Result, frozen=True, kw_only=True):
    """What a model says of the evidence, and the calls that were found without it."""

    continuation_id: str | None = None
    model_used: str
    notes: tuple[str, ...] = ()
    more: tuple[More, ...] = ()
    answer: str

    def text(self) -> str:
        handle = self.continuation_id or "none"
        head = f"[continuation_id: {handle} | {self.model_used}]"
        return "\n".join([head, *(f"Note: {note}" for note in self.notes), "", self.answer])


class Analyze:
    """Gathers evidence and has it explained."""

    def __init__(self, consultant: Consultant, workspaces: Workspaces) -> None:
        self._consultant = consultant
        self._workspaces = workspaces
        self._instructions = prompt("analyze")
        self._refactor = prompt("refactor")

    def tool(self) -> Tool[AnalyzeArguments, Analysis]:
        """The catalogue's entry."""
        return Tool(
            name="analyze",
            title="Analyze",
            description="Explain structure, trace calls, find what to restructure.",
            arguments=AnalyzeArguments,
            result=Analysis,
            report=AnalysisReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            file_arguments=("workspace",),
            argument_aliases={
                "thinking_mode": "effort",
                "reasoning_effort": "effort",
                "step": "question",
                "relevant_files": "paths",
            },
            aliases=(*TRACERS, *REFACTORERS),
            unlisted=frozenset(AnalyzeArguments.__struct_encode_fields__)
            - {"question", "kind", "target", "workspace", "paths"},
            open_world=True,
            listed_result=ANSWER_FIELDS,
        )

    async def run(self, arguments: AnalyzeArguments, context: CallContext) -> ToolReturn[Analysis]:
        """Gather, and ask once.

        Raises:
            ToolFault: one of its subclasses.
        """
        if not arguments.question.strip():
            raise BadArguments("Argument 'question' is blank. Say what you want to know.")
        if arguments.step_number > 1:
            raise BadArguments(
                "Argument 'step_number': an analysis is one call here. The answer to the first one had all of it: ask "
                "`chat` with its continuation_id, or ask again without step_number."
            )
        if arguments.kind in {"trace", "dependencies"} and not (arguments.target or "").strip():
            raise BadArguments(
                f"Argument 'target': say where {arguments.kind} begins: a path, a name, Class.method or path:name."
            )
        context.progress.status("Reading the workspace")
        async with self._workspaces.open(context.caller.subject, arguments.workspace) as workspace:
            pieces, graph, notes = await _gathered(workspace, arguments)
        packed = Packer().pack(pieces, EVIDENCE_TOKENS)
        if not packed.shown:
            raise BadArguments(
                "The workspace shows nothing for this question. Name files or folders in 'paths', or a 'target'."
            )
        inquiry = self._inquiry(arguments, packed, graph)
        if arguments.dry_run:
            model, requests, reason = await preview_of_one(self._consultant, inquiry, context)
            notes = notes if reason is None else (reason, *notes)
            return ToolReturn(Analysis(model_used=model, notes=notes, answer=requests))
        if arguments.budget_usd is not None:
            prepared = await self._consultant.prepare(inquiry, context)
            lead = self._consultant.choose(prepared).model
            check_budget(await self._consultant.fit(prepared, lead, context), arguments.budget_usd)
        consultation = await self._consultant.consult(inquiry, context)
        result = _result(consultation, graph, notes)
        found = consultation.value_as(Opportunities)
        if found is not None:
            async with self._workspaces.open(context.caller.subject, arguments.workspace) as workspace:
                answer = await described_opportunities(found, packed, workspace)
            result = msgspec.structs.replace(result, answer=answer)
        return ToolReturn(result, consultation.findings, _report(consultation, packed, graph))

    def _inquiry(self, arguments: AnalyzeArguments, packed: Packed, graph: Graph | None) -> Inquiry:
        material = "".join(block(f"E{number}", piece) for number, piece in enumerate(packed.shown, start=1))
        calls = f"<<<GRAPH>>>\n{_listed(_edges(graph))}<<<END GRAPH>>>\n" if graph and graph.edges else ""
        return Inquiry(
            instructions=self._refactor if arguments.kind == "refactor" else self._instructions,
            question=f"{material}{calls}\n{_asked(arguments)}",
            model=arguments.model,
            fallback_models=arguments.fallback_models,
            effort=effort_named(arguments.effort),
            max_answer_tokens=arguments.max_answer_tokens
            or (None if arguments.budget_usd is None else ANSWER_TOKENS),
            continuation_id=arguments.continuation_id,
            fork=arguments.fork,
            answer_as=Opportunities if arguments.kind == "refactor" else None,
        )


async def _gathered(
    workspace: Workspace, arguments: AnalyzeArguments
) -> tuple[list[Piece], Graph | None, tuple[str, ...]]:
    """Gather what the question needs: the graph first, where one is asked for."""
    bounds = Bounds(tokens=EVIDENCE_TOKENS)
    graph = None
    if arguments.target is not None and arguments.kind in DEPTHS:
        graph = await workspace.trace(workspace.relative(arguments.target), DEPTHS[arguments.kind], bounds)
    paths = tuple(workspace.relative(path) for path in arguments.paths)
    wanted = Wanted(question=arguments.question, paths=paths)
    sources = {"structure": STRUCTURE, "refactor": REFACTOR}.get(arguments.kind, AROUND)
    found = await workspace.gather(sources, wanted, bounds)
    notes = list(found.notes)
    if graph is not None:
        notes += graph.notes
        if graph.has_more:
            notes.append("the graph has more parts than are followed; name a smaller target")
    return [*(graph.pieces if graph else ()), *found.pieces], graph, tuple(dict.fromkeys(notes))


def _asked(arguments: AnalyzeArguments) -> str:
    about = f" of `{arguments.target}`" if arguments.target else ""
    if arguments.kind == "refactor":
        return f"Find what is worth restructuring{about}.\n\n{arguments.question}"
    return f"Analyze the {arguments.kind}{about}.\n\n{arguments.question}"


def _result(consultation: Consultation, graph: Graph | None, notes: Sequence[str]) -> Analysis:
    completion = consultation.completion
    cut = ["The answer was cut at its cap."] if completion.finish_reason == "length" else []
    return Analysis(
        continuation_id=consultation.conversation_id,
        model_used=completion.model,
        notes=(*consultation.notes, *cut, *notes),
        answer=f"{completion.text}{_drawn(graph) if graph is not None and graph.edges else ''}",
    )


def _report(consultation: Consultation, packed: Packed, graph: Graph | None) -> AnalysisReport:
    return msgspec.structs.replace(
        AnalysisReport.of(consultation),
        evidence=shown_evidence(packed),
        graph=None if graph is None else msgspec.structs.replace(graph, pieces=()),
    )


def _edges(graph: Graph) -> Iterator[str]:
    for edge in graph.edges:
        caller, called = graph.nodes[edge.caller], graph.nodes[edge.called]
        doubt = "" if edge.is_sure else " ?"
        source = f"{_plain(caller.path)}:{edge.line} {_plain(caller.name)}"
        yield f"{source} -> {_plain(called.path)}:{called.first} {_plain(called.name)}{doubt}"


def _drawn(graph: Graph) -> str:
    """List the calls and draw them; one that is not sure is dotted."""
    edges = [f"- {edge}" for edge in list(_edges(graph))[:MOST_LISTED]]
    further = len(graph.edges) - len(edges)
    if further > 0:
        edges.append(f"- and {further} more, which the report has")
    return (
        f"\n\nCalls (`?`: several parts have the name):\n{_listed(edges)}\n```mermaid\n{_mermaid(graph)}```\n"
    )


def _mermaid(graph: Graph) -> str:
    shown_edges = graph.edges[:MOST_LISTED]
    used = sorted({number for edge in shown_edges for number in (edge.caller, edge.called)})
    boxes = [f'  n{number}["{_label(graph, number)}"]' for number in used]
    arrows = [_arrow(edge) for edge in shown_edges]
    return _listed(["flowchart LR", *boxes, *arrows])


def _label(graph: Graph, number: int) -> str:
    node = graph.nodes[number]
    return f"{_plain(node.name)} {_plain(node.path)}:{node.first}"


def _plain(text: str) -> str:
    """Replace what could end a label or the block of a drawing."""
    return "".join(each if each.isalnum() or each in " ._:/-$#" else "_" for each in text[:LABEL_CHARACTERS])


def _arrow(edge: Edge) -> str:
    return f"  n{edge.caller} {'-->' if edge.is_sure else '-.->'} n{edge.called}"


def _listed(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
