"""How tasks are written: requests, shapes of tasks, and errors, as the extension has them for 2026-07-28."""

from datetime import datetime, timedelta
from typing import Any

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND, MISSING_REQUIRED_CLIENT_CAPABILITY
from mcp_types.jsonrpc import HEADER_MISMATCH
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field

from exai.errors import StoreFailed
from exai.storage.calls.tasks import TaskRow
from exai.tools.base import JsonObject

__all__ = [
    "EXTENSION",
    "POLL_S",
    "TaskParams",
    "TaskUpdateParams",
    "check_declared",
    "check_header",
    "created",
    "declares",
    "shown",
    "unknown_task",
    "unstored",
]

Context = ServerRequestContext[Any, Any]

EXTENSION = "io.modelcontextprotocol/tasks"
POLL_S = 2.0
"""How often a client is asked to look."""

_NEEDED: JsonObject = {"extensions": {EXTENSION: {}}}
_CAPABILITY = types.ClientCapabilities(extensions={EXTENSION: {}})


class TaskParams(types.RequestParams):
    """The params of `tasks/get` and `tasks/cancel`."""

    task_id: str = Field(alias="taskId")


class TaskUpdateParams(TaskParams):
    """The params of `tasks/update`."""

    input_responses: dict[str, Any] = Field(alias="inputResponses")


def declares(context: Context) -> bool:
    """Whether this request may be answered by a task: it says so itself."""
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS and context.session.check_client_capability(
        _CAPABILITY
    )


def check_declared(context: Context) -> None:
    """Refuse a request about tasks of a client that does not declare them.

    Raises:
        MCPError: that is so, or its revision has no tasks.
    """
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        raise MCPError(METHOD_NOT_FOUND, "Method not found", context.method)
    if not declares(context):
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY,
            f"This needs a client that declares {EXTENSION} in the capabilities of the request.",
            {"requiredCapabilities": _NEEDED},
        )


def check_header(context: Context, task_id: str) -> None:
    """Refuse a request over HTTP that was routed by another id than the one it is about.

    Raises:
        MCPError: its header `Mcp-Name` is missing, or another one.
    """
    headers = getattr(context.request, "headers", None)
    if headers is not None and decode_header_value(headers.get(MCP_NAME_HEADER)) != task_id:
        raise MCPError(
            HEADER_MISMATCH, f"The header Mcp-Name of {context.method} is the taskId of its params."
        )


def unknown_task() -> MCPError:
    """Say that there is no such task; another owner's and an expired one are answered alike."""
    return MCPError(
        INVALID_PARAMS,
        "You have no task with this taskId. It never was, or has expired; call the tool again.",
    )


def unstored(fault: StoreFailed) -> MCPError:
    """Say that the database is out of reach."""
    return MCPError(INTERNAL_ERROR, str(fault), {"code": fault.code, "retryable": True})


def created(row: TaskRow, message: str) -> JsonObject:
    """Return the result of a call that has become a task."""
    return {"resultType": "task", **_base(row, message, row.updated_at)}


def shown(
    row: TaskRow, message: str, updated_at: datetime, asked: dict[str, JsonObject] | None = None
) -> JsonObject:
    """Return all of a task, as `tasks/get` and notifications show it.

    Args:
        asked: what the client is asked for, by key, while the task waits for it.
    """
    task = _base(row, message, updated_at)
    if asked:
        return {**task, "status": "input_required", "inputRequests": asked}
    if row.result is not None:
        member = "result" if row.status == "completed" else "error"
        task[member] = msgspec.json.decode(row.result)
    return task


def _base(row: TaskRow, message: str, updated_at: datetime) -> JsonObject:
    task: JsonObject = {
        "taskId": row.task_id,
        "status": row.status,
        "createdAt": _moment(row.created_at),
        "lastUpdatedAt": _moment(updated_at),
        "ttlMs": (row.expires_at - row.created_at) // timedelta(milliseconds=1),
        "pollIntervalMs": int(POLL_S * 1_000),
    }
    if message:
        task["statusMessage"] = message
    return task


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
