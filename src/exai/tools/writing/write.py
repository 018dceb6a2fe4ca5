"""`write`: tests or documentation as a patch that was compared with the workspace; nothing is written to disk."""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import msgspec

from exai.auth import scopes
from exai.consulting.answer import More
from exai.consulting.arguments import (
    EFFORT_NAMES,
    AnswerTokens,
    BudgetUsd,
    ContinuationId,
    DryRun,
    EffortName,
    FallbackModels,
    Fork,
    ModelName,
    SendSecrets,
    Temperature,
    WorkspaceName,
    effort_named,
)
from exai.consulting.context import CallContext
from exai.consulting.results import ResourceLink, Result, ToolReturn
from exai.errors import BadArguments, ToolFault
from exai.evidence.patches.written import WrittenPatch
from exai.evidence.pieces import Wanted
from exai.files.store.handles import is_stored, uri_of
from exai.files.store.shelf import Shelf
from exai.tools.base import ANSWER_FIELDS, Arguments, Requested, Tool
from exai.tools.older.writing import WRITERS
from exai.tools.workflows.answers import Confirming, WorkflowReport, findings_of, report_of
from exai.tools.workflows.calls import WorkflowCalls
from exai.workflows.definitions import Workflow
from exai.workflows.faults import Unconfirmed
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest

__all__ = ["Write", "WriteArguments", "Written"]

MOST_PATHS = 50
INSTRUCTION_CHARACTERS = 20_000
SHOWN_CHARACTERS = 20_000
"""A longer patch is read from its file."""
MOST_NAMED = 40
"""Files and problems in an answer."""


class WriteArguments(Arguments, frozen=True):
    kind: Literal["tests", "docs"]
    paths: Annotated[
        list[Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)]],
        msgspec.Meta(min_length=1, max_length=MOST_PATHS),
    ]
    instructions: Annotated[str, msgspec.Meta(max_length=INSTRUCTION_CHARACTERS)] | None = None
    workspace: WorkspaceName | None = None
    model: ModelName | None = None
    fallback_models: FallbackModels | None = None
    continuation_id: ContinuationId | None = None
    fork: Fork = False
    effort: EffortName | None = None
    temperature: Temperature | None = None
    max_answer_tokens: AnswerTokens | None = None
    send_secrets: SendSecrets = False
    budget_usd: BudgetUsd | None = None
    dry_run: DryRun = False

    def requested(self) -> Requested:
        shown_tokens = None if self.dry_run else self.max_answer_tokens
        return Requested(self.model, self.continuation_id, shown_tokens)


class Written(Result, frozen=True, kw_only=True):
    """A patch, and whether it can be applied. All that is short stands before it."""

    continuation_id: str | None = None
    model_used: str = ""
    patch_id: str | None = None
    """The stored file that has it."""
    applies: bool = True
    notes: tuple[str, ...] = ()
    next_call: dict[str, Any] | None = None
    """The arguments of the call that allows what this one is estimated at."""
    estimated_usd: float | None = None
    """What the call is estimated at, where nothing was asked because it needs a budget."""
    more: tuple[More, ...] = ()
    answer: str

    def text(self) -> str:
        named = {"continuation_id": self.continuation_id, "patch_id": self.patch_id}
        head = [f"{name}: {value}" for name, value in named.items() if value is not None]
        head += [self.model_used] if self.model_used else []
        lines = [f"[{' | '.join(head)}]"] if head else []
        lines += [f"Note: {note}" for note in self.notes]
        if self.next_call is not None:
            lines += [f"Next: {msgspec.json.encode(self.next_call).decode()}"]
        return "\n".join([*lines, "", self.answer])


class Write:
    """Runs the workflow `write`, and keeps its patch as a file of the caller."""

    def __init__(self, calls: WorkflowCalls, workflow: Workflow, shelf: Shelf) -> None:
        self._calls = calls
        self._workflow = workflow
        self._shelf = shelf

    def tool(self) -> Tool[WriteArguments, Written]:
        """The catalogue's entry."""
        return Tool(
            name="write",
            title="Write",
            description="Write tests or documentation as a patch; nothing is written to disk.",
            arguments=WriteArguments,
            result=Written,
            report=WorkflowReport,
            run=self.run,
            asks_provider=True,
            scope=scopes.MODELS,
            argument_scopes={"send_secrets": scopes.FILES_SECRETS},
            file_arguments=("workspace",),
            argument_aliases={"relevant_files": "paths", "absolute_file_paths": "paths", **EFFORT_NAMES},
            aliases=WRITERS,
            unlisted=frozenset(WriteArguments.__struct_encode_fields__)
            - {"kind", "paths", "instructions", "workspace"},
            deadline_s=self._workflow.definition.budget.seconds,
            open_world=True,
            resumes=True,
            listed_result=ANSWER_FIELDS,
        )

    async def run(self, arguments: WriteArguments, context: CallContext) -> ToolReturn[Written]:
        """Have a patch written, checked and kept.

        Raises:
            ToolFault: one of its subclasses.
        """
        request = _request(arguments)
        if arguments.dry_run:
            previewed = await self._calls.preview(self._workflow, request, context)
            return ToolReturn(
                Written(model_used=previewed.model or "", notes=previewed.notes, answer=previewed.requests)
            )
        try:
            outcome = await self._calls.run(self._workflow, arguments, request, context)
        except Unconfirmed as needed:
            confirming = Confirming.of(arguments, needed)
            return ToolReturn(
                Written(
                    applies=False,
                    next_call=confirming.next_call,
                    estimated_usd=confirming.estimated_usd,
                    answer=confirming.answer,
                ),
                confirmation=confirming.confirmation,
            )
        patch, notes = _best(outcome), list(outcome.notes)
        if patch is None or not patch.patch:
            notes.append("The model wrote no patch.")
            return self._returned(outcome, None, notes, outcome.answer, applies=False)
        patch_id = None
        try:
            patch_id = await self._kept(arguments, patch, context)
        except ToolFault as fault:
            notes.append(f"The patch could not be kept as a file: {fault}")
        answer = "\n\n".join(_parts(patch, patch_id))
        return self._returned(outcome, patch_id, notes, answer, applies=not patch.problems)

    async def _kept(self, arguments: WriteArguments, patch: WrittenPatch, context: CallContext) -> str:
        data = patch.patch.encode()
        stem = PurePosixPath(arguments.paths[0].rstrip("/")).stem or "workspace"
        name = f"{arguments.kind}-{stem}.patch"
        return (await self._shelf.put(context.caller.subject, name, len(data), _whole(data))).file_id

    def _returned(
        self,
        outcome: Outcome,
        patch_id: str | None,
        notes: Sequence[str],
        answer: str,
        *,
        applies: bool,
    ) -> ToolReturn[Written]:
        result = Written(
            continuation_id=outcome.conversation_id,
            model_used=", ".join(outcome.models),
            patch_id=patch_id,
            applies=applies,
            notes=tuple(notes),
            answer=answer,
        )
        links = (
            () if patch_id is None else (ResourceLink(uri_of(patch_id), f"{patch_id}.patch", "text/x-diff"),)
        )
        return ToolReturn(result, findings_of(outcome), report_of(outcome), links)


