"""`subscriptions/listen` with `taskIds`: whole tasks, whenever they change, beside what else is listened to."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import anyio
import mcp_types as types
from mcp.server.context import HandlerResult
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import INVALID_PARAMS
from pydantic import BaseModel

from exai.callers import Caller
from exai.errors import StoreFailed
from exai.runtime import tasks as background
from exai.tools.base import JsonObject
from exai.transports.confirmation.asking import confirm_by
from exai.transports.server import Subscriptions, caller_of
from exai.transports.tasks.tasks import Tasks
from exai.transports.tasks.wire import POLL_S, Context, check_declared, unstored

__all__ = ["TaskListening"]

Listen = Callable[[Context, types.SubscriptionsListenRequestParams], Awaitable[HandlerResult]]

MOST = 100
"""Tasks of one subscription."""
GONE = (OSError, RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError)
"""What sending to a client that has left may raise."""
TERMINAL = frozenset({"completed", "failed", "cancelled"})


class TaskNotification(BaseModel):
    """`notifications/tasks`, which the SDK does not know."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


class TaskListening:
    """Answers `subscriptions/listen`; what is no task it leaves to the handler that was there before."""

    def __init__(self, tasks: Tasks, listen: Listen) -> None:
        self._tasks = tasks
        self._listen = listen

    def close(self) -> None:
        """Give every subscription its result."""
        listen: object = self._listen
        if isinstance(listen, Subscriptions):
            listen.close()

    async def __call__(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> HandlerResult:
        """Serve one subscription."""
        wanted = (params.notifications.model_extra or {}).get("taskIds")
        if not wanted:
            return await self._listen(context, params)
        check_declared(context)
        if (
            not isinstance(wanted, list)
            or len(wanted) > MOST
            or not all(isinstance(each, str) for each in wanted)
        ):
            raise MCPError(INVALID_PARAMS, f"taskIds is a list of up to {MOST} ids of tasks.")
        caller = caller_of(context)
        known = [
            task_id for task_id in dict.fromkeys(wanted) if await self._is_known(context, caller, task_id)
        ]
        session: Any = _Acknowledging(context.session, known)
        watching = [
            background.spawn(
                self._watch(context, caller, task_id, session.acknowledged), name="subscription to a task"
            )
            for task_id in known
        ]
        try:
            return await self._listen(replace(context, session=session), params)
        finally:
            for each in watching:
                each.cancel()

    async def _is_known(self, context: Context, caller: Caller, task_id: str) -> bool:
        try:
            await self._tasks.get(caller, task_id, can_ask=confirm_by(context) is not None)
        except MCPError:
            return False
        except StoreFailed as fault:
            raise unstored(fault) from None
        return True

    async def _watch(
        self, context: Context, caller: Caller, task_id: str, acknowledged: asyncio.Event
    ) -> None:
        """Send a task whenever it has changed, and for the last time when it has ended."""
        await acknowledged.wait()
        sent: JsonObject = {}
        can_ask = confirm_by(context) is not None
        while sent.get("status") not in TERMINAL:
            try:
                task = await self._tasks.get(caller, task_id, can_ask=can_ask)
            except MCPError:
                return  # it has expired
            except StoreFailed:
                task = sent
            if _without_time(task) != _without_time(sent):
                sent = task
                meta = {SUBSCRIPTION_ID_META_KEY: context.request_id}
                notification: Any = TaskNotification(params={**task, "_meta": meta})
                try:
                    await context.session.send_notification(
                        notification, related_request_id=context.request_id
                    )
                except GONE:
                    return  # the subscription's own handler finds out
            await self._tasks.changed(task_id, POLL_S)


class _Acknowledging:
    """A session that names the tasks in the acknowledgement of a subscription."""

    def __init__(self, session: Any, task_ids: Sequence[str]) -> None:
        self._session = session
        self._task_ids = list(task_ids)
        self.acknowledged = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def send_notification(
        self, notification: Any, related_request_id: types.RequestId | None = None
    ) -> None:
        if isinstance(notification, types.SubscriptionsAcknowledgedNotification):
            honored = notification.params.notifications.model_dump(by_alias=True, exclude_none=True)
            notification.params.notifications = types.SubscriptionFilter.model_validate(
                {**honored, "taskIds": self._task_ids}
            )
        await self._session.send_notification(notification, related_request_id=related_request_id)
        self.acknowledged.set()


def _without_time(task: JsonObject) -> JsonObject:
    return {name: value for name, value in task.items() if name != "lastUpdatedAt"}
