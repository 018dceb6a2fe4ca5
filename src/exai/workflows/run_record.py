"""A run while a call works at it: each change is committed before what depends on it happens.

step begun, with the digest of its request → model asked → step ended, with its output → next step
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from typing_extensions import override

from exai.runtime.clock import Clock
from exai.storage.workflows.evidence import EvidenceRow, EvidenceRows
from exai.storage.workflows.runs import Run, Step, WorkflowTables
from exai.workflows.faults import RunBusy, RunFailed

__all__ = ["RunRecord", "UnkeptRecord", "busy"]

MOST_ASKED = 2
"""How often one request is made, where a crash took its answer."""


class RunRecord:
    """The rows of one run. Whoever changed them meanwhile has the run, and this call is refused."""

    def __init__(self, tables: WorkflowTables, run: Run, steps: list[Step], clock: Clock) -> None:
        self._tables = tables
        self._clock = clock
        self._turn = asyncio.Lock()
        self.run = run
        self.steps = {step.step: step for step in steps}

    @property
    def usd(self) -> float:
        """What its steps cost, as far as that is known."""
        return sum(step.usd or 0.0 for step in self.steps.values())

    @property
    def requests(self) -> int:
        """How often a model was asked."""
        return sum(step.asked for step in self.steps.values() if step.kind == "request")

    async def evidence(self) -> list[EvidenceRow]:
        """List what was gathered for the run by its numbers."""
        return await self._tables.evidence(self.run)

    async def earlier_evidence(self, conversation_id: str) -> list[EvidenceRow]:
        """List what the last run of this tool was shown whose answer is in a conversation."""
        run = self.run
        earlier = await self._tables.last_done(run.owner, conversation_id, run.tool)
        return [] if earlier is None else await self._tables.evidence(earlier)

    def ended(self, name: str) -> Step | None:
        """Return a step that has its output."""
        step = self.steps.get(name)
        return step if step is not None and step.state == "ended" else None

    async def take(self, arguments: str | None = None) -> None:
        """Make it the work of this process; a new one is kept first, with the arguments of its call.

        Raises:
            RunBusy: another living process works at it.
        """
        if self.run.revision == 0:
            self.run = await self._tables.begin(self.run, arguments)
        run = self.run
        if (
            run.state == "working"
            and run.process != self._tables.process
            and not await self._tables.is_over(run.process)
        ):
            raise busy(run)
        await self._change(state="working", process=self._tables.process)

    async def begin(self, step: Step) -> Step:
        """Commit that a step begins.

        Raises:
            RunFailed: it was begun twice already, and nothing of it was kept.
            RunBusy: another call changed the run.
        """
        before = self.steps.get(step.step)
        is_same = before is not None and before.digest == step.digest and before.state == "begun"
        asked = (before.asked if before is not None and is_same else 0) + 1
        if asked > MOST_ASKED:
            await self._change(state="failed")
            raise RunFailed(
                f"EXAI ended twice while {step.step!r} of this run was asked for, so it is not asked for again. Ask "
                "once more to begin anew."
            )
        begun = msgspec.structs.replace(step, asked=asked, began_at=self._clock.utc())
        await self._change(begun, stage=step.step)
        return begun

    async def gathered(self, step: Step, evidence: EvidenceRows) -> None:
        """Commit a step that gathers, with what it gathered.

        Raises:
            RunBusy: another call changed the run.
        """
        await self._commit((step,), evidence, stage=step.step)

    async def end(self, step: Step) -> None:
        """Commit a step's output.

        Raises:
            RunBusy: another call changed the run.
        """
        await self._change(msgspec.structs.replace(step, state="ended", ended_at=self._clock.utc()))

    async def put(self, *steps: Step, **fields: str) -> None:
        """Commit steps as they are, and fields of the run.

        Raises:
            RunBusy: another call changed the run.
        """
        await self._change(*steps, **fields)

    async def finish(self, answer: str, *, is_partial: bool = False) -> None:
        """Commit the run's answer.

        Raises:
            RunBusy: another call changed the run.
        """
        await self._change(state="partial" if is_partial else "done", answer=answer)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """The scope in which a call works at it; a run that is left early goes on when somebody asks for it."""
        try:
            yield
        except (Exception, asyncio.CancelledError):
            self._tables.leave_soon(self.run)
            raise

    async def _change(self, *steps: Step, **fields: str) -> None:
        await self._commit(steps, None, **fields)

    async def _commit(self, steps: Sequence[Step], evidence: EvidenceRows | None, **fields: str) -> None:
        async with self._turn:  # stages that are asked beside one another change it in turn
            now = self._clock.utc()
            changed = await self._tables.change(self.run, steps, evidence, updated_at=now, **fields)
            if changed is None:
                raise busy(self.run)
            self.run = changed
            self.steps |= {step.step: step for step in steps}


class UnkeptRecord(RunRecord):
    """A run of which nothing is kept: what a preview works at."""

    def __init__(self, tables: WorkflowTables, run: Run, clock: Clock) -> None:
        super().__init__(tables, run, [], clock)
        self._evidence: list[EvidenceRow] = []

    @override
    async def evidence(self) -> list[EvidenceRow]:
        return self._evidence

    @override
    async def _commit(self, steps: Sequence[Step], evidence: EvidenceRows | None, **fields: str) -> None:
        self.steps |= {step.step: step for step in steps}
        self._evidence += () if evidence is None else evidence.rows


def busy(run: Run) -> RunBusy:
    """Say that another call works at a run."""
    stage = f" (stage {run.stage})" if run.stage else ""
    return RunBusy(
        f"Another call works at this run{stage}, or it was cancelled. Ask again when that one has ended."
    )
