"""Calls with an idempotency key: each is run once, however often it is asked for.

**Order.** A run takes these steps, and commits each before the next one begins:

    look for a row -> write the row, with the journal's -> run the tool -> write the result -> answer

The row is committed before a provider may be asked, and the result before the answer leaves. So a row without a result
belongs to a run, here or in another process, or to a process that died. In the last case nobody knows whether the
provider carried the call out: the caller is told so (`in_doubt`; `result_lost` when its exchange was committed), and
the call is not repeated. A tool that keeps how far its work came (`Tool.resumes`) goes on with it instead.

**Callers.** Whoever asks while the call runs here joins the run: it gets the progress from the beginning, and the same
answer. A run has a task of its own, so a caller that leaves touches no other; when the last one leaves, the run is
cancelled.

**Results.** An answer is kept, and so is a definite error. A failure that may pass, an exception and a cancellation
free the key: the row is deleted, and asking again runs the call. While the database takes no write, the run owes its
end and tries again; the answer leaves all the same.

The states of a run, and what happens to a caller who asks now:

    RUNNING       the tool runs                          joins
    ABANDONED     it is being cancelled                  waits, then starts a run
    KEEPING       the result is being written            joins
    FREEING       the row is being deleted               waits, then starts a run
    OWES_RESULT   the database did not take the result   joins, and is answered at once
    OWES_FREEING  the database did not delete the row    gets `store_failed`
    GONE          the row says how it ended              is answered from the row, or starts a run

    state         event       next
    RUNNING       answered    KEEPING
    RUNNING       failed      FREEING
    RUNNING       abandoned   ABANDONED
    ABANDONED     answered    KEEPING        it was done before the cancellation reached it
    ABANDONED     failed      FREEING
    KEEPING       written     GONE
    KEEPING       unwritten   OWES_RESULT
    FREEING       written     GONE
    FREEING       unwritten   OWES_FREEING
    OWES_RESULT   written     GONE
    OWES_RESULT   given_up    GONE           asked again, the call is in doubt
    OWES_FREEING  written     GONE
    OWES_FREEING  given_up    GONE           the same
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog

from exai import config
from exai.dispatch.idempotent_run import JOINABLE, OWING, IdempotentRun, Stage, Work, stopping
from exai.dispatch.kept_results import KeptResults, recalled
from exai.dispatch.progress import Pace, ProgressReporter, SendProgress
from exai.errors import StoreFailed
from exai.events.events import CallRecalled, Event
from exai.runtime.clock import Clock
from exai.runtime.samples import Sample
from exai.storage.calls.idempotent_calls import IdempotentCallId, IdempotentCallTable
from exai.tools.base import ToolAnswer

__all__ = ["IdempotentCallId", "IdempotentCalls", "digest_of"]

_log = structlog.get_logger(__name__)

MAX_OWING = 1_000
"""Runs that may owe their end at once; beyond that the end is given up."""

_encode = msgspec.json.Encoder(order="sorted").encode
"""Four times as fast as `json`: four megabytes of prompt hold up the event loop for a few milliseconds."""


class IdempotentCalls:
    """Owns the runs of this process; every other call is a row."""

    def __init__(
        self,
        table: IdempotentCallTable,
        limits: config.Idempotency,
        *,
        clock: Clock,
        publish: Callable[[Event], None],
    ) -> None:
        self._kept = KeptResults(table, limits.max_result_bytes, publish)
        self._clock = clock
        self._publish = publish
        self._runs: dict[IdempotentCallId, IdempotentRun] = {}
        self._closed = False
        self._given_up = 0
        """Ends that were not written."""

    @property
    def running(self) -> int:
        """How many calls of this process have an end that is not written yet."""
        return len(self._runs)

    def samples(self) -> list[Sample]:
        """Return the metrics of the calls that run."""
        help_text = "Calls under an idempotency key whose end is not written yet."
        return [Sample("idempotent_calls_running", help_text, self.running)]

    async def call(
        self,
        call: IdempotentCallId,
        tool: str,
        arguments: Mapping[str, Any] | None,
        *,
        work: Work,
        send_progress: SendProgress | None,
        pace: Pace,
        resumes: bool = False,
    ) -> ToolAnswer:
        """Return the call's answer: of the run under way, of an earlier one, or of a new run of `work`.

        `resumes`: `work` goes on with what a process that died left.

        Raises:
            ToolFault: there is no answer.
        """
        digest = digest_of(tool, arguments)
        run = await self._joinable(call, digest)
        joins = run is not None
        if run is None:
            run = self._start(call, tool, digest, work, resumes=resumes)
        async with self._follow(run, send_progress, pace):
            answer = await asyncio.shield(run.answer)
        if joins:
            self._publish(CallRecalled("joined"))
            return recalled(answer, "joined", run.call_id)
        return answer

    async def close(self) -> None:
        """Cancel the runs, and wait until their ends are written, if the database takes them."""
        self._closed = True
        running = [task for run in self._runs.values() if (task := run.stop()) is not None]
        if running:
            await asyncio.wait(running)

    async def _joinable(self, call: IdempotentCallId, digest: str) -> IdempotentRun | None:
        """Return the run that a caller can join, after waiting for one that is freeing the key.

        Raises:
            IdempotencyKeyReused: it has other arguments.
            StoreFailed: the key could not be freed so far.
        """
        while (run := self._runs.get(call)) is not None and run.stage is not Stage.GONE:
            if run.stage in JOINABLE:
                if run.digest != digest:
                    raise self._kept.reused(run.tool)
                return run
            if run.stage is Stage.OWES_FREEING:
                raise StoreFailed(
                    "EXAI could not reach its database when this call ended. Try again in a moment.",
                    retry_after_s=5.0,
                )
            await asyncio.wait([run.answer])
        return None

    def _start(
        self, call: IdempotentCallId, tool: str, digest: str, work: Work, *, resumes: bool
    ) -> IdempotentRun:
        if self._closed:
            raise stopping()
        run = self._runs[call] = IdempotentRun(call, tool, digest, self._kept, resumes=resumes)
        run.start(work, may_owe=self._may_owe, at_end=self._forget)
        return run

    def _may_owe(self) -> bool:
        """Whether one more run may go on trying; the first, second, fourth, eighth ... that may not is logged."""
        owing = sum(run.stage in OWING for run in self._runs.values())
        if owing <= MAX_OWING and not self._closed:
            return True
        self._given_up += 1
        if self._given_up & (self._given_up - 1) == 0:
            _log.error(
                "ends of idempotent calls were not kept: asked again, they are in doubt", calls=self._given_up
            )
        return False

    def _forget(self, run: IdempotentRun) -> None:
        if self._runs.get(run.call) is run:  # after GONE, the next run may have taken its place
            del self._runs[run.call]

    @asynccontextmanager
    async def _follow(
        self, run: IdempotentRun, send_progress: SendProgress | None, pace: Pace
    ) -> AsyncIterator[None]:
        """The scope in which a caller waits for the answer, and gets the progress."""
        with run.joined():
            if send_progress is None:
                yield
                return
            async with ProgressReporter(send_progress, self._clock, pace) as reporter:
                with run.progress.subscribe(reporter):
                    yield


def digest_of(tool: str, arguments: Mapping[str, Any] | None) -> str:
    """Return the SHA-256 of a call in its canonical form: JSON with sorted keys and without spaces."""
    call = [tool, arguments or {}]
    try:
        encoded = _encode(call)
    except (ValueError, OverflowError):  # a lone surrogate, or an integer beyond 64 bits
        encoded = json.dumps(call, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(encoded).hexdigest()
