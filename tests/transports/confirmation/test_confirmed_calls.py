"""Budgets that a client's user is asked for, by official clients of both eras, and by tasks."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.context import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from exai.config import Settings
from exai.consulting.results import Confirmation
from exai.dispatch.progress import SendProgress
from exai.events.bus import EventBus
from exai.runtime.clock import ManualClock
from exai.storage.calls.tasks import TaskTable
from exai.storage.database import Database
from exai.tools.base import ToolAnswer
from exai.tools.envelope import to_be_confirmed
from exai.transports.tasks.extension import TaskExtension
from exai_emulator import Emulator
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.mcp_websocket import mcp_socket
from support.open_doors import Doors, open_doors
from support.task_client import ENVELOPE, TASKS, TaskClient, over_websocket
from support.waiting import wait_until

ABOVE = {"EXAI_WORKFLOWS__CONFIRM_ABOVE_USD": "0.0001"}
PROBLEM = {"problem": "Shall we shard?", "model": "glm-5.3"}
MODES = {"2025-11-25": "legacy", "2026-07-28": "auto"}
WITHIN_S = 30.0
PROGRESS = "notifications/progress"
COSTLY = Confirmation(0.2, 0.1, 0.3)
ASKING: dict[str, Any] = {
    **ENVELOPE,
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}, "elicitation": {}},
}


class User:
    """Answers forms, and keeps them."""

    def __init__(self, answer: types.ElicitResult | types.ErrorData) -> None:
        self.answer = answer
        self.asked: list[types.ElicitRequestParams] = []

    async def __call__(
        self,
        context: ClientRequestContext,  # noqa: ARG002 - the SDK passes it by name
        params: types.ElicitRequestParams,
    ) -> types.ElicitResult | types.ErrorData:
        self.asked.append(params)
        return self.answer


YES = types.ElicitResult(action="accept", content={"allow": True})
REFUSALS = [
    types.ElicitResult(action="decline"),
    types.ElicitResult(action="cancel"),
    types.ElicitResult(action="accept", content={"allow": False}),
    types.ElicitResult(action="accept", content={}),
]


@asynccontextmanager
async def websocket_transport(address: str) -> AsyncIterator[Any]:
    """What the SDK's client reads and writes, over a WebSocket."""
    to_client, from_server = anyio.create_memory_object_stream[SessionMessage | Exception](100)
    to_server, from_client = anyio.create_memory_object_stream[SessionMessage](100)
    async with (
        to_client,
        from_server,
        to_server,
        from_client,
        connect(address, subprotocols=[Subprotocol("mcp")]) as socket,
        anyio.create_task_group() as group,
    ):

        async def read() -> None:
            async for text in socket:
                message = types.jsonrpc_message_adapter.validate_json(text)
                await to_client.send(SessionMessage(message))

        async def write() -> None:
            async for sent in from_client:
                await socket.send(sent.message.model_dump_json(by_alias=True, exclude_unset=True))

        group.start_soon(read)
        group.start_soon(write)
        yield from_server, to_server
        group.cancel_scope.cancel()


@asynccontextmanager
async def connected(
    daemon: DaemonInProcess, door: str, revision: str, user: User | None
) -> AsyncIterator[Client]:
    transport = (
        streamable_http_client(daemon.mcp_http) if door == "http" else websocket_transport(daemon.mcp_ws)
    )
    async with Client(transport, mode=MODES[revision], elicitation_callback=user) as client:
        assert client.protocol_version == revision
        yield client


