"""`review`: findings that were compared with the code, weighed by votes and refuted, and few; the rest is counted."""

from functools import partial
from typing import Annotated, Literal

import msgspec

from exai.auth import scopes
from exai.callers import Caller
from exai.consulting.arguments import (
    EFFORT_NAMES,
    ContinuationId,
    FallbackModels,
    ModelName,
    WorkspaceName,
)
from exai.consulting.context import CallContext
from exai.consulting.results import ResourceLink, ToolReturn
from exai.errors import BadArguments
from exai.evidence.pieces import Wanted
from exai.files.paths.reader import FileReader
from exai.files.store.handles import is_handle, uri_parts, whole_file_of
from exai.files.store.shelf import Shelf
from exai.tools.base import ANSWER_FIELDS, Requested, Tool
from exai.tools.older.reviews import REVIEWS
from exai.tools.workflows.answers import WorkflowAnswer, WorkflowReport, returned
from exai.tools.workflows.calls import Shape, WorkflowCalls
from exai.tools.workflows.guided_arguments import GUIDED, GuidedArguments
from exai.workflows.definitions import Workflow
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest
from exai.workflows.review.categories import Severity
from exai.workflows.review.findings import Finding
from exai.workflows.review.reporting import ReviewResult
from exai.workflows.review.wording import listed

__all__ = ["Patches", "Review", "ReviewAnswer", "ReviewArguments"]

MOST_PATCH_BYTES = 2 * 2**20
MOST_PATHS = 50
TASKS = {
    "full": "Review {what} for defects of every kind.",
    "quick": "Review {what} for defects of every kind; name the gravest.",
    "security": "Review {what} for security defects alone: what an attacker can do with it.",
    "performance": "Review {what} for performance defects alone: what takes time, memory or requests without need.",
}
"""By kind; `what` is the change or the files."""

UNLISTED = GUIDED | frozenset(
    {
        "exclude",
        "rules",
        "max_findings",
        "min_confidence",
        "repository",
        "model",
        "fallback_models",
    }
)

Paths = Annotated[list[str], msgspec.Meta(max_length=MOST_PATHS)]


class ReviewArguments(GuidedArguments, frozen=True):
    workspace: WorkspaceName | None = None
    change: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=4_096,
                description="staged, unstaged, all, REF, A..B, or a file with a diff",
            ),
        ]
        | None
    ) = None
    paths: Paths = msgspec.field(default_factory=list)
    kind: Literal["full", "security", "performance", "quick"] = "full"
    focus: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    min_severity: Severity = "medium"
    depth: Literal["quick", "standard", "deep"] = "standard"
    continuation_id: ContinuationId | None = None
    exclude: Paths = msgspec.field(default_factory=list)
    rules: Annotated[str, msgspec.Meta(max_length=20_000)] | None = None
    max_findings: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    min_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    repository: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=500, description="A name that stays, under which verdicts are remembered"
            ),
        ]
        | None
    ) = None
    model: ModelName | None = None
    fallback_models: FallbackModels | None = None

    def requested(self) -> Requested:
        return Requested(self.model, self.continuation_id, self.shown_tokens)


class ReviewAnswer(WorkflowAnswer, frozen=True, kw_only=True):
    """What a review shows, and how much it withholds for which reason."""

    cost_usd: float | None = None
    findings: tuple[Finding, ...] = ()
    withheld: dict[str, int] = msgspec.field(default_factory=dict)
    looked_at: str = ""

    @classmethod
    def reviewed(
        cls, answer: WorkflowAnswer, result: ReviewResult, cost_usd: float | None, *, is_kept: bool
    ) -> "ReviewAnswer":
        """Make it of what a run came to; `is_kept`: whether there is a conversation to go on with."""
        return cls(
            continuation_id=answer.continuation_id if is_kept else None,
            model_used=answer.model_used,
            notes=(*answer.notes, *result.notes),
            answer=answer.answer,
            cost_usd=cost_usd,
            findings=result.findings,
            withheld=result.withheld,
            looked_at=result.looked_at,
            more=result.more,
        )

    def text(self) -> str:
        parts = [super().text()]
        if self.findings:
            parts.append(listed(self.findings))
        parts += [
            f"All findings, withheld ones too: `files` with action read and id {each.id}."
            for each in self.more
        ]
        return "\n\n".join(parts)


