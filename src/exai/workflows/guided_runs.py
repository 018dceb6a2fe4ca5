"""Runs whose caller investigates: reports become steps, and the last one has the stages run."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from weakref import WeakValueDictionary

import msgspec

from exai.consulting.context import CallContext
from exai.runtime.clock import Clock
from exai.storage.workflows.runs import Run, Step, WorkflowTables
from exai.workflows.definitions import Workflow
from exai.workflows.engine import Engine, is_unread, new_run, recalled
from exai.workflows.faults import Unconfirmed, UnknownRun
from exai.workflows.guided import GuidedReport, combined_question, expected_step, files_of, reports_of
from exai.workflows.outcomes import Outcome
from exai.workflows.request import WorkflowRequest
from exai.workflows.run_record import RunRecord, busy
from exai.workflows.stage_output import digest_of
from exai.workflows.stages.stages import Stages

__all__ = ["GuidedRuns", "Reported", "Requested"]


Requested = Callable[[Sequence[GuidedReport]], Awaitable[WorkflowRequest]]
"""Makes the request of what all reports said, which is asked for with the last one."""


class Reported(msgspec.Struct, frozen=True):
    """A report that was taken, and more are to come."""

    conversation_id: str
    reports: int
    """How many count."""


class GuidedRuns:
    """Takes the reports of callers. One serves every tool and every call."""

    def __init__(self, tables: WorkflowTables, stages: Stages, clock: Clock, engine: Engine) -> None:
        """`engine` knows which runs need a budget."""
        self._tables = tables
        self._stages = stages
        self._clock = clock
        self._engine = engine
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def report(
        self,
        workflow: Workflow,
        report: GuidedReport,
        request: WorkflowRequest,
        context: CallContext,
        *,
        finishes: bool,
        requested: Requested | None = None,
    ) -> Reported | Outcome:
        """Take a report; `finishes`: the engine is to go on by itself, with what was reported.

        What is asked for then is `requested` of all reports; `None`: `request`.

        Raises:
            UnknownRun: the caller has no such run.
            RunBusy: another call works at it.
            BadArguments: the report follows none that is there.
            Unconfirmed: what is reported is kept, and going on needs a budget; nothing was asked.
        """
        run = await self._find(workflow, report, request, context)
        if run.state == "done":
            return recalled(run)
        lock = self._locks.setdefault(run.workflow_id, asyncio.Lock())
        if lock.locked():
            raise busy(run)
        async with lock:
            record = RunRecord(self._tables, run, await self._tables.steps(run), self._clock)
            expected_step(reports_of(record.steps), report)
            with record.at_work():
                await record.take()
                await self._put(record, report, context, state="working" if finishes else "waiting")
                reports = reports_of(record.steps)
                if not finishes:
                    return Reported(run.conversation_id, len(reports))
                whole = _whole(request if requested is None else await requested(reports), reports)
                if record.requests == 0:
                    await self._check_confirmed(workflow, whole, run, context)
                return await self._stages.run(workflow, whole, record, context)

    async def _check_confirmed(
        self, workflow: Workflow, whole: WorkflowRequest, run: Run, context: CallContext
    ) -> None:
        try:
            await self._engine.check_confirmed(workflow, whole, context)
        except Unconfirmed as fault:
            raise Unconfirmed(fault.estimated_usd, fault.above_usd, run.conversation_id) from None

    async def _find(
        self, workflow: Workflow, report: GuidedReport, request: WorkflowRequest, context: CallContext
    ) -> Run:
        """Find the run that a report belongs to, done only if this very report ended it; the first one begins one."""
        owner, conversation_id = context.caller.subject, request.continuation_id
        if context.interrupted is not None:
            run = await self._tables.of_call(owner, context.interrupted.call_id)
            if run is not None and run.state not in {"failed", "cancelled"}:
                return run
        if conversation_id is not None:
            run = await self._tables.of_conversation(owner, conversation_id, workflow.name)
            if run is not None and (
                run.state not in {"done", "failed", "cancelled"} or await self._is_ended_by(run, report)
            ):
                return run
            if report.number != 1 or not await self._stages.knows(context.caller, conversation_id):
                raise UnknownRun(
                    "There is no run of this continuation_id to go on with. Begin one with step_number=1 and without "
                    "continuation_id."
                )
        run = new_run(workflow, owner, await self._stages.open(context.caller, conversation_id), self._clock)
        return msgspec.structs.replace(
            run, form="guided", digest=f"guided {run.workflow_id}", process=self._tables.process
        )

    async def _is_ended_by(self, run: Run, report: GuidedReport) -> bool:
        """Whether a run is done by this very report, and whoever made it may not have the answer."""
        if run.state != "done" or not await is_unread(self._tables, run):
            return False
        steps = {step.step: step for step in await self._tables.steps(run)}
        return reports_of(steps)[-1:] == [report]

    async def _put(
        self, record: RunRecord, report: GuidedReport, context: CallContext, *, state: str
    ) -> None:
        """Keep a report, and drop those that it goes back behind."""
        reports = reports_of(record.steps)
        output = msgspec.json.encode(report).decode()
        now = self._clock.utc()
        step = Step(
            report.name, "report", "ended", digest_of(output), 0, context.call_id, now, output, ended_at=now
        )
        dropped = [
            msgspec.structs.replace(record.steps[each.name], state="dropped")
            for each in reports
            if report.backtrack_from is not None and each.number > report.backtrack_from
        ]
        await record.put(*dropped, step, state=state)


def _whole(request: WorkflowRequest, reports: Sequence[GuidedReport]) -> WorkflowRequest:
    """Make one request of all reports; what it asks for by itself stands before them."""
    files = [path for path in files_of(reports) if path not in request.wanted.paths]
    task = request.question.strip()
    return msgspec.structs.replace(
        request,
        question="\n\n".join([*([task] if task else []), combined_question(reports)]),
        file_paths=tuple(dict.fromkeys((*request.file_paths, *files))),
        continuation_id=None,
    )