@pytest.mark.parametrize("revision", MODES)
@pytest.mark.parametrize("door", ["websocket", "http"])
async def test_the_user_decides_whether_a_costly_call_is_made(
    start_in_process: StartInProcess, emulator: Emulator, door: str, revision: str
) -> None:
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(progress)

    async with start_in_process(**ABOVE) as daemon:
        user = User(YES)
        async with connected(daemon, door, revision, user) as client:
            for refusal in REFUSALS:
                user.answer = refusal
                refused = await client.call_tool("think", PROBLEM)
                assert not refused.is_error
                answer = (refused.structured_content or {})["answer"]
                assert answer.startswith("Nothing was asked, and nothing spent"), refusal
                assert "next_call" not in (refused.structured_content or {})
            assert not emulator.log.requests
            user.answer = YES
            for name, arguments in (
                ("think", PROBLEM),
                ("thinkdeep", {"step": "Why?", "step_number": 1, "next_step_required": False}),
            ):
                done = await client.call_tool(name, arguments, progress_callback=hear)
                assert "model_used" in (done.structured_content or {}), done
                assert heard == sorted(set(heard))
                heard.clear()
            assert len(emulator.log.requests) >= 4
            assert len(user.asked) == len(REFUSALS) + 2
            form = user.asked[-1]
            assert isinstance(form, types.ElicitRequestFormParams)
            assert "which is above the $0.0001 that may be spent unasked" in form.message
            user.answer = types.ErrorData(code=-1, message="No screen.")
            if revision == "2026-07-28":
                with pytest.raises(MCPError, match=r"No screen\."):
                    await client.call_tool("think", {"problem": "Why shards?"})
            else:
                unasked = await client.call_tool("think", {"problem": "Why shards?"})
                assert "next_call" in (unasked.structured_content or {})
        async with connected(daemon, door, revision, None) as client:
            told = (await client.call_tool("think", {"problem": "Why shards?"})).structured_content or {}
            assert told["estimated_usd"] > 0.0001
            assert told["next_call"]["budget_usd"] == pytest.approx(told["estimated_usd"] * 1.5, abs=1e-4)


def costly(doors: Doors) -> list[dict[str, Any]]:
    """Make the doors' tool `costly` need a budget; the arguments of its calls."""
    calls: list[dict[str, Any]] = []

    async def run(arguments: dict[str, Any], send_progress: SendProgress | None) -> ToolAnswer:
        calls.append(arguments)
        await doors.engine.released.wait()
        if send_progress is not None:
            await send_progress(1.0, "It is estimated", {})
        if "budget_usd" in arguments:
            return ToolAnswer("done", {"answer": "done"})
        return to_be_confirmed(ToolAnswer("estimate", {"answer": "estimate"}), COSTLY, WITHIN_S)

    doors.engine.further["costly"] = run
    return calls


@pytest.mark.virtual_time
async def test_no_answer_within_the_tools_deadline_is_no_and_signs_of_life_come_meanwhile() -> None:
    async with open_doors() as doors, mcp_socket(doors.ws, handshake=False) as client:
        costly(doors)
        doors.engine.released.set()
        await client.request(
            "initialize",
            {
                "protocolVersion": "2025-11-25",
                "capabilities": {"elicitation": {"form": {}}},
                "clientInfo": {"name": "t", "version": "1"},
            },
        )
        await client.notify("notifications/initialized")
        heard: list[dict[str, Any]] = []
        result = await client.tool("costly", {}, heard.append)
        assert result["content"][0]["text"].startswith("Nothing was asked, and nothing spent")
        numbers = [each["progress"] for each in heard]
        assert numbers == sorted(set(numbers))
        assert len(numbers) > WITHIN_S / 5
        methods = [each["method"] for each in client.notifications if each["method"] != PROGRESS]
        assert methods == ["elicitation/create", "notifications/cancelled"]


async def test_a_client_that_has_pages_for_its_user_and_no_forms_is_not_asked() -> None:
    async with open_doors() as doors, mcp_socket(doors.ws, handshake=False) as client:
        costly(doors)
        doors.engine.released.set()
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"elicitation": {"url": {}}},
            "clientInfo": {"name": "t", "version": "1"},
        }
        await client.request("initialize", hello)
        assert (await client.tool("costly"))["content"][0]["text"] == "estimate"
        assert not client.notifications


