"""One run of a call with an idempotency key; the states are explained in `idempotent_calls`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import partial
from types import MappingProxyType

from exai.consulting.context import Interrupted
from exai.dispatch.failures import ERROR_KEY
from exai.dispatch.kept_results import KeptResults
from exai.dispatch.progress import ProgressFanout
from exai.errors import Stopping, StoreFailed
from exai.runtime import tasks
from exai.storage.calls.idempotent_calls import IdempotentCallId, KeptCall
from exai.tools.base import ToolAnswer

__all__ = [
    "JOINABLE",
    "OWING",
    "STOPPING_RETRY_AFTER_S",
    "TRANSITIONS",
    "IdempotentRun",
    "Stage",
    "Work",
    "stopping",
]

STOPPING_RETRY_AFTER_S = 5.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0
"""Between two attempts to write an end, while the database takes no write."""


class Stage(Enum):
    """How far a run has come."""

    RUNNING = "running"
    ABANDONED = "abandoned"
    KEEPING = "keeping"
    FREEING = "freeing"
    OWES_RESULT = "owes result"
    OWES_FREEING = "owes freeing"
    GONE = "gone"


TRANSITIONS: Mapping[Stage, Mapping[str, Stage]] = MappingProxyType(
    {
        Stage.RUNNING: {"answered": Stage.KEEPING, "failed": Stage.FREEING, "abandoned": Stage.ABANDONED},
        Stage.ABANDONED: {"answered": Stage.KEEPING, "failed": Stage.FREEING},
        Stage.KEEPING: {"written": Stage.GONE, "unwritten": Stage.OWES_RESULT},
        Stage.FREEING: {"written": Stage.GONE, "unwritten": Stage.OWES_FREEING},
        Stage.OWES_RESULT: {"written": Stage.GONE, "given_up": Stage.GONE},
        Stage.OWES_FREEING: {"written": Stage.GONE, "given_up": Stage.GONE},
        Stage.GONE: {},
    }
)
JOINABLE = frozenset({Stage.RUNNING, Stage.KEEPING, Stage.OWES_RESULT})
"""Where another caller gets this run's answer."""
OWING = frozenset({Stage.OWES_RESULT, Stage.OWES_FREEING})
"""Where the answer is out, and its end is still to be written."""


