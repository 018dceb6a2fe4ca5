"""Jobs in memory, for tests: run at once as they are started, or by hand when the test says so."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from exai.events.events import Event
from exai.jobs.attempts import Attempt, run_attempt
from exai.jobs.job import Job, State, check_size, job_id
from exai.jobs.kinds import Kind, Value
from exai.runtime.clock import ManualClock

__all__ = ["JobsByHand"]

_ENDS = {"done": State.DONE, "dead": State.DEAD, "cancelled": State.CANCELLED}


class JobsByHand:
    """See `exai.jobs.job.Jobs`. Nothing runs until `drain`; with `at_once`, each job runs as it is started.

    Waits of jobs take no time: `drain(waiting=True)` moves the clock on.
    """

    def __init__(self, kinds: Sequence[Kind], clock: ManualClock, *, at_once: bool = False) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._clock = clock
        self._at_once = at_once
        self._jobs: dict[str, Job] = {}
        self._attempts: dict[str, Attempt] = {}
        self._paused: set[str] = set()

    async def start(self, kind: str, arguments: Mapping[str, Value], *, key: str, principal: str) -> str:
        """See `Jobs.start`."""
        check_size(arguments, "Arguments")
        name = job_id(self._kinds[kind].name, principal, key)
        if name not in self._jobs:
            attempt = Attempt(name, kind, principal, dict(arguments), self._clock.wall())
            self._queue(attempt, State.QUEUED, None)
            if self._at_once and kind not in self._paused:
                await self._run(attempt)
        return name

    async def cancel(self, job_id: str, *, principal: str | None = None) -> bool:
        """See `Jobs.cancel`."""
        job = await self.find(job_id, principal=principal)
        if job is None or job.state.is_over:
            return False
        self._jobs[job_id] = replace(job, state=State.CANCELLED, ended_at=self._clock.wall(), due_at=None)
        return True

    async def find(self, job_id: str, *, principal: str | None = None) -> Job | None:
        """See `Jobs.find`."""
        job = self._jobs.get(job_id)
        return job if job is not None and principal in {None, job.principal} else None

    async def list(
        self,
        *,
        kind: str | None = None,
        state: State | None = None,
        principal: str | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """See `Jobs.list`."""
        found = [
            job
            for job in reversed(self._jobs.values())
            if kind in {None, job.kind} and state in {None, job.state} and principal in {None, job.principal}
        ]
        return sorted(found, key=lambda job: job.begun_at, reverse=True)[:limit]

    async def pause(self, kind: str, *, paused: bool = True) -> None:
        """See `Jobs.pause`."""
        (self._paused.add if paused else self._paused.discard)(self._kinds[kind].name)

    def enqueued(self, kind: str | None = None) -> Sequence[Job]:
        """What would run, in the order in which it was started; with what waits for its time."""
        due = {State.QUEUED, State.WAITING}
        return [job for job in self._jobs.values() if job.state in due and kind in {None, job.kind}]

    async def drain(self, *, waiting: bool = False) -> Sequence[Job]:
        """Run what is queued until nothing is, and with `waiting` what waits, each in its time; what has ended."""
        ended = []
        while (job := self._next(waiting=waiting)) is not None:
            if job.due_at is not None and job.due_at > self._clock.wall():
                self._clock.advance(job.due_at - self._clock.wall())
            await self._run(self._attempts[job.job_id])
            if self._jobs[job.job_id].state.is_over:
                ended.append(self._jobs[job.job_id])
        return ended

    def _next(self, *, waiting: bool) -> Job | None:
        due = [
            job
            for job in self.enqueued()
            if job.kind not in self._paused
            and (waiting or job.due_at is None or job.due_at <= self._clock.wall())
        ]
        return min(due, key=lambda job: job.due_at or 0.0, default=None)

    def _queue(self, attempt: Attempt, state: State, due_at: float | None) -> None:
        self._attempts[attempt.job_id] = attempt
        self._jobs[attempt.job_id] = Job(
            job_id=attempt.job_id,
            kind=attempt.kind,
            principal=attempt.principal,
            state=state,
            arguments=attempt.arguments,
            attempt=attempt.number,
            failures=attempt.failures,
            begun_at=attempt.begun_at,
            due_at=due_at,
            last_error=attempt.last_error,
        )

    async def _run(self, attempt: Attempt) -> None:
        name = attempt.job_id
        self._jobs[name] = replace(self._jobs[name], state=State.RUNNING, due_at=None)
        outcome, following = await run_attempt(
            self._kinds[attempt.kind], attempt, _record, self._clock.wall, _publish, lambda: 0.0
        )
        if self._jobs[name].state is State.CANCELLED:
            return
        if following is not None:
            self._queue(following.attempt, State.WAITING, self._clock.wall() + following.wait_s)
            return
        state = _ENDS[outcome.end]
        self._jobs[name] = replace(
            self._jobs[name],
            state=state,
            ended_at=self._clock.wall(),
            result=outcome.result if state is State.DONE else None,
            last_error=outcome.error,
        )


def _publish(event: Event) -> None:
    """Nobody watches."""


async def _record(name: str, work: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ARG001 - see `Record`
    return await work()
