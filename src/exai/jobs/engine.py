"""DBOS, which keeps the jobs: the only module that knows it, imported with the first job.

A job's attempt is a DBOS workflow on the queue of its kind. DBOS runs it in a thread of its own; what the kind's
function does runs on the daemon's event loop, and the thread only keeps what each step returned:

    thread (DBOS)                         event loop
    attempt begins         ────────►      the kind's function begins
    waits                  ◄────────      asks for a step
    looks whether it is kept ──────►      it is: goes on with that. It is not: does the work
    keeps the result       ◄────────      has done it
                           ────────►      goes on
    starts the next attempt, ◄──────      has ended
    keeps the outcome

Everything here but `stop` blocks, and is called from threads.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, ClassVar

import msgspec
import structlog
from dbos import DBOS, EnqueueOptions, Serializer, WorkflowStatus
from dbos._recovery import recover_pending_workflows
from dbos._utils import INTERNAL_QUEUE_NAME

from exai.jobs.attempts import Attempt, Following, Outcome, Record
from exai.jobs.kinds import Kind
from exai.storage.jobs_file import Connections

__all__ = ["Engine", "Row"]

_log = structlog.get_logger(__name__)

APPLICATION = "exai"
APPLICATION_VERSION = "1"
"""The same for every version of EXAI: a job that an older one began is finished by a newer one."""

THREADS = 8
MOST_RECOVERIES = 20
"""After so many ends of processes that ran a job it is suspected of causing them, and is dead."""

LISTENER_INTERVAL_S = 0.2
"""How long closing waits for a thread of DBOS that sleeps between two looks at what is not used here."""

AttemptRunner = Callable[[Attempt, Record], Awaitable[tuple[Outcome, Following | None]]]


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt as DBOS keeps it."""

    attempt: Attempt
    status: str
    """As DBOS spells it."""

    outcome: Outcome | None
    due_at: float | None
    ended_at: float | None


class _Abandoned(BaseException):
    """Ends an attempt's thread and leaves its row as it is: cancelled, owned by another run, or to be recovered.

    DBOS keeps the outcome of what returns or raises an `Exception`, and of nothing else.
    """


class _StepFailed(BaseException):
    """A step failed. Nothing is kept of it; the job's function knows why."""


class _Json(Serializer):
    def serialize(self, data: Any) -> str:
        return msgspec.json.encode(data).decode()

    def deserialize(self, serialized_data: str) -> Any:
        return msgspec.json.decode(serialized_data)

    def name(self) -> str:
        return "exai_json"


