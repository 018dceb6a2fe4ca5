"""The stage `collect`: evidence of the caller's workspace, gathered by structure and without a model.

    workspace opened → pieces gathered → packed within the definition's room → rows committed with the step

A step that ended with the same digest is not done again: its rows are what prompts show, whatever became of the files
since. Files that the call names and that lie in the workspace are part of its evidence; all others are shown beside
it, as they are where there is no workspace.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

import msgspec

from exai.consulting.context import CallContext
from exai.errors import BadArguments, FileRefused, ToolFault
from exai.evidence.packing import Packer
from exai.evidence.pieces import CHANGE, Bounds, Piece, Wanted
from exai.evidence.requests import CheckedPatch, Graph, PatchProblem
from exai.evidence.shown import ShownEvidence
from exai.evidence.workspace import Workspace, Workspaces
from exai.files.store.handles import is_stored
from exai.runtime.clock import Clock
from exai.storage.workflows.evidence import EvidenceRow, EvidenceRows
from exai.storage.workflows.runs import Step
from exai.workflows.analysis.graphs import graph_block
from exai.workflows.citations import ShownFile
from exai.workflows.definitions import ANYTHING, CollectStage, View, Workflow
from exai.workflows.gathering.carrying import carried, without
from exai.workflows.gathering.ledger import Ledger, rows_of
from exai.workflows.request import WorkflowRequest
from exai.workflows.run_record import RunRecord
from exai.workflows.stage_output import digest_of

__all__ = ["EvidenceWork"]

MOST_NOTES = 5
MOST_COMPARED = 20_000
"""Lines of a file that are looked through for what was shown of it."""
NO_WORKSPACE = "No code was read. Give `workspace`, a folder below `files.roots`, or name files."


class Collected(msgspec.Struct, frozen=True):
    """What a stage that collects came to, beside its rows."""

    beside: tuple[str, ...]
    """The files of the call that are not of the workspace."""
    notes: tuple[str, ...] = ()
    graph: Graph | None = None
    """Without the texts of its nodes: they are rows."""


class EvidenceWork:
    """One call's work at the evidence of one run."""

    def __init__(
        self,
        workspaces: Workspaces,
        clock: Clock,
        workflow: Workflow,
        request: WorkflowRequest,
        record: RunRecord,
        context: CallContext,
    ) -> None:
        self._workspaces = workspaces
        self._clock = clock
        self._definition = workflow.definition
        self._request = request
        self._record = record
        self._context = context
        self._collecting = {stage.name for stage in self._definition.stage if isinstance(stage, CollectStage)}
        self._ledger = Ledger()
        self.has_workspace = False
        """Whether something was looked for in a workspace."""
        self._bare: Ledger | None = None
        self.file_paths: Sequence[str] = request.file_paths
        """The files of the call that prompts show beside the evidence."""
        self.notes: list[str] = []
        self.graph: Graph | None = None
        """What calls what, where a stage followed it."""
        self._graph_of = ""
        """The stage that did."""

    @property
    def rows(self) -> Sequence[EvidenceRow]:
        """What was gathered, what was not shown included."""
        return self._ledger.rows

    @property
    def facts(self) -> Mapping[str, int]:
        """Return what conditions may ask for: how many hunks of a change, and pieces of named files, are shown."""
        sources = [row.source for row in self._ledger.rows if row.left_out is None]
        return {"changes": sources.count(CHANGE), "named": sources.count("named_paths")}

    @property
    def count(self) -> int:
        """The last number of what was collected; the files that prompts show beside it have those that follow."""
        return max((row.number for row in self._ledger.rows if row.stage in self._collecting), default=0)

    @property
    def last(self) -> int:
        """The last number of all that was gathered."""
        return max((row.number for row in self._ledger.rows), default=0)

    def open(self) -> AbstractAsyncContextManager[Workspace]:
        """Open the run's workspace while the scope lasts.

        Raises:
            ToolFault: it cannot be read.
        """
        return self._workspaces.open(self._context.caller.subject, self._request.workspace)

    def add(self, rows: Iterable[EvidenceRow]) -> None:
        """Add what was committed beside it."""
        self._ledger = Ledger([*self._ledger.rows, *rows])

    def keep(self, stage: str, last: int) -> None:
        """Forget what a stage gathered behind a number: it is to be gathered anew."""
        self._ledger = Ledger(row for row in self._ledger.rows if row.stage != stage or row.number <= last)

    async def collect(self, stage: CollectStage) -> None:
        """Gather what a stage names, or take what it gathered in an earlier call.

        Raises:
            BadArguments: no workspace is named, and there is not just one folder that may be read.
            ToolFault: the workspace cannot be read.
        """
        request = self._request
        wanted = msgspec.structs.replace(request.wanted, question=request.question)
        asked: list[object] = [stage.evidence, wanted, request.workspace, request.file_paths]
        asked += [] if stage.graph is None else [stage.graph, request.target]
        digest = digest_of(msgspec.json.encode(asked).decode())
        step = self._record.ended(stage.name)
        if step is not None and step.digest == digest:
            self._ledger = Ledger(await self._record.evidence())
            self._take(stage, msgspec.json.decode(step.output or "", type=Collected))
        elif request.workspace is None and stage.optional and not self._workspaces.has_default:
            if not request.file_paths:
                self.notes.append(NO_WORKSPACE)
        else:
            self._take(stage, await self._gather(stage, wanted, digest))

    def texts(self) -> Mapping[str, str]:
        """Return what prompts show of the stages that gathered, by their names."""
        return self._with_graph(self._ledger.texts())

    async def texts_as(self, view: View) -> Mapping[str, str]:
        """Return what a prompt shows of the stages that gathered, in another order or without comments.

        Raises:
            ToolFault: the workspace cannot be read any more.
        """
        if view == "bare":
            return self._with_graph((await self._without_comments()).texts())
        return self._with_graph(self._ledger.texts(last_first=view == "reversed"))

    def _with_graph(self, texts: dict[str, str]) -> Mapping[str, str]:
        """Put the calls behind the evidence of the stage that followed them."""
        if calls := graph_block(self.graph):
            texts[self._graph_of] = texts.get(self._graph_of, "") + calls
        return texts

    def report(self) -> tuple[ShownEvidence, ...]:
        """List what was gathered, and why it was not shown where it was not."""
        return self._ledger.report()

    async def shown(self, view: View) -> list[ShownFile]:
        """Return what the answer to a view may cite, with the files that are others by now."""
        if view == "bare":
            return (await self._without_comments()).files({})
        return self._ledger.files(await self._texts_now() if self._ledger.digests else {})

    async def _without_comments(self) -> Ledger:
        if self._bare is None:
            if not self._ledger.pieces:
                return self._ledger
            async with self.open() as workspace:
                found = await workspace.without_comments(self._ledger.pieces)
            self._bare = self._ledger.with_texts(found.texts)
            self.notes += found.notes
        return self._bare

    async def _gather(self, stage: CollectStage, wanted: Wanted, digest: str) -> Collected:
        began, request = self._clock.utc(), self._request
        room = self._definition.budget.evidence_tokens
        async with self.open() as workspace:
            inside = {path: _place(workspace, path) for path in (*request.wanted.paths, *request.file_paths)}
            within = () if request.send_secrets else request.file_paths
            paths = [inside[path] for path in (*request.wanted.paths, *within)]
            wanted = msgspec.structs.replace(
                wanted,
                within=tuple(workspace.relative(path) for path in wanted.within),
                paths=tuple(dict.fromkeys(path for path in paths if path is not None)),
            )
            graph = await self._graph(stage, workspace, room)
            found = await workspace.gather(stage.evidence, wanted, Bounds(tokens=room))
            continued = request.continuation_id
            before = () if continued is None else await self._record.earlier_evidence(continued)
            again = await carried(before, stage.name, workspace, room)
        gathered = found.pieces if graph is None else (*graph.pieces, *found.pieces)
        _check_found(stage, gathered, found.notes)
        pieces, left = without(gathered, again), room - sum(row.tokens for row in again)
        after = max((row.number for row in again), default=0)
        rows = (*again, *rows_of(Packer().pack(pieces, left), stage.name, after))
        collected = Collected(
            tuple(path for path in request.file_paths if request.send_secrets or inside[path] is None),
            tuple(dict.fromkeys((*found.notes, *_notes_of(graph)))),
            None if graph is None else msgspec.structs.replace(graph, pieces=()),
        )
        await self._keep(stage, digest, began, collected, rows)
        return collected

    async def _keep(
        self,
        stage: CollectStage,
        digest: str,
        began: datetime,
        collected: Collected,
        rows: tuple[EvidenceRow, ...],
    ) -> None:
        output, now = msgspec.json.encode(collected).decode(), self._clock.utc()
        step = Step(
            stage.name, "gather", "ended", digest, 0, self._context.call_id, began, output, ended_at=now
        )
        await self._record.gathered(step, EvidenceRows(0, rows))
        self._ledger = Ledger(await self._record.evidence())  # as another process would read it

    async def check_patch(self, patch: str, *, keeps_code: bool) -> CheckedPatch:
        """Apply a patch to the workspace in memory; that it cannot be looked at is a problem of the patch."""
        try:
            async with self.open() as workspace:
                return await workspace.check_patch(patch, keeps_code=keeps_code)
        except ToolFault as fault:
            problem = PatchProblem("", 0, f"it could not be compared with the workspace ({fault})")
            return CheckedPatch(patch, problems=(problem,))

    async def _graph(self, stage: CollectStage, workspace: Workspace, room: int) -> Graph | None:
        target = self._request.target
        if stage.graph is None or not target:
            return None
        return await workspace.trace(workspace.relative(target), stage.graph, Bounds(tokens=room))

    def _take(self, stage: CollectStage, collected: Collected) -> None:
        self.has_workspace = True
        if collected.graph is not None:
            self.graph, self._graph_of = collected.graph, stage.name
        self.file_paths = collected.beside
        self.notes += collected.notes

    async def _texts_now(self) -> dict[str, str]:
        """Read the files of which something was shown and that have changed since; gone is empty."""
        texts: dict[str, str] = {}
        try:
            async with self.open() as workspace:
                for path, digests in self._ledger.digests.items():
                    text = await _changed_text(workspace, path, digests)
                    if text is not None:
                        texts[path] = text
        except ToolFault:
            return texts  # what was shown is what was shown, though nobody can compare it any more
        return texts


