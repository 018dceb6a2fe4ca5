"""The engine of workflows: a run is rows, made and continued by calls.

    call ─► the run of what it asks for ─► stage ─► stage ─► … ─► exchange recorded ─► done
              │ new, or interrupted            ├─ the budget is spent                  ─► done, and says so
              │ or partial: goes on            ├─ a provider fails half-way            ─► partial
              └ done just now, by another      └─ the caller leaves, the process dies  ─► interrupted
                call, a process that died, or
                for a caller who left: its
                answer

A call goes on with a run that a call with the same words began and that ended half-way. What had ended is not asked
again; what had begun is, once. Nothing of a run lives in this process but the lock that lets one call work at it at a
time; a call that finds it taken waits for the answer.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from weakref import WeakValueDictionary

import msgspec

from exai.consulting.context import CallContext, Interrupted
from exai.runtime.clock import Clock
from exai.storage.workflows.runs import RESUMED_FOR, Run, WorkflowTables
from exai.workflows.definitions import Workflow
from exai.workflows.faults import Unconfirmed
from exai.workflows.outcomes import Outcome, Previewed
from exai.workflows.request import WorkflowRequest
from exai.workflows.run_record import RunRecord, UnkeptRecord
from exai.workflows.stages.stages import Stages

__all__ = ["Engine", "has_run", "is_unread", "new_run", "recalled"]

RECALLED_FOR = timedelta(hours=1)
"""How long after its end an answer that may have reached nobody is that of the same call."""


class Engine:
    """Runs workflows. One serves every tool and every call."""

    def __init__(
        self, tables: WorkflowTables, stages: Stages, clock: Clock, confirm_above_usd: float | None = None
    ) -> None:
        """`confirm_above_usd`: new runs estimated above it need a budget of their caller; `None`: none do."""
        self._tables = tables
        self._stages = stages
        self._clock = clock
        self._confirm_above_usd = confirm_above_usd
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def call(
        self,
        workflow: Workflow,
        request: WorkflowRequest,
        context: CallContext,
        *,
        arguments: str | None = None,
    ) -> Outcome:
        """Return what a run of the workflow comes to, a new one or the one of the same call that did not end.

        `arguments` are those of the call, as JSON, which are kept with a new run.

        Raises:
            ToolFault: the first request failed, and nothing was kept.
            Unconfirmed: it needs a budget; nothing was asked or kept.
        """
        owner = context.caller.subject
        digest = _digest(workflow, request)
        conversation_id = await self._stages.open(context.caller, request.continuation_id, fork=request.fork)
        async with self._alone(owner, digest) as has_waited:
            run = await self._tables.latest(owner, digest)
            is_its = has_run(context.interrupted, run)
            if (
                run is not None
                and run.state == "done"
                and (is_its or await self._is_recalled(run, has_waited))
            ):
                return recalled(run)
            if run is None or not self._goes_on(run, is_its):
                await self.check_confirmed(workflow, request, context)
                run = new_run(workflow, owner, conversation_id, self._clock)
                run = msgspec.structs.replace(run, digest=digest, process=self._tables.process)
            record = RunRecord(self._tables, run, await self._tables.steps(run), self._clock)
            with record.at_work():
                await record.take(arguments)
                return await self._stages.run(workflow, request, record, context)

    async def preview(self, workflow: Workflow, request: WorkflowRequest, context: CallContext) -> Previewed:
        """Return what a run would ask; nothing is asked or kept.

        Raises:
            ToolFault: it could not be asked.
        """
        run = new_run(workflow, context.caller.subject, request.continuation_id or "", self._clock)
        record = UnkeptRecord(self._tables, run, self._clock)
        return await self._stages.preview(workflow, request, record, context)

    async def check_confirmed(
        self, workflow: Workflow, request: WorkflowRequest, context: CallContext
    ) -> None:
        """Check that a run may begin: it is estimated low enough, or its caller allows it by a budget.

        Raises:
            Unconfirmed: it may not.
            ToolFault: it could not be asked.
        """
        above_usd = self._confirm_above_usd
        if above_usd is None or request.budget_usd is not None:
            return
        estimated_usd = (await self.preview(workflow, request, context)).estimated_usd
        if estimated_usd > above_usd:
            raise Unconfirmed(estimated_usd, above_usd)

    @asynccontextmanager
    async def _alone(self, owner: str, digest: str) -> AsyncIterator[bool]:
        """Keep other calls of this process from what this one asks for; whether it had to wait for one."""
        lock = self._locks.setdefault((owner, digest), asyncio.Lock())
        has_waited = lock.locked()
        async with lock:
            yield has_waited

    async def _is_recalled(self, run: Run, has_waited: bool) -> bool:
        if self._clock.utc() - run.updated_at > RECALLED_FOR:
            return False
        return has_waited or await is_unread(self._tables, run)

    def _goes_on(self, run: Run, is_its: bool) -> bool:
        is_recent = is_its or self._clock.utc() - run.updated_at <= RESUMED_FOR
        return run.state in {"working", "interrupted", "partial"} and is_recent


def has_run(interrupted: Interrupted | None, run: Run | None) -> bool:
    """Whether a run of the same words is that of an interrupted call: it changed since that call began."""
    return interrupted is not None and run is not None and run.updated_at >= interrupted.began_at


async def is_unread(tables: WorkflowTables, run: Run) -> bool:
    """Whether the answer of a run that is done may have reached nobody: its caller left, or its process died."""
    return not run.process or await tables.is_over(run.process)


def new_run(workflow: Workflow, owner: str, conversation_id: str, clock: Clock) -> Run:
    """Make a run that nothing was done for; whoever keeps it adds what it is known by, and the process."""
    now = clock.utc()
    return Run(
        workflow_id=f"wf_{secrets.token_urlsafe(18)}",
        owner=owner,
        conversation_id=conversation_id,
        tool=workflow.name,
        version=workflow.definition.version,
        form="server",
        state="working",
        stage="",
        digest="",
        process="",
        answer=None,
        revision=0,
        created_at=now,
        updated_at=now,
    )


def _digest(workflow: Workflow, request: WorkflowRequest) -> str:
    asked: Mapping[str, object] = {
        "tool": workflow.name,
        "version": workflow.definition.version,
        "request": request,
    }
    return hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).hexdigest()


def recalled(run: Run) -> Outcome:
    """Return the kept outcome of a run that is done."""
    kept = msgspec.json.decode(run.answer or "", type=Outcome)
    note = "This is the answer of a call with the same words that was under way or whose answer may not have arrived."
    return msgspec.structs.replace(kept, notes=(*kept.notes, note), recalled=True)