class Patches:
    """Reads unified diffs that callers name as files."""

    def __init__(self, shelf: Shelf, reader: FileReader) -> None:
        self._shelf = shelf
        self._reader = reader

    async def read(self, caller: Caller, given: str) -> str:
        """Return the text of a diff, by the id of a stored file or an absolute path.

        Raises:
            ToolFault: it is not there, too large, or may not be read.
        """
        if not (is_handle(given) or uri_parts(given)):
            (excerpt,) = await self._reader.read_texts(caller.subject, [given])
            return excerpt.text
        file = await self._shelf.get(caller.subject, whole_file_of(given))
        if file.bytes > MOST_PATCH_BYTES:
            raise BadArguments(f"Argument 'change': the diff has more than {MOST_PATCH_BYTES:,} bytes.")
        content = await self._shelf.open(file)
        try:
            data = b"".join([block async for block in content.read(0, content.size)])
        finally:
            content.close()
        return data.decode(errors="replace")


class Review:
    """Runs the workflow `review`."""

    def __init__(self, calls: WorkflowCalls, workflow: Workflow, patches: Patches) -> None:
        self._calls = calls
        self._workflow = workflow
        self._patches = patches

    def tool(self) -> Tool[ReviewArguments, ReviewAnswer]:
        """The catalogue's entry."""
        return Tool(
            name="review",
            title="Review",
            description="Review a change or files for real defects.",
            arguments=ReviewArguments,
            result=ReviewAnswer,
            report=WorkflowReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"send_secrets": scopes.FILES_SECRETS},
            argument_aliases={"absolute_file_paths": "paths", **EFFORT_NAMES},
            file_arguments=("workspace",),
            aliases=REVIEWS,
            unlisted=UNLISTED,
            deadline_s=self._workflow.definition.budget.seconds,
            open_world=True,
            resumes=True,
            listed_result=ANSWER_FIELDS,
        )

    async def run(self, arguments: ReviewArguments, context: CallContext) -> ToolReturn[ReviewAnswer]:
        """Review by the workflow.

        Raises:
            ToolFault: one of its subclasses.
        """
        return await self._calls.answer(
            self._workflow,
            arguments,
            partial(self._requested, caller=context.caller),
            context,
            Shape(ReviewAnswer, self._reported),
        )

    def _reported(self, outcome: Outcome) -> ToolReturn[ReviewAnswer]:
        told = returned(outcome)
        cost = told.report.cost_usd if isinstance(told.report, WorkflowReport) else None
        value = msgspec.convert(outcome.values.get(self._workflow.definition.result) or {}, ReviewResult)
        result = ReviewAnswer.reviewed(told.result, value, cost, is_kept=bool(outcome.models))
        report = told.report
        if value.is_unread and isinstance(report, WorkflowReport):
            report = msgspec.structs.replace(report, partial=True)
        run = outcome.workflow_id
        link = ResourceLink(f"exai://workflows/{run}/sarif", f"{run}.sarif", "application/sarif+json")
        return ToolReturn(result, told.findings, report, (link,) if result.findings else ())

    async def _requested(self, arguments: ReviewArguments, caller: Caller) -> WorkflowRequest:
        named = tuple(dict.fromkeys((*arguments.paths, *arguments.relevant_files)))
        change, patch = arguments.change or ("" if named else "all"), ""
        if _is_file(change):
            change, patch = "", await self._patches.read(caller, change)
        has_change = bool(change or patch)
        paths = tuple(arguments.paths) if has_change and arguments.is_guided else named
        what = _named(change, patch, paths)
        options: dict[str, str | int | float] = {
            "min_severity": arguments.min_severity,
            "max_findings": arguments.max_findings,
        }
        if arguments.min_confidence is not None:
            options["min_confidence"] = arguments.min_confidence
        if arguments.repository:
            options["repository"] = arguments.repository
        return WorkflowRequest(
            question=TASKS[arguments.kind].format(what=what),
            inputs={
                "kind": arguments.kind,
                "change": change or ("a diff" if patch else ""),
                "focus": arguments.focus or "",
                "rules": arguments.rules or "",
            },
            options=options,
            depth="quick" if arguments.kind == "quick" else arguments.depth,
            file_paths=arguments.shown_as_they_are,
            workspace=arguments.workspace,
            wanted=Wanted(
                change=change,
                patch=patch,
                within=paths if has_change else (),
                paths=() if has_change else paths,
                without=tuple(arguments.exclude),
            ),
            model=arguments.model,
            fallback_models=None if arguments.fallback_models is None else tuple(arguments.fallback_models),
            continuation_id=arguments.continuation_id,
            fork=arguments.fork,
        )


def _is_file(change: str) -> bool:
    """Whether a change is given as a file with a diff; no ref begins with a slash."""
    return is_handle(change) or uri_parts(change) is not None or change.startswith(("/", "file:"))


def _named(change: str, patch: str, paths: tuple[str, ...]) -> str:
    if patch:
        what = "the change that the diff shows"
    elif change:
        what = f"the change `{change}`"
    else:
        return "the files " + ", ".join(f"`{path}`" for path in paths)
    return what + (" in " + ", ".join(f"`{path}`" for path in paths) if paths else "")