class IdempotentRun:
    """Runs the tool, writes how it ended, and has the answer for every caller."""

    def __init__(
        self, call: IdempotentCallId, tool: str, digest: str, kept: KeptResults, *, resumes: bool
    ) -> None:
        self.call = call
        self.tool = tool
        self.digest = digest
        self.answer: asyncio.Future[ToolAnswer] = asyncio.get_running_loop().create_future()
        self.progress = ProgressFanout()
        self.stage = Stage.RUNNING
        self.call_id: str | None = None
        """The id of the call that wrote the row; `None` while there is no row of this run."""
        self.interrupted: Interrupted | None = None
        """The call whose process died, and whose work this run goes on with."""
        self._kept = kept
        self._resumes = resumes
        self._callers = 0
        self._task: asyncio.Task[None] | None = None

    def start(
        self, work: "Work", *, may_owe: Callable[[], bool], at_end: Callable[["IdempotentRun"], None]
    ) -> None:
        """Run `work` in a task.

        Args:
            work: runs the tool.
            may_owe: whether the end may be written later, when the database does not take it now.
            at_end: called when nothing is left to do.
        """

        def ended(_: asyncio.Task[None]) -> None:
            at_end(self)
            if not self.answer.done():
                self._settle(None, RuntimeError("an idempotent call ended without an answer"))

        self._task = tasks.spawn(self._run(work, may_owe), name="idempotent call")
        # Not by the task itself: one that is cancelled before its first step runs none of its lines.
        self._task.add_done_callback(ended)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """The scope in which a caller waits. When the last one leaves, the run is cancelled."""
        self._callers += 1
        try:
            yield
        finally:
            self._callers -= 1
            if self._callers == 0:
                self._abandon()

    async def begin(self, call_id: str) -> None:
        """Commit the row; when this returns, a provider may be asked.

        Raises:
            RunningElsewhere: another process has written it.
            StoreFailed: it was not kept, or nobody knows.
        """
        self.call_id = call_id
        if not await self._kept.begin(self.call, digest=self.digest, tool=self.tool, call_id=call_id):
            self.call_id = None
            raise self._kept.elsewhere()

    def stop(self) -> asyncio.Task[None] | None:
        """Cancel the run, and attempts to write an end that is owed; return the task to wait for."""
        self._abandon()
        if self.stage in OWING and self._task is not None:
            self._task.cancel()
        return self._task

    def _abandon(self) -> None:
        if self.stage is Stage.RUNNING and self._task is not None:
            self._step("abandoned")
            self._task.cancel()

    async def _run(self, work: "Work", may_owe: Callable[[], bool]) -> None:
        """Get an answer, write it, hand it out, and go on writing for as long as the database refuses."""
        answer: ToolAnswer | None = None
        fault: Exception | None = None
        try:
            found = await self._kept.find(self.call, self.digest, resumes=self._resumes)
            if isinstance(found, KeptCall):
                await self._take_over(found)
            answer = found if isinstance(found, ToolAnswer) else await work(self)
        except asyncio.CancelledError:
            _uncancel()
            fault = stopping(begun=True)  # read by nobody, unless EXAI is being stopped
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the answer
            fault = error
        write = self._end(answer)
        self._step("written" if await _is_written(write) else "unwritten")
        self._settle(answer, fault)
        if self.stage in OWING:
            await self._write_later(write, may_owe)

    async def _take_over(self, kept: KeptCall) -> None:
        """Free the key of a call whose process died; `begin` refuses whoever comes second.

        Raises:
            StoreFailed: it is still that call's.
        """
        await self._kept.free(self.call, digest=self.digest, tool=self.tool, call_id=kept.call_id)
        self.interrupted = Interrupted(kept.call_id, kept.began_at)

    def _end(self, answer: ToolAnswer | None) -> Callable[[], Awaitable[None]]:
        """Decide whether the answer is kept or the key freed, and return what writes that."""
        keeps = answer is not None and not _may_pass(answer)
        self._step("answered" if keeps else "failed")
        if self.call_id is None:
            return _nothing
        if answer is None or not keeps:
            row = {"digest": self.digest, "tool": self.tool, "call_id": self.call_id}
            return partial(self._kept.free, self.call, **row)
        return partial(self._kept.keep, self.call, self.call_id, answer)

    async def _write_later(self, write: Callable[[], Awaitable[None]], may_owe: Callable[[], bool]) -> None:
        if not may_owe():
            self._step("given_up")
            return
        pause_s = FIRST_RETRY_S
        written = False
        while not written:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)
            written = await _is_written(write)
        self._step("written")

    def _step(self, event: str) -> None:
        self.stage = TRANSITIONS[self.stage][event]

    def _settle(self, answer: ToolAnswer | None, fault: Exception | None) -> None:
        if fault is not None:
            self.answer.set_exception(fault)
            self.answer.exception()  # nobody may be waiting any more
        elif answer is not None:
            self.answer.set_result(answer)


Work = Callable[[IdempotentRun], Awaitable[ToolAnswer]]
"""Runs the tool: reports to the run's `progress`, and awaits its `begin` before it asks a provider."""


def stopping(*, begun: bool = False) -> Stopping:
    """Make the error for a call that comes while EXAI stops."""
    return Stopping(
        "EXAI is shutting down and takes no new calls. Try again in a few seconds.",
        begun=begun,
        retry_after_s=STOPPING_RETRY_AFTER_S,
    )


def _may_pass(answer: ToolAnswer) -> bool:
    """Whether the same call may end otherwise when it is made again."""
    facts = (answer.meta or {}).get(ERROR_KEY, {})
    return answer.is_error and facts.get("retryable", False) is True


async def _is_written(write: Callable[[], Awaitable[None]]) -> bool:
    try:
        await write()
    except StoreFailed:
        return False
    return True


async def _nothing() -> None:
    pass


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()