def _notes_of(graph: Graph | None) -> Sequence[str]:
    if graph is None:
        return ()
    more = ("the graph has more parts than are followed; name a smaller target",) if graph.has_more else ()
    return (*graph.notes, *more)


def _check_found(stage: CollectStage, pieces: Sequence[Piece], notes: Sequence[str]) -> None:
    """Check that what a stage needs was found.

    Raises:
        BadArguments: it was not.
    """
    if stage.needs == ANYTHING and not pieces:
        raise BadArguments(
            "The workspace shows nothing for this question. Name files or folders in 'paths', or a 'target'."
        )
    if stage.needs not in {None, ANYTHING} and all(piece.source != stage.needs for piece in pieces):
        raise BadArguments(
            f"Nothing of what you name can be read in the workspace. {_listed(notes)}Name text files of it, "
            "relative to it; ignored files and those that hold secrets are not there."
        )


def _listed(notes: Sequence[str]) -> str:
    return "".join(f"{note}. " for note in notes[:MOST_NOTES])


def _place(workspace: Workspace, path: str) -> str | None:
    """Return a path as it is in the workspace; `None`: it is elsewhere."""
    relative = workspace.relative(path)
    return None if is_stored(path) or relative.startswith(("/", "file:")) else relative


async def _changed_text(workspace: Workspace, path: str, digests: set[str]) -> str | None:
    """Return the text of a file that is none of those that were shown; `None`: it is."""
    lines: list[str] = []
    try:
        read = await workspace.read_lines(path)
        if {read.sha256} == digests:
            return None
        lines += read.lines
        while len(lines) < min(read.total, MOST_COMPARED):
            lines += (await workspace.read_lines(path, len(lines) + 1)).lines
    except (BadArguments, FileRefused):
        pass  # it is gone, or has fewer lines by now
    return "\n".join(lines)