class _Step:
    """One step on its way between the loop and the thread."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.kept: asyncio.Future[tuple[Any] | None] = loop.create_future()
        """What was kept when it ran before; `None`: it is to be done."""

        self.result: Future[Any] = Future()
        self.is_kept: asyncio.Future[None] = loop.create_future()


class Engine:
    """The process' DBOS. There can be one at a time."""

    _exists: ClassVar[bool] = False

    def __init__(
        self,
        connections: Connections,
        run_id: str,
        kinds: Sequence[Kind],
        run: AttemptRunner,
        loop: asyncio.AbstractEventLoop,
        poll_s: float,
    ) -> None:
        self._connections = connections
        self._run_id = run_id
        self._kinds = kinds
        self._run = run
        self._loop = loop
        self._poll_s = poll_s
        self._stopping = False
        self._bodies: dict[str, Future[tuple[Outcome, Following | None]]] = {}
        self._unrecorded: set[str] = set()
        """Attempts of this run whose end could not be kept."""
        self._idle = threading.Condition()
        self._running = 0
        if Engine._exists:
            raise RuntimeError("this process runs the jobs of another file already")
        logger = logging.getLogger("dbos")
        if not logger.handlers:
            logger.addHandler(
                logging.NullHandler()
            )  # so that DBOS adds none, and our own handler gets its warnings
        self._dbos = DBOS(
            config={
                "name": APPLICATION,
                "system_database_engine": connections,
                "serializer": _Json(),
                "executor_id": run_id,
                "application_version": APPLICATION_VERSION,
                "max_executor_threads": THREADS,
                "notification_listener_polling_interval_sec": LISTENER_INTERVAL_S,
                "log_level": "WARNING",
            }
        )
        Engine._exists = True

    def launch(self) -> None:
        """Bring the file to the schema that DBOS needs, and begin to run jobs."""
        for kind in self._kinds:
            DBOS.workflow(name=kind.name, max_recovery_attempts=MOST_RECOVERIES)(self._workflow())
        DBOS.launch()
        for kind in self._kinds:
            known = DBOS.retrieve_queue(kind.name)
            paused = known is not None and known.worker_concurrency == 0
            DBOS.register_queue(
                kind.name,
                worker_concurrency=0 if paused else kind.at_once,
                polling_interval_sec=self._poll_s,
                on_conflict="always_update",
            )

    def enqueue(self, attempt: Attempt, wait_s: float | None = None) -> None:
        """Keep an attempt, to be run after a while; one that is known already stays as it is."""
        options: EnqueueOptions = {
            "workflow_name": attempt.kind,
            "queue_name": attempt.kind,
            "workflow_id": attempt.attempt_id,
            "authenticated_user": attempt.principal,
        }
        if wait_s is not None:
            options["delay_seconds"] = wait_s
        DBOS.enqueue_workflow_with_options(options, msgspec.to_builtins(attempt))

    def rows(
        self,
        *,
        job_id: str | None = None,
        kind: str | None = None,
        principal: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> list[Row]:
        """Attempts, of one job, kind or principal; of every one that is kept, the oldest first."""
        found = DBOS.list_workflows(
            workflow_id_prefix=job_id, name=kind, user=principal, limit=limit, offset=offset
        )
        return [_row(status) for status in found]

    def executors(self) -> set[str]:
        """Runs that have attempts under way."""
        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        return {status.executor_id for status in pending if status.executor_id is not None}

    def recover(self, over: Sequence[str]) -> int:
        """Queue again what runs that are over had under way; how many there were.

        Each once, however many processes do this at the same time: an attempt is queued in one statement, which asks
        that it still is under way at a run that is over.
        """
        return len(recover_pending_workflows(self._dbos, list(over)))

    def recover_unrecorded(self) -> int:
        """Queue again what ran here and whose end could not be kept; how many there were."""
        attempt_ids = list(self._unrecorded)
        for attempt_id in attempt_ids:
            self._dbos._sys_db.reenqueue_for_recovery(  # noqa: SLF001 - what recovery does for other runs
                attempt_id, [self._run_id], INTERNAL_QUEUE_NAME
            )
            self._unrecorded.discard(attempt_id)
        return len(attempt_ids)

    def cancel(self, attempt_id: str) -> None:
        """Cancel an attempt, unless it has ended; here at once, elsewhere before its next step."""
        DBOS.cancel_workflow(attempt_id)
        if (body := self._bodies.get(attempt_id)) is not None:
            body.cancel()

    def delete(self, attempt_ids: Sequence[str]) -> None:
        """Forget attempts that have ended."""
        DBOS.delete_workflows(list(attempt_ids))

    def pause(self, kind: Kind, *, paused: bool) -> None:
        """Begin no attempt of a kind, or begin them again."""
        queue = DBOS.retrieve_queue(kind.name)
        if queue is not None:
            queue.set_worker_concurrency(0 if paused else kind.at_once)

    def stop(self) -> None:
        """Begin no further attempt and no further step."""
        self._stopping = True

    def cancel_running(self) -> None:
        """End the attempts that run here; the next run recovers them."""
        for body in list(self._bodies.values()):
            body.cancel()

    def wait_until_idle(self, timeout_s: float) -> bool:
        """Wait until no attempt runs here; whether that came true."""
        with self._idle:
            return self._idle.wait_for(lambda: self._running == 0, timeout_s)

    def close(self) -> None:
        """Let go of the file and of every thread."""
        DBOS.destroy(destroy_registry=True)
        self._connections.dispose()
        Engine._exists = False

    def _workflow(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        """A function of its own for each kind: DBOS keeps facts on it."""

        def workflow(given: dict[str, Any]) -> dict[str, Any]:
            return self._attempt(given)

        return workflow

    def _attempt(self, given: dict[str, Any]) -> dict[str, Any]:
        """Run one attempt."""
        attempt = msgspec.convert(given, Attempt)
        with self._idle:
            if self._stopping:  # looked at under the lock: `wait_until_idle` misses no attempt that begins
                raise _Abandoned
            self._running += 1
        try:
            outcome, following = self._run_on_loop(attempt)
            if following is not None:
                self.enqueue(following.attempt, following.wait_s)
            return msgspec.to_builtins(outcome)  # type: ignore[no-any-return]
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, CancelledError):
                _log.exception("attempt not recorded", kind=attempt.kind)
                self._unrecorded.add(attempt.attempt_id)
            raise _Abandoned from error
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _run_on_loop(self, attempt: Attempt) -> tuple[Outcome, Following | None]:
        steps: SimpleQueue[_Step | None] = SimpleQueue()

        async def record(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
            return await self._on_loop(steps, name, work)

        async def body() -> tuple[Outcome, Following | None]:
            return await self._run(attempt, record)

        running = asyncio.run_coroutine_threadsafe(body(), self._loop)
        self._bodies[attempt.attempt_id] = running
        running.add_done_callback(lambda _: steps.put(None))
        try:
            while (step := steps.get()) is not None:
                self._keep(step)
            return running.result()
        except BaseException:
            running.cancel()
            raise
        finally:
            del self._bodies[attempt.attempt_id]

    async def _on_loop(
        self, steps: "SimpleQueue[_Step | None]", name: str, work: Callable[[], Awaitable[Any]]
    ) -> Any:
        """A step's side on the loop."""
        if self._stopping:
            raise asyncio.CancelledError
        step = _Step(name, self._loop)
        steps.put(step)
        try:
            if (kept := await step.kept) is not None:
                return kept[0]
            result = await work()
        except BaseException:
            step.result.set_exception(_StepFailed())
            raise
        step.result.set_result(result)
        await step.is_kept
        return result

    def _keep(self, step: _Step) -> None:
        """A step's side in the thread."""
        did_work = False

        def do() -> Any:
            nonlocal did_work
            did_work = True
            self._loop.call_soon_threadsafe(_resolve, step.kept, None)
            return step.result.result()

        try:
            result = DBOS.run_step({"name": step.name}, do)
        except _StepFailed:
            return
        if did_work:
            self._loop.call_soon_threadsafe(_resolve, step.is_kept, None)
        else:
            self._loop.call_soon_threadsafe(_resolve, step.kept, (result,))


def _resolve(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _row(status: WorkflowStatus) -> Row:
    given = status.input["args"][0] if status.input is not None else None
    ended = status.status == "SUCCESS"
    return Row(
        attempt=msgspec.convert(given, Attempt),
        status=status.status,
        outcome=msgspec.convert(status.output, Outcome) if ended else None,
        due_at=None if status.delay_until_epoch_ms is None else status.delay_until_epoch_ms / 1000,
        ended_at=None if status.completed_at is None else status.completed_at / 1000,
    )
