"""IdempotentCalls: calls under a key of the caller's choice, which are run once however often they are asked for.

    asked → known? → row begun (with the journal's) → tool runs → result committed → answer leaves

Whoever asks for an operation that runs joins it. It runs in a task of its own, so
that one caller's leaving touches no other; when the last one leaves, it is cancelled.
A definite answer is kept, any other end frees the key. A row that a crash left without
an end is in doubt unless the call's exchange was committed: whether the provider carried
the call out is not known, so it is said and the call is not repeated.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any

import msgspec
import structlog

from exai import config
from exai.dispatch.progress import Followers, ProgressReporter, SendProgress
from exai.errors import (
    CallInDoubt,
    IdempotencyKeyReused,
    ResultLost,
    RunningElsewhere,
    Stopping,
    StoreFailed,
)
from exai.events.events import CallRecalled, Event
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.storage.calls.idempotent_calls import IdempotentCallId, IdempotentCallTable, KeptCall
from exai.tools.base import JsonObject, ToolAnswer

__all__ = ["META_KEY", "Begin", "IdempotentCallId", "IdempotentCalls", "Work", "digest_of"]

_log = structlog.get_logger(__name__)

META_KEY = "exai/idempotent-call"
"""In the `_meta` of an answer that was not made for this request: how it came, and which call made it."""

ELSEWHERE_RETRY_AFTER_S = 2.0
STOPPING_RETRY_AFTER_S = 5.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0
"""Between two attempts to write how an operation ended, while the database is away."""
MAX_UNWRITTEN = 1_000
"""IdempotentCalls that wait for that at once; an end beyond is given up, and its key stays in doubt."""

_spell = msgspec.json.Encoder(order="sorted").encode
"""Four times as fast as `json`: four megabytes of prompt hold up the event loop for a few milliseconds."""

Begin = Callable[[str], Awaitable[None]]
"""Commits the row for a call's id; the provider may be asked when it returns."""


Work = Callable[[Followers, Begin], Awaitable[ToolAnswer]]
"""Runs the call: tells the followers of its progress, and begins the operation before it asks a provider."""


class _Stage(Enum):
    RUNNING = "running"
    """It may be cancelled, and joined."""
    KEEPING = "keeping"
    """Its answer is being committed; it may be joined."""
    FREEING = "freeing"
    """Its key is being freed: who asks for it now waits, and begins anew."""


@dataclass(slots=True)
class _Operation:
    """One that runs in this process."""

    id: IdempotentCallId
    tool: str
    digest: str
    answer: asyncio.Future[ToolAnswer]
    followers: Followers = field(default_factory=Followers)
    stage: _Stage = _Stage.RUNNING
    callers: int = 0
    call_id: str | None = None
    """The call that may have begun a row."""
    is_unwritten: bool = False
    """Whether the database did not take its end."""
    task: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """One caller fewer; the last one takes the work with it."""
        self.callers -= 1
        if self.callers == 0:
            self.cancel()

    def cancel(self) -> None:
        if self.stage is _Stage.RUNNING and self.task is not None:
            self.stage = _Stage.FREEING
            self.task.cancel()


