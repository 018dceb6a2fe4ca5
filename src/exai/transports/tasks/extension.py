"""The extension `io.modelcontextprotocol/tasks`: which calls become tasks, and the requests about them."""

from contextlib import suppress

import mcp_types as types

from exai import config
from exai.callers import Caller
from exai.errors import ScopeMissing, StoreFailed, UnknownTool
from exai.events.bus import EventBus
from exai.runtime.clock import Clock
from exai.storage.calls.tasks import TaskRow, TaskTable
from exai.tools.base import JsonObject
from exai.transports.confirmation.asking import confirm_by, key_once_allowed
from exai.transports.server import (
    Calls,
    EngineServer,
    answer_call,
    caller_of,
    progress_of,
    scope_error,
)
from exai.transports.tasks.confirming import allowed_before, confirm_in
from exai.transports.tasks.listening import TaskListening
from exai.transports.tasks.live import LiveTask
from exai.transports.tasks.tasks import LongCall, Tasks
from exai.transports.tasks.wire import (
    EXTENSION,
    Context,
    TaskParams,
    TaskUpdateParams,
    check_declared,
    check_header,
    declares,
    unstored,
)

__all__ = ["TaskExtension"]


class TaskExtension:
    """Answers calls of clients that declare tasks, and `tasks/…`."""

    def __init__(self, table: TaskTable, settings: config.Settings, clock: Clock, bus: EventBus) -> None:
        self._table = table
        self.tasks = Tasks(table, settings, clock, bus, self)
        self._server: EngineServer | None = None

    def add_to(self, server: EngineServer) -> None:
        """Register the handlers, and listen to tasks beside what is listened to already."""
        self._server = server
        server.long_calls = self
        server.extensions = {**server.extensions, EXTENSION: {}}
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", TaskUpdateParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)
        listening = server.get_request_handler("subscriptions/listen")
        if listening is not None:
            server.add_request_handler(
                "subscriptions/listen",
                types.SubscriptionsListenRequestParams,
                TaskListening(self.tasks, listening.handler),
            )

    def takes(self, context: Context) -> bool:
        """Whether the request declares tasks; nobody else gets one."""
        return declares(context)

    async def answer(
        self, calls: Calls, context: Context, params: types.CallToolRequestParams, key: str | None
    ) -> JsonObject:
        """Return the call's result, or the task that it has become; `key` is its idempotency key.

        Raises:
            MCPError: there is no such tool, or the caller may not.
        """
        caller = caller_of(context)
        by_result = confirm_by(context)

        async def work(live: LiveTask, key: str) -> JsonObject:
            return await answer_call(
                calls,
                params.name,
                params.arguments,
                caller,
                progress=live.progress,
                key=key,
                confirm=None if by_result is None else confirm_in(live, by_result),
            )

        forward = progress_of(context)
        return await self.tasks.call(LongCall(caller, params.name, params.arguments, key, work, forward))

    async def get(self, context: Context, params: TaskParams) -> JsonObject:
        """Show a task of the caller's."""
        caller = self._asking(context, params)
        try:
            task = await self.tasks.get(caller, params.task_id, can_ask=confirm_by(context) is not None)
        except StoreFailed as fault:
            raise unstored(fault) from None
        return {"resultType": "complete", **task}

    async def update(self, context: Context, params: TaskUpdateParams) -> types.EmptyResult:
        """Hand a task what it asked for."""
        caller = self._asking(context, params)
        try:
            await self.tasks.update(caller, params.task_id, params.input_responses)
        except StoreFailed as fault:
            raise unstored(fault) from None
        return types.EmptyResult()

    async def cancel(self, context: Context, params: TaskParams) -> types.EmptyResult:
        """Cancel a task."""
        caller = self._asking(context, params)
        try:
            await self.tasks.cancel(caller, params.task_id)
        except StoreFailed as fault:
            raise unstored(fault) from None
        return types.EmptyResult()

    def _asking(self, context: Context, params: TaskParams) -> Caller:
        check_declared(context)
        check_header(context, params.task_id)
        return caller_of(context)

    def check(self, caller: Caller, tool: str, arguments: JsonObject | None) -> None:
        """Refuse a caller who may not make such a call.

        Raises:
            MCPError: that is so.
        """
        with suppress(UnknownTool):
            try:
                self._calls.engine.check_scopes(tool, arguments, caller)
            except ScopeMissing as fault:
                raise scope_error(fault) from None

    async def repeat(
        self, caller: Caller, row: TaskRow, arguments: JsonObject, live: LiveTask, *, can_ask: bool
    ) -> JsonObject:
        """Make the call of a task again, under its key; its user is asked again, unless a yes came before.

        Raises:
            MCPError: it failed by one.
        """
        key = row.idempotency_key
        confirm = confirm_in(live) if can_ask else None
        if await self._table.was_called(row.owner, key_once_allowed(key)):
            confirm = allowed_before
        return await answer_call(
            self._calls, row.tool, arguments, caller, progress=live.progress, key=key, confirm=confirm
        )

    @property
    def _calls(self) -> Calls:
        assert self._server is not None, "its server answers `tasks/…`"  # noqa: S101 - which asks for them
        return self._server.calls
