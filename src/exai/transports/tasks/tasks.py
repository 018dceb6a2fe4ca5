"""Long calls as tasks.

A call that may become a task runs under an idempotency key, its client's or one of its own. While it runs here it is a
`LiveTask`; its row is committed before its client is told of it, and has the result from its end on. The row of a task
whose process died says `working`, as does its client's view: nothing is done for it until its client asks
(`tasks/get`). Then the call is made again under its key, which returns the result that was kept, goes on with a run of
a workflow, or answers that nobody knows whether the provider carried it out. So nothing is asked of a provider twice.
A task that asked its user for a budget asks again; a yes that had come holds.

    runs ─► ended within `after_s` ─► its result
      └───► row committed ─► working ─► completed | failed | cancelled
                                │ process died
                                └─► working, at rest ── asked for ─► working, under the same key
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol

import msgspec
import structlog
from mcp.shared.exceptions import MCPError

from exai import config
from exai.callers import Caller
from exai.dispatch.progress import SendProgress
from exai.errors import Stopping, StoreFailed
from exai.events.bus import EventBus
from exai.events.events import TaskBegun, TaskEnded
from exai.runtime import tasks as background
from exai.runtime.clock import Clock
from exai.storage.calls.tasks import TaskRow, TaskStatus, TaskTable
from exai.tools.base import JsonObject
from exai.transports.server import incident_error
from exai.transports.tasks.live import LiveTask
from exai.transports.tasks.wire import created, shown, unknown_task

__all__ = ["LongCall", "Repeating", "Tasks"]

_log = structlog.get_logger(__name__)

AT_REST = "EXAI ended while this was under way; it goes on"
NO_ROOM = "Waits until another of your tasks has ended"
STORE_AGAIN_S = 5.0

Work = Callable[[LiveTask, str], Awaitable[JsonObject]]
"""Makes a call under a key; returns its result in wire form, or raises `MCPError`."""
Running = asyncio.Task[JsonObject | MCPError]


class Repeating(Protocol):
    """Makes calls again."""

    def check(self, caller: Caller, tool: str, arguments: JsonObject | None) -> None:
        """Refuse a caller who may not make such a call, whatever its arguments where they are `None`.

        Raises:
            MCPError: that is so.
        """
        ...

    async def repeat(
        self, caller: Caller, row: TaskRow, arguments: JsonObject, live: LiveTask, *, can_ask: bool
    ) -> JsonObject:
        """Make the call of a task again, under its key; return its result in wire form.

        `can_ask`: whether its client can show its user what the task asks.

        Raises:
            MCPError: it failed by one.
        """
        ...


class LongCall(msgspec.Struct, frozen=True):
    """A call that may become a task."""

    caller: Caller
    name: str
    arguments: JsonObject | None
    key: str | None
    """The idempotency key that its client gave it."""
    work: Work
    forward: SendProgress | None


class Tasks:
    """Owns the tasks of this process; every other one is a row."""

    def __init__(
        self, table: TaskTable, settings: config.Settings, clock: Clock, bus: EventBus, repeating: Repeating
    ) -> None:
        self._table = table
        self._after_s = settings.workflows.task_after_s
        self._most_of_caller = settings.workflows.tasks_per_caller
        self._keep = timedelta(hours=settings.idempotency.keep_hours)
        self._clock = clock
        self._bus = bus
        self._repeating = repeating
        self._live: dict[str, tuple[LiveTask, Running]] = {}
        self._reviving = asyncio.Lock()

    async def call(self, call: LongCall, after_s: float | None = None) -> JsonObject:
        """Return the call's result, or the task that it has become after `after_s`, by default the setting.

        Leaving before that cancels the call.

        Raises:
            MCPError: the call failed by one.
        """
        live = LiveTask(self._clock, call.forward)
        key = call.key or f"task-{secrets.token_hex(16)}"
        running = background.spawn(_held(call.work(live, key)), name=f"call of {call.name}")
        await _wait_for(running, self._after_s if after_s is None else after_s)
        if not running.done() and self._has_room(call.caller) and live.settle():
            row = self._row(call, key, live)
            try:
                await self._table.create(row)
            except StoreFailed:
                pass  # its client waits, as one does that knows no tasks
            except asyncio.CancelledError:
                running.cancel()
                raise
            else:
                self._adopt(live, row, running, resumed=False)
                return created(row, live.message)
        await _wait_for(running, None)
        return _result_of(running)

    async def get(self, caller: Caller, task_id: str, *, can_ask: bool = False) -> JsonObject:
        """Show a task; one whose process died goes on, and asks its user anew where its client can.

        Raises:
            MCPError: the caller has no such task, or may not make such a call.
            StoreFailed: the database is out of reach.
        """
        if (live := self._live_of(caller, task_id)) is not None:
            return _view(live)
        row = await self._row_of(caller, task_id)
        if row.status != "working" or not await self._table.is_left(row):
            return shown(row, row.message, row.updated_at)
        if not self._has_room(caller):
            return shown(row, NO_ROOM, row.updated_at)
        await self._revive(caller, row, can_ask=can_ask)
        if (live := self._live_of(caller, task_id)) is not None:
            return _view(live)
        row = await self._row_of(caller, task_id)
        return shown(row, row.message, row.updated_at)

    async def update(self, caller: Caller, task_id: str, responses: JsonObject) -> None:
        """Hand a task what it asked its client for.

        Raises:
            MCPError: the caller has no such task, or may not make such a call.
            StoreFailed: the database is out of reach.
        """
        if (live := self._live_of(caller, task_id)) is not None:
            live.answer(responses)
        else:
            await self._row_of(caller, task_id)

    async def cancel(self, caller: Caller, task_id: str) -> None:
        """Cancel a task, down to the connection to its provider; one that has ended stays as it is.

        Raises:
            MCPError: the caller has no such task, or may not make such a call.
            StoreFailed: the database is out of reach.
        """
        found = self._live.get(task_id)
        if found is not None and (live := self._live_of(caller, task_id)) is not None:
            live.cancelled = True
            found[1].cancel()
            await asyncio.wait([found[1]])
            return
        row = await self._row_of(caller, task_id)
        if row.status == "working":
            await self._table.end(row, "cancelled", "Cancelled", None)

    async def changed(self, task_id: str, timeout_s: float) -> None:
        """Wait until the status of a task may have changed, for so long at most."""
        found = self._live.get(task_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await (found[0].changed() if found is not None else asyncio.Event().wait())

    def _row(self, call: LongCall, key: str, live: LiveTask) -> TaskRow:
        return TaskRow(
            task_id=f"task_{secrets.token_urlsafe(24)}",
            owner=call.caller.subject,
            process=self._table.process,
            tool=call.name,
            idempotency_key=key,
            status="working",
            created_at=live.began_at,
            updated_at=self._clock.utc(),
            expires_at=live.began_at + self._keep,
            message=AT_REST,
            arguments=msgspec.json.encode(call.arguments or {}).decode(),
        )

    def _has_room(self, caller: Caller) -> bool:
        own = sum(
            live.row is not None and live.row.owner == caller.subject for live, _ in self._live.values()
        )
        return own < self._most_of_caller

    def _live_of(self, caller: Caller, task_id: str) -> LiveTask | None:
        live, _ = self._live.get(task_id, (None, None))
        if live is None or live.row is None or live.row.owner != caller.subject:
            return None
        self._repeating.check(caller, live.row.tool, None)
        return live

    async def _row_of(self, caller: Caller, task_id: str) -> TaskRow:
        row = await self._table.find(caller.subject, task_id)
        if row is None:
            raise unknown_task()
        self._repeating.check(caller, row.tool, None)
        return row

    async def _revive(self, caller: Caller, row: TaskRow, *, can_ask: bool) -> None:
        """Make the call of a task again, unless somebody else did meanwhile.

        Raises:
            MCPError: the caller may not.
        """
        arguments: JsonObject = msgspec.json.decode(row.arguments or "{}")
        self._repeating.check(caller, row.tool, arguments)
        async with self._reviving:
            if row.task_id in self._live or (taken := await self._table.take(row)) is None:
                return
            live = LiveTask(self._clock, None)
            live.settle()
            work = self._repeating.repeat(caller, row, arguments, live, can_ask=can_ask)
            running = background.spawn(_held(work), name=f"call of {row.tool}")
            self._adopt(live, taken, running, resumed=True)

    def _adopt(self, live: LiveTask, row: TaskRow, running: Running, *, resumed: bool) -> None:
        live.detach(row)
        self._bus.publish(TaskBegun(row.tool, resumed))
        self._live[row.task_id] = (live, running)
        background.spawn(self._follow(live, row, running), name="task")

    async def _follow(self, live: LiveTask, row: TaskRow, running: Running) -> None:
        """Keep how a task ended; one that ended with the process stays as it is, and goes on in the next."""
        await asyncio.wait([running])
        ended = self._end_of(live, running)
        self._bus.publish(TaskEnded(row.tool, "left" if ended is None else ended[0]))
        if ended is not None:
            status, message, result = ended
            live.row = msgspec.structs.replace(row, status=status, message=message, result=result)
            live.message = message
            live.notify()
            await self._keep_end(row, status, message, result)
        del self._live[row.task_id]

    def _end_of(self, live: LiveTask, running: Running) -> tuple[TaskStatus, str, str | None] | None:
        if running.cancelled():
            return ("cancelled", "Cancelled", None) if live.cancelled else None
        try:
            result = _result_of(running)
        except MCPError as error:
            return ("failed", error.error.message, _json(error.error.model_dump(exclude_none=True)))
        except Exception as error:  # noqa: BLE001 - the door: whatever it is becomes the task's end
            said = incident_error(error, where="task", bus=self._bus).error
            return ("failed", said.message, _json(said.model_dump(exclude_none=True)))
        return None if _is_stopping(result) else ("completed", "", _json(result))

    async def _keep_end(self, row: TaskRow, status: TaskStatus, message: str, result: str | None) -> None:
        while self._clock.utc() < row.expires_at:
            try:
                await self._table.end(row, status, message, result)
            except StoreFailed:
                await asyncio.sleep(STORE_AGAIN_S)
            else:
                return
        _log.warning("the end of a task was not kept")


async def _held(work: Awaitable[JsonObject]) -> JsonObject | MCPError:
    """Return what the work does; an answer that is an error is no failure of a background task, and is not logged."""
    try:
        return await work
    except MCPError as error:
        return error


def _result_of(running: Running) -> JsonObject:
    result = running.result()
    if isinstance(result, MCPError):
        raise result
    return result


async def _wait_for(running: Running, timeout_s: float | None) -> None:
    """Wait for a call; leaving early cancels it."""
    try:
        await asyncio.wait([running], timeout=timeout_s)
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait([running])
        raise


def _is_stopping(result: JsonObject) -> bool:
    """Whether a call was ended because its process ends."""
    error = result.get("_meta", {}).get("exai/error", {})
    return bool(result.get("isError")) and error.get("code") == Stopping.code


def _view(live: LiveTask) -> JsonObject:
    row = live.row
    assert row is not None, "only tasks are looked at"  # noqa: S101 - the caller's own promise
    return shown(row, live.message, live.updated_at, live.asked if row.status == "working" else None)


def _json(value: JsonObject) -> str:
    return msgspec.json.encode(value).decode()