class IdempotentCalls:
    """Owns the operations that run; every other one is a row."""

    def __init__(
        self,
        table: IdempotentCallTable,
        limits: config.Idempotency,
        *,
        clock: Clock,
        publish: Callable[[Event], None],
    ) -> None:
        self._table = table
        self._max_result_bytes = limits.max_result_bytes
        self._clock = clock
        self._publish = publish
        self._running: dict[IdempotentCallId, _Operation] = {}
        self._unwritten = 0
        self._closed = False

    @property
    def running(self) -> int:
        """IdempotentCalls of this process whose end is not written yet."""
        return len(self._running)

    async def call(
        self,
        call_key: IdempotentCallId,
        tool: str,
        arguments: Mapping[str, Any] | None,
        *,
        work: Work,
        send_progress: SendProgress | None,
        calls_running: Callable[[], int],
    ) -> ToolAnswer:
        """The operation's answer: of the run that is under way, of one before, or of `work`.

        Raises:
            ToolFault: there is none.
        """
        digest = digest_of(tool, arguments)
        while (operation := self._running.get(call_key)) is not None:
            if operation.stage is not _Stage.FREEING:
                if operation.digest != digest:
                    raise self._reused(operation.tool)
                break
            if operation.is_unwritten:
                raise StoreFailed(
                    "EXAI could not reach its database when this operation ended. Try again in a moment.",
                    retry_after_s=5.0,
                )
            if operation.task is not None:
                await asyncio.wait([operation.task])
        joins = operation is not None
        if operation is None:
            operation = self._start(call_key, tool, digest, work)
        async with self._follow(operation, send_progress, calls_running):
            answer = await asyncio.shield(operation.answer)
        if joins:
            self._publish(CallRecalled("joined"))
            return _recalled(answer, "joined", operation.call_id)
        return answer

    async def close(self) -> None:
        """Cancel what runs and wait until its end is written, as far as the database takes it."""
        self._closed = True
        for operation in self._running.values():
            operation.cancel()
            if operation.is_unwritten and operation.task is not None:
                operation.task.cancel()
        running = [each.task for each in self._running.values() if each.task is not None]
        if running:
            await asyncio.wait(running)

    def _start(self, call_key: IdempotentCallId, tool: str, digest: str, work: Work) -> _Operation:
        if self._closed:
            raise _stopping()
        operation = _Operation(call_key, tool, digest, asyncio.get_running_loop().create_future())
        operation.task = tasks.spawn(self._run(operation, work), name="operation")
        self._running[call_key] = operation
        # Not by the task itself: one that is cancelled before its first step runs none of its lines.
        operation.task.add_done_callback(lambda _: self._forget(operation))
        return operation

    def _forget(self, operation: _Operation) -> None:
        del self._running[operation.id]
        if not operation.answer.done():
            _settle(operation.answer, None, RuntimeError("an operation ended without an answer"))

    @asynccontextmanager
    async def _follow(
        self, operation: _Operation, send_progress: SendProgress | None, calls_running: Callable[[], int]
    ) -> AsyncIterator[None]:
        """The scope in which a caller waits for the answer."""
        operation.callers += 1
        try:
            if send_progress is None:
                yield
                return
            async with ProgressReporter(send_progress, self._clock, calls_running) as reporter:
                with operation.followers.joined_by(reporter):
                    yield
        finally:
            operation.leave()

    async def _run(self, operation: _Operation, work: Work) -> None:
        """Bring the operation to its end, write it, and answer whoever waits."""
        answer: ToolAnswer | None = None
        fault: Exception | None = None
        try:
            answer = await self._kept_answer(operation)
            if answer is None:
                answer = await work(operation.followers, partial(self._begin, operation))
        except asyncio.CancelledError:
            _uncancel()
            fault = _stopping()  # read by nobody, unless the house is being closed
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the answer
            fault = error
        write = self._end(operation, answer)
        try:
            await write()
        except StoreFailed:
            operation.is_unwritten = True
        _settle(operation.answer, answer, fault)
        if operation.is_unwritten:
            await self._insist(write)

    async def _begin(self, operation: _Operation, call_id: str) -> None:
        """Commit the row.

        Raises:
            RunningElsewhere: another process was faster.
            StoreFailed: it was not kept, or nobody knows.
        """
        operation.call_id = call_id
        began = await self._table.begin(
            operation.id, digest=operation.digest, tool=operation.tool, call_id=call_id
        )
        if not began:
            operation.call_id = None
            raise self._elsewhere()

    def _end(self, operation: _Operation, answer: ToolAnswer | None) -> Callable[[], Awaitable[None]]:
        """What is to be written at the end; from here on the operation can no longer be cancelled."""
        call_id = operation.call_id
        if answer is not None and not _is_passing(answer):
            operation.stage = _Stage.KEEPING
            if call_id is None or META_KEY in (answer.meta or ()):
                return _nothing
            result = _packed(answer)
            fits = len(result.encode("utf-8", "replace")) <= self._max_result_bytes
            return partial(self._table.end, operation.id, call_id=call_id, result=result if fits else None)
        operation.stage = _Stage.FREEING
        return _nothing if call_id is None else partial(self._table.free, operation.id, call_id=call_id)

    async def _insist(self, write: Callable[[], Awaitable[None]]) -> None:
        """Write the end once the database takes it; until then the operation stays known here."""
        if self._unwritten >= MAX_UNWRITTEN or self._closed:
            _log.error("the end of an operation was not kept: asked again, it is in doubt")
            return
        self._unwritten += 1
        pause = FIRST_RETRY_S
        try:
            while True:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY_S)
                try:
                    await write()
                except StoreFailed:
                    continue
                return
        finally:
            self._unwritten -= 1

    async def _kept_answer(self, operation: _Operation) -> ToolAnswer | None:
        """What the row has; `None`: there is no row.

        Raises:
            IdempotencyKeyReused, RunningElsewhere, CallInDoubt, ResultLost: it has no answer.
            StoreFailed: the database is out of reach.
        """
        kept = await self._table.find(operation.id)
        if kept is None:
            return None
        if kept.digest != operation.digest:
            raise self._reused(None)
        if kept.ended:
            return self._unpacked(kept)
        if not await self._table.is_abandoned(kept.run_id):
            raise self._elsewhere()
        kept = await self._table.find(operation.id)  # a process writes its last ends before it goes
        if kept is None or kept.ended:
            return None if kept is None else self._unpacked(kept)
        conversation = await self._table.conversation_of(operation.id, kept.call_id)
        if conversation is not None:
            self._publish(CallRecalled("lost"))
            raise ResultLost(
                f"This call has been carried out ({kept.call_id} in the journal): its question and answer are the "
                f"last of the conversation {conversation}, but EXAI stopped before its result was kept. Go on with "
                "that continuation_id, or ask again under a new key."
            )
        self._publish(CallRecalled("in_doubt"))
        raise CallInDoubt(
            f"EXAI stopped while this call ran ({kept.call_id} in its journal). Whether it was carried out is unknown, "
            "and it was not repeated. Ask again under a new key if doing it twice does no harm."
        )

    def _unpacked(self, kept: KeptCall) -> ToolAnswer:
        """The result of a row that has ended.

        Raises:
            ResultLost: it was too large.
        """
        if kept.result is None:
            self._publish(CallRecalled("lost"))
            raise ResultLost(
                f"This call has been carried out ({kept.call_id} in the journal), but its result was larger than "
                "idempotency.max_result_bytes and was not kept. Go on with its conversation, or ask again under a new "
                "key."
            )
        self._publish(CallRecalled("stored"))
        return _recalled(ToolAnswer(**json.loads(kept.result)), "stored", kept.call_id)

    def _reused(self, tool: str | None) -> IdempotencyKeyReused:
        self._publish(CallRecalled("reused"))
        of = "another call" if tool is None else f"another call of {tool}"
        return IdempotencyKeyReused(
            f"This idempotency key was used for {of}, with other arguments. Give every new call a key of its own."
        )

    def _elsewhere(self) -> RunningElsewhere:
        self._publish(CallRecalled("elsewhere"))
        return RunningElsewhere(
            "This operation runs in another EXAI process on the same database. Ask again under the same key in a "
            "few seconds: then its result is there.",
            retry_after_s=ELSEWHERE_RETRY_AFTER_S,
        )