@asynccontextmanager
async def tasks(database: Database, after_s: float) -> AsyncIterator[tuple[Doors, TaskClient]]:
    settings = Settings.model_validate({"workflows": {"task_after_s": after_s}})
    clock = ManualClock()
    extension = TaskExtension(TaskTable(database, clock), settings, clock, EventBus())
    async with open_doors(extend=[extension.add_to]) as doors, over_websocket(doors.ws) as client:
        yield doors, client


@pytest.mark.sqlite
async def test_a_call_that_is_no_task_yet_asks_by_its_result_and_is_made_again_under_another_key(
    database: Database,
) -> None:
    async with tasks(database, 30) as (doors, client):
        calls = costly(doors)
        doors.engine.released.set()
        meta = {**ASKING, "exai/idempotency-key": "mine"}
        asked = await client.call("costly", {"a": 1}, **meta)
        assert asked["resultType"] == "input_required"
        again = {
            "name": "costly",
            "arguments": {"a": 1},
            "requestState": asked["requestState"],
            "inputResponses": {"allow_budget": {"action": "accept", "content": {"allow": True}}},
        }
        done = await client.result("tools/call", **again, _meta=meta)
        assert done["structuredContent"] == {"answer": "done"}
        assert calls == [{"a": 1}, {"a": 1, "budget_usd": 0.3}]
        first, second = doors.engine.keys
        assert first == "mine"
        assert str(second).endswith("-allowed")
        for state in ("", "{}", json.dumps({**json.loads(asked["requestState"]), "budget_usd": -1})):
            error = (await client.request("tools/call", **{**again, "requestState": state}, _meta=meta))[
                "error"
            ]
            assert error["code"] == -32602
            assert "Make the call without it" in error["message"]
        assert len(calls) == 2


async def test_a_yes_that_is_brought_again_is_spent_once(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    meta = {**ASKING, "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    call: dict[str, Any] = {"name": "think", "arguments": PROBLEM, "_meta": meta}
    async with start_in_process(**ABOVE) as daemon, over_websocket(daemon.mcp_ws) as client:
        asked = await client.result("tools/call", **call)
        said = {
            "requestState": asked["requestState"],
            "inputResponses": {"allow_budget": {"action": "accept", "content": {"allow": True}}},
        }
        done = await client.result("tools/call", **call, **said)
        spent = len(emulator.log.requests)
        again = await client.result("tools/call", **call, **said)
        assert again["structuredContent"] == done["structuredContent"]
        other = {**call, "arguments": {**PROBLEM, "problem": "Shall we rewrite it all?"}}
        refused = await client.result("tools/call", **other, **said)
        assert refused["_meta"]["exai/error"]["code"] == "idempotency_key_reused"
        assert len(emulator.log.requests) == spent > 0
        anew = await client.result("tools/call", **call)
        assert anew["requestState"] != asked["requestState"]


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ({"action": "accept", "content": {"allow": True}}, "done"),
        ({"action": "decline"}, "Nothing was asked, and nothing spent"),
        ({"odd": 1}, "Nothing was asked, and nothing spent"),
    ],
)
async def test_a_task_asks_by_its_status(database: Database, response: dict[str, Any], answer: str) -> None:
    async with tasks(database, 0.01) as (doors, client):
        costly(doors)
        task_id = (await client.call("costly", {}, **ASKING))["taskId"]
        doors.engine.released.set()

        async def asking() -> dict[str, Any] | None:
            task = await client.get(task_id)
            return task if task["status"] == "input_required" else None

        task = await wait_until(asking, what="the task asks its user")
        ((key, request),) = task["inputRequests"].items()
        assert request["method"] == "elicitation/create"
        await client.result("tasks/update", taskId=task_id, inputResponses={key: response})
        ended = await client.ended(task_id)
        assert ended["status"] == "completed"
        assert ended["result"]["content"][0]["text"].startswith(answer)
