"""Plain calls over HTTP: what their answers look like on the wire, and how they end otherwise than by one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from starlette.types import Send

from exai.consulting.results import Confirmation
from exai.dispatch.progress import SendProgress
from exai.tools.base import ToolAnswer
from exai.tools.envelope import to_be_confirmed
from exai.transports.http import plain_requests
from exai.transports.http import sessions as http_sessions
from exai.transports.http.plain_answer import PlainAnswer
from support.open_doors import Doors, open_doors
from support.virtual_time import now
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


class PlainClient:
    """A client of one session."""

    def __init__(self, http: aiohttp.ClientSession, doors: Doors) -> None:
        self._http = http
        self._doors = doors
        self.headers = {"Accept": "application/json, text/event-stream"}

    async def begin(self, **said: Any) -> None:
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO | said}
        async with self.post(message) as response:
            await response.read()
            self.headers["Mcp-Session-Id"] = response.headers["Mcp-Session-Id"]

    def post(self, message: dict[str, Any], **headers: str) -> Any:
        return self._http.post(self._doors.http, json=message, headers=self.headers | headers)

    def call(self, tool: str, *, number: int | str = 1, token: str | None = None, **headers: str) -> Any:
        meta = {} if token is None else {"_meta": {"progressToken": token}}
        params = {"name": tool, "arguments": {"to": 2}, **meta}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        return self.post(message, **headers)

    def end(self) -> Any:
        return self._http.delete(self._doors.http, headers=self.headers)

    async def lives(self) -> bool:
        async with self.post({"jsonrpc": "2.0", "id": "p", "method": "ping"}) as response:
            await response.read()
            return bool(response.status == 200)


@asynccontextmanager
async def plain_client(**settings: Any) -> AsyncIterator[tuple[PlainClient, Doors]]:
    async with open_doors(**settings) as doors, aiohttp.ClientSession() as http:
        client = PlainClient(http, doors)
        await client.begin()
        yield client, doors


def messages(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]


async def test_a_call_without_progress_is_answered_as_json() -> None:
    async with plain_client() as (client, _), client.call("echo") as response:
        answer = await response.json()
        assert response.content_type == "application/json"
        assert response.headers["Mcp-Session-Id"] == client.headers["Mcp-Session-Id"]
        assert (answer["id"], answer["result"]["isError"]) == (1, False)
        assert "resultType" not in answer["result"]


async def test_the_switch_sends_every_call_through_the_sdk() -> None:
    async with plain_client(server={"plain_calls": False}) as (client, _), client.call("echo") as response:
        assert response.content_type == "text/event-stream"
        (answer,) = messages(await response.text())
        assert (answer["id"], answer["result"]["isError"]) == (1, False)


async def test_progress_comes_as_events_before_the_answer() -> None:
    async with plain_client() as (client, _), client.call("count", token="t") as response:
        assert response.content_type == "text/event-stream"
        *progress, answer = messages(await response.text())
        assert {each["method"] for each in progress} == {"notifications/progress"}
        assert {each["params"]["progressToken"] for each in progress} == {"t"}
        assert "result" in answer


async def test_a_long_call_is_seen_to_be_under_way() -> None:
    async with plain_client() as (client, doors), client.call("wait") as response:
        assert now() == pytest.approx(0.5, abs=0.4)
        assert response.content_type == "text/event-stream"
        for _ in range(3):
            line = await response.content.readline()
            assert line.startswith(b":")
            assert await response.content.readline() == b"\r\n"
        assert now() == pytest.approx(45.5, abs=0.4)
        doors.engine.released.set()
        (answer,) = messages(await response.text())
        assert answer["result"]["content"][0]["text"] == "released"


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "application/json"},
        {"Accept": "text/event-stream"},
        {"Accept": "application/jsonx, text/event-stream"},
        {"Accept": "application/json, text/event-streams"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": "application/json-patch+json"},
        {"Content-Type": "Application/JSON"},
        {"MCP-Protocol-Version": "2024-11-05"},
        {"MCP-Protocol-Version": "2099-01-01"},
        {"Mcp-Session-Id": "0" * 32},
    ],
)
async def test_what_is_asked_for_otherwise_is_answered_as_the_sdk_does(headers: dict[str, str]) -> None:
    seen = []
    for plain_calls in (True, False):
        async with (
            plain_client(server={"plain_calls": plain_calls}) as (client, _),
            client.call("echo", **headers) as response,
        ):
            session = response.headers.get("Mcp-Session-Id") == client.headers["Mcp-Session-Id"]
            seen.append((response.status, response.content_type, session, await response.text()))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("has_begun", [False, True])
@pytest.mark.parametrize("plain_calls", [True, False])
async def test_a_call_that_is_cancelled_gets_the_error_of_that(plain_calls: bool, has_begun: bool) -> None:
    async with plain_client(server={"plain_calls": plain_calls}) as (client, doors):
        call = asyncio.ensure_future(client.call("wait", number="a"))
        await doors.engine.started.wait()
        if has_begun:
            await asyncio.sleep(1)
        notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "a"}}
        async with client.post(notice) as response:
            assert response.status == 202
        await doors.engine.cancelled.wait()
        async with await call as response:
            text = await response.text()
            answer = json.loads(text) if response.content_type == "application/json" else messages(text)[0]
        assert answer["id"] == "a"
        assert answer["error"] == {"code": -32800, "message": "Request cancelled"}


@pytest.mark.parametrize("has_begun", [False, True])
async def test_the_end_of_a_session_ends_its_calls(has_begun: bool) -> None:
    async with plain_client() as (client, doors):
        call = asyncio.ensure_future(client.call("wait"))
        await doors.engine.started.wait()
        if has_begun:
            await asyncio.sleep(1)
        async with client.end() as response:
            assert response.status == 200
        await doors.engine.cancelled.wait()
        async with await call as response:
            text = await response.text()
            assert (response.status, messages(text)) == (200 if has_begun else 404, [])
        async with client.call("echo") as response:
            assert response.status == 404


@pytest.mark.parametrize("thief", ["bob", "alice", "nobody"])
async def test_only_the_session_that_is_asked_may_answer(thief: str) -> None:
    """Another's session, another of one's own, and none at all; each with the id that was asked."""
    asking: dict[str, Any] = {"capabilities": {"elicitation": {}}}
    async with open_doors() as doors, aiohttp.ClientSession() as http:
        doors.engine.further["costly"] = _costly
        tokens = {subject: doors.authenticator.issue(subject, subject) for subject in ("alice", "bob")}
        asked, other = PlainClient(http, doors), PlainClient(http, doors)
        asked.headers |= tokens["alice"]
        other.headers |= tokens["bob" if thief == "bob" else "alice"]
        await asked.begin(**asking)
        await other.begin(**asking)
        if thief == "nobody":
            del other.headers["Mcp-Session-Id"]
        async with asked.call("costly") as response:
            (form,) = messages(await _first_event(response))
            assert form["method"] == "elicitation/create"
            result = {"action": "accept", "content": {"allow": True}}
            forged = {"jsonrpc": "2.0", "id": form["id"], "result": result}
            async with other.post(forged) as stolen:
                await stolen.read()
            await asyncio.sleep(1)
            own = {"jsonrpc": "2.0", "id": form["id"], "result": {"action": "decline"}}
            async with asked.post(own) as accepted:
                assert accepted.status == 202
            answer = messages(await response.text())[-1]
        assert "the user did not allow it" in answer["result"]["content"][0]["text"]


async def _costly(arguments: dict[str, Any], _: SendProgress | None) -> ToolAnswer:
    if "budget_usd" in arguments:
        return ToolAnswer("paid", {})
    return to_be_confirmed(ToolAnswer("an estimate", {}), Confirmation(0.2, 0.1, 0.3), within_s=60)


async def _first_event(response: aiohttp.ClientResponse) -> str:
    async for line in response.content:
        if line.startswith(b"data:"):
            return line.decode()
    raise AssertionError("The stream ended before its first event.")


@pytest.mark.parametrize(("tool", "token"), [("echo", None), ("count", "p")], ids=["as JSON", "as events"])
async def test_an_answer_that_leaves_is_whole_although_its_session_ends_meanwhile(
    tool: str, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving, reads_on = asyncio.Event(), asyncio.Event()

    class ReadSlowly(PlainAnswer):
        def __init__(self, send: Send, *others: Any) -> None:
            async def to_a_slow_reader(message: Any) -> None:
                if message["type"] == "http.response.body" and not message.get("more_body"):
                    leaving.set()
                    await reads_on.wait()
                await send(message)

            super().__init__(to_a_slow_reader, *others)

    monkeypatch.setattr(plain_requests, "PlainAnswer", ReadSlowly)
    async with plain_client() as (client, _):
        call = asyncio.ensure_future(client.call(tool, token=token))
        await leaving.wait()
        async with client.end() as response:
            assert response.status == 200
        reads_on.set()
        async with await call as response:
            text = await response.text()
            answer = json.loads(text) if token is None else messages(text)[-1]
            assert answer["result"]["isError"] is False


async def test_a_session_with_plain_calls_alone_is_not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_sessions, "SWEEP_S", 1)
    monkeypatch.setattr(http_sessions, "IDLE_S", 60)
    async with plain_client() as (client, doors):
        for _ in range(5):
            await asyncio.sleep(40)
            async with client.call("echo") as response:
                assert response.status == 200
                await response.read()
        call = asyncio.ensure_future(client.call("wait"))
        await doors.engine.started.wait()
        await asyncio.sleep(200)
        doors.engine.released.set()
        async with await call as response:
            assert "released" in await response.text()
        await asyncio.sleep(100)
        assert not await client.lives()


async def test_nothing_of_a_session_is_left_behind_its_calls() -> None:
    async with plain_client() as (client, doors):
        for number in range(20):
            async with client.call("echo", number=number) as response:
                await response.read()
        await wait_until(lambda: not _left(), what="what watched them has gone")
        async with client.end() as response:
            assert response.status == 200
        assert doors.engine.running == 0


def _left() -> list[str]:
    return [name for task in asyncio.all_tasks() if (name := task.get_name()) in {"mcp client", "mcp stream"}]