def digest_of(tool: str, arguments: Mapping[str, Any] | None) -> str:
    """SHA-256 of a call in its canonical spelling: JSON with its keys sorted and no spaces."""
    call = [tool, arguments or {}]
    try:
        spelled = _spell(call)
    except (ValueError, OverflowError):  # a lone surrogate, or an integer beyond 64 bits
        spelled = json.dumps(call, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(spelled).hexdigest()


async def _nothing() -> None:
    pass


def _stopping() -> Stopping:
    return Stopping(
        "EXAI is shutting down and takes no new calls. Try again in a few seconds.",
        retry_after_s=STOPPING_RETRY_AFTER_S,
    )


def _settle(future: asyncio.Future[ToolAnswer], answer: ToolAnswer | None, fault: Exception | None) -> None:
    if fault is not None:
        future.set_exception(fault)
        future.exception()  # nobody may be waiting any more
    elif answer is not None:
        future.set_result(answer)


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _is_passing(answer: ToolAnswer) -> bool:
    """Whether the same call may end otherwise when it is made again."""
    facts: JsonObject = (answer.meta or {}).get("exai/error", {})
    return answer.is_error and facts.get("retryable", False) is True


def _recalled(answer: ToolAnswer, how: str, call_id: str | None) -> ToolAnswer:
    if META_KEY in (answer.meta or ()):
        return answer
    return replace(answer, meta={**(answer.meta or {}), META_KEY: {"recalled": how, "call_id": call_id}})


def _packed(answer: ToolAnswer) -> str:
    facts = {
        "text": answer.text,
        "structured": answer.structured,
        "meta": answer.meta,
        "is_error": answer.is_error,
    }
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
