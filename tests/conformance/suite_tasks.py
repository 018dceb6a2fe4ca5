"""The tools that the conformance suite's scenarios of tasks call, as it describes them."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from conformance.suite_registry import NO_ARGUMENTS, Context, Tool, ask_user, asks, text
from exai.tools.base import JsonObject
from exai.transports.server import caller_of
from exai.transports.tasks.extension import TaskExtension
from exai.transports.tasks.live import LiveTask
from exai.transports.tasks.tasks import LongCall
from exai.transports.tasks.wire import check_declared, declares

__all__ = ["task_tools"]

Params = types.CallToolRequestParams
Result = types.CallToolResult
Work = Callable[[Params, LiveTask], Awaitable[Result]]

_CONFIRM: JsonObject = ask_user("Delete it?", confirm="boolean").model_dump(
    by_alias=True, mode="json", exclude_none=True
)


def _required(name: str, kind: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}


async def slow_compute(params: Params, _: LiveTask) -> Result:
    """Takes some seconds."""
    seconds = (params.arguments or {})["seconds"]
    await asyncio.sleep(seconds)
    return text(f"Took {seconds} s.")


async def failing_job(_: Params, __: LiveTask) -> Result:
    """Fails after a second; of use as a task alone."""
    await asyncio.sleep(1)
    return Result(content=text("It failed.").content, is_error=True)


async def protocol_error_job(_: Params, __: LiveTask) -> Result:
    """Ends by an error of JSON-RPC."""
    await asyncio.sleep(0.2)
    raise MCPError(types.INTERNAL_ERROR, "It broke.")


async def confirm_delete(_: Params, live: LiveTask) -> Result:
    """Asks the user while it is a task."""
    answers = await live.ask(confirm=_CONFIRM)
    return text(f"Confirmed: {answers['confirm'].get('content')}")


async def multi_input(_: Params, live: LiveTask) -> Result:
    """Asks the user two things at once while it is a task."""
    answers = await live.ask(first=_CONFIRM, second=_CONFIRM)
    return text(f"Got {len(answers)} answers.")


async def greet_at_length(params: Params, _: LiveTask) -> Result:
    """Asks the user by its result, and then becomes a task."""
    answer = (params.input_responses or {})["user_name"]
    assert isinstance(answer, types.ElicitResult)
    await asyncio.sleep(1)
    return text(f"Hello, {(answer.content or {}).get('name')}!")


WORKS: dict[str, tuple[dict[str, Any], Work]] = {
    "slow_compute": (_required("seconds", "number"), slow_compute),
    "failing_job": (NO_ARGUMENTS, failing_job),
    "protocol_error_job": (NO_ARGUMENTS, protocol_error_job),
    "confirm_delete": (_required("filename", "string"), confirm_delete),
    "multi_input": (NO_ARGUMENTS, multi_input),
    "test_tool_with_task": (NO_ARGUMENTS, greet_at_length),
}
TASKS_ALONE = {"failing_job", "test_tool_with_task"}
"""What refuses clients that declare no tasks."""


async def _greet(_: Context, params: Params) -> Result:
    return text(f"Hello, {(params.arguments or {})['name']}!")


async def _as_task(extension: TaskExtension, work: Work, context: Context, params: Params) -> Any:
    """Do the work as a task from its beginning, for a client that declares them."""
    if params.name in TASKS_ALONE:
        check_declared(context)
    if params.name == "test_tool_with_task" and not params.input_responses:
        return asks(user_name=ask_user("What is your name?", name="string"))

    async def dumped(live: LiveTask, _: str) -> JsonObject:
        result = await work(params, live)
        return {
            "resultType": "complete",
            **result.model_dump(by_alias=True, mode="json", exclude_none=True),
        }

    call = LongCall(caller_of(context), params.name, params.arguments, None, dumped, None)
    return await extension.tasks.call(call, 0 if declares(context) else None)


def task_tools(extension: TaskExtension) -> dict[str, Tool]:
    """The tools by name."""
    tools = {
        name: Tool(
            types.Tool(name=name, description=work.__doc__, input_schema=schema),
            partial(_as_task, extension, work),
        )
        for name, (schema, work) in WORKS.items()
    }
    described = types.Tool(
        name="greet", description="Greets at once.", input_schema=_required("name", "string")
    )
    return {**tools, "greet": Tool(described, _greet)}