def _request(arguments: WriteArguments) -> WorkflowRequest:
    """Return what is asked of the workflow.

    Raises:
        BadArguments: no file is named.
    """
    paths = tuple(path.strip() for path in arguments.paths)
    if not all(paths):
        raise BadArguments("Argument 'paths': a path is blank. Name files or folders of the workspace.")
    what = {"tests": "Write tests for", "docs": "Write documentation for"}[arguments.kind]
    named = "\n".join(f"- {path}" for path in paths)
    said = (arguments.instructions or "").strip()
    instructions = f"\n\n{said}" if said else ""
    return WorkflowRequest(
        question=f"{what} these:\n{named}{instructions}",
        inputs={"kind": arguments.kind},
        file_paths=tuple(filter(_is_whole, paths)) if arguments.send_secrets else (),
        workspace=arguments.workspace,
        wanted=Wanted(paths=paths),
        model=arguments.model,
        fallback_models=None if arguments.fallback_models is None else tuple(arguments.fallback_models),
        continuation_id=arguments.continuation_id,
        fork=arguments.fork,
        effort=effort_named(arguments.effort),
        temperature=arguments.temperature,
        max_answer_tokens=arguments.max_answer_tokens,
        send_secrets=arguments.send_secrets,
        budget_usd=arguments.budget_usd,
    )


def _is_whole(path: str) -> bool:
    """Whether a path names a file without the workspace: what is shown as it is has to be named so."""
    return is_stored(path) or path.startswith(("/", "file:"))


def _best(outcome: Outcome) -> WrittenPatch | None:
    """Return the patch with the fewest problems, of equal ones the latest; one that is empty comes last."""
    patches = [msgspec.convert(value, WrittenPatch) for value in outcome.values.values()]
    return min(reversed(patches), key=lambda each: (not each.patch, len(each.problems)), default=None)


def _parts(patch: WrittenPatch, patch_id: str | None) -> Iterator[str]:
    """Write what the caller reads: what came of it and how it is applied, what the model says, the patch."""
    fetched = "" if patch_id is None else f"`exai files get {patch_id} -o - | git apply`"
    if patch.problems:
        lines = "".join(f"\n- {problem.text()}" for problem in patch.problems[:MOST_NAMED])
        further = len(patch.problems) - MOST_NAMED
        more = f"\n- and {further} more" if further > 0 else ""
        yield f"The patch does not apply as it is, after one attempt to mend it:{lines}{more}"
        yield (
            "Mend these by hand, or ask again with smaller `paths`. Nothing was written to disk, and nothing was run."
        )
    else:
        yield "The patch applies to the workspace as it is now:" + "".join(_changes(patch))
        ways = [f"In the workspace: {fetched}."] if fetched else []
        yield " ".join(
            [
                *ways,
                f"{'Or p' if ways else 'P'}ut the patch below into a file, and `git apply` it.",
                "Nothing was written to disk, and nothing was run: run the tests after applying it.",
            ]
        )
    if patch.summary:
        yield patch.summary
    if len(patch.patch) <= SHOWN_CHARACTERS or patch_id is None:
        yield f"```diff\n{patch.patch}```" if patch.patch.endswith("\n") else f"```diff\n{patch.patch}\n```"
    else:
        yield f"The patch has {len(patch.patch):,} characters: `files` with action read and id {patch_id} shows it."


def _changes(patch: WrittenPatch) -> Iterator[str]:
    for file in patch.files[:MOST_NAMED]:
        yield f"\n- {file.path}: {'new, ' if file.is_new else ''}+{file.added} -{file.removed}"
    if len(patch.files) > MOST_NAMED:
        yield f"\n- and {len(patch.files) - MOST_NAMED} more"


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data
