"""MCP over Streamable HTTP: both revisions, and what is refused before the SDK sees it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from support.open_doors import Doors, open_doors

BOTH = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "2"},
}


async def answers(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, Any]]:
    """The messages of a response, whichever form it has."""
    if response.content_type == "application/json":
        yield await response.json()
        return
    async for line in response.content:
        if line.startswith(b"data:") and line[5:].strip():
            yield json.loads(line[5:])


class Client:
    """One HTTP client in one of the two revisions."""

    def __init__(self, http: aiohttp.ClientSession, address: str, modern: bool) -> None:
        self.http = http
        self.address = address
        self.modern = modern
        self.headers = dict(BOTH)
        self.number = 0

    def post(self, message: Any, **headers: str) -> Any:
        return self.http.post(self.address, data=json.dumps(message), headers={**self.headers, **headers})

    async def start(self) -> None:
        if self.modern:
            return
        hello = {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "old", "version": "1"},
        }
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        async with self.post(message) as response:
            assert response.status == 200
            self.headers |= {
                "Mcp-Session-Id": response.headers["Mcp-Session-Id"],
                "MCP-Protocol-Version": "2025-11-25",
            }
            assert [answer async for answer in answers(response)][-1]["result"]["serverInfo"][
                "name"
            ] == "exai"
        async with self.post({"jsonrpc": "2.0", "method": "notifications/initialized"}) as response:
            assert response.status == 202

    def tool(self, name: str, arguments: dict[str, Any], **meta: Any) -> Any:
        if self.modern:
            meta = {**ENVELOPE, **meta}
        params = {"name": name, "arguments": arguments, "_meta": meta}
        routing = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": name}
        self.number += 1
        message = {"jsonrpc": "2.0", "id": self.number, "method": "tools/call", "params": params}
        return self.post(message, **(routing if self.modern else {}))

    async def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        async with self.tool(name, arguments) as response:
            return [answer async for answer in answers(response)][-1]


@asynccontextmanager
async def client(address: str, modern: bool) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        one = Client(http, address, modern)
        await one.start()
        yield one


@pytest.mark.parametrize("modern", [False, True])
async def test_a_call_with_progress_and_its_answer(doors: Doors, modern: bool) -> None:
    async with client(doors.http, modern) as one, one.tool("count", {"to": 2}, progressToken="t") as response:
        messages = [message async for message in answers(response)]
    assert [message["params"]["message"] for message in messages[:-1]] == ["step 1", "step 2"]
    assert messages[0]["params"]["_meta"] == {"exai/kind": "text", "exai/delta": "1 "}
    assert messages[-1]["result"]["structuredContent"] == {"to": 2}
    assert doors.engine.callers[0].door == "http"
    assert doors.engine.callers[0].client == ("modern 2" if modern else "old 1")


@pytest.mark.parametrize("modern", [False, True])
async def test_an_idempotency_key_reaches_the_engine(doors: Doors, modern: bool) -> None:
    async with (
        client(doors.http, modern) as one,
        one.tool("echo", {}, **{"exai/idempotency-key": "a key"}) as response,
    ):
        assert "result" in [answer async for answer in answers(response)][-1]
    assert doors.engine.keys == ["a key"]


@pytest.mark.parametrize("modern", [False, True])
async def test_a_waiting_call_delays_nobody(doors: Doors, modern: bool) -> None:
    async with client(doors.http, modern) as one, client(doors.http, not modern) as other:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(one.call("wait", {}))
            await doors.engine.started.wait()
            assert "result" in await one.call("echo", {})
            assert "result" in await other.call("echo", {})
            assert not waiting.done()
            doors.engine.released.set()
        assert waiting.result()["result"]["content"][0]["text"] == "released"


@pytest.mark.parametrize("modern", [False, True])
async def test_errors_say_what_and_leak_nothing(doors: Doors, modern: bool) -> None:
    async with client(doors.http, modern) as one:
        crashed = (await one.call("crash", {}))["error"]
        assert crashed["code"] == -32603
        assert "inc_" in crashed["message"]
        assert "canary" not in json.dumps(crashed)
        unknown = (await one.call("nope", {}))["error"]
        assert unknown["code"] == -32602
        assert "nope" in unknown["message"]


async def test_an_id_that_is_still_running_is_refused(doors: Doors) -> None:
    async with client(doors.http, modern=False) as one, asyncio.TaskGroup() as group:
        waiting = group.create_task(one.call("wait", {}))
        await doors.engine.started.wait()
        one.number = 0
        assert (await one.call("echo", {}))["error"]["code"] == -32600
        as_text = {"jsonrpc": "2.0", "id": "1", "method": "tools/call", "params": {"name": "echo"}}
        async with one.post(as_text) as response:
            assert (await response.json())["error"]["code"] == -32600
        doors.engine.released.set()
        assert "result" in await waiting
        one.number = 0
        assert "result" in await one.call("echo", {})


@pytest.mark.parametrize("as_text", [False, True])
async def test_an_id_is_free_again_once_its_answer_is_read(doors: Doors, as_text: bool) -> None:
    """Some clients give every request the same id, and go on without waiting for the end of the stream."""
    async with client(doors.http, modern=False) as one:
        ping = {"jsonrpc": "2.0", "id": "1" if as_text else 1, "method": "ping"}
        for _ in range(100):
            async with one.post(ping) as response:
                answer = await anext(answers(response))
                async with one.post({**ping, "method": "tools/call", "params": {"name": "echo"}}) as next_one:
                    second = [message async for message in answers(next_one)]
            assert answer == {"jsonrpc": "2.0", "id": ping["id"], "result": {}}
            assert [message["id"] for message in second] == [ping["id"]]
            assert second[0]["result"]["structuredContent"] == {"arguments": {}}


async def test_a_session_makes_room_once_its_end_is_answered() -> None:
    async with open_doors(sessions={"max_sessions": 1}) as doors:
        for _ in range(30):
            async with client(doors.http, modern=False) as one:
                assert "result" in await one.call("echo", {})
                async with one.http.delete(doors.http, headers=one.headers) as response:
                    assert response.status == 200


async def test_a_modern_client_that_leaves_cancels_its_call(doors: Doors) -> None:
    async with client(doors.http, modern=True) as one:
        call = asyncio.create_task(one.call("wait", {}), name="wait")
        await doors.engine.started.wait()
        call.cancel()
    async with asyncio.timeout(30):
        await doors.engine.cancelled.wait()


async def test_a_handshake_client_cancels_by_notification(doors: Doors) -> None:
    async with client(doors.http, modern=False) as one:
        call = asyncio.create_task(one.call("wait", {}), name="wait")
        await doors.engine.started.wait()
        params = {"requestId": 1, "reason": "test"}
        message = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}
        async with one.post(message) as response:
            assert response.status == 202
        async with asyncio.timeout(30):
            await doors.engine.cancelled.wait()
            assert (await call)["id"] == 1


BAD_BODIES: list[tuple[bytes, int, str, int | None]] = [
    (b"", -32700, "JSON", None),
    (b"{", -32700, "JSON", None),
    (b'"\xff"', -32700, "JSON", None),
    (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\xff"}}', -32700, "UTF-8", 1),
    (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, "Batches", None),
    (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, "id", None),
    (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, "method", 1),
    (b"[" * 100_000, -32600, "64", None),
    (b"[" * 100_001, -32600, "100000", None),
]


@pytest.mark.parametrize("era", [{}, {"MCP-Protocol-Version": "2026-07-28"}])
async def test_bad_bodies_are_answered(doors: Doors, era: dict[str, str], subtests: pytest.Subtests) -> None:
    async with aiohttp.ClientSession() as http:
        for body, code, word, request_id in BAD_BODIES:
            with subtests.test(body=body[:80]):
                async with http.post(doors.http, data=body, headers={**BOTH, **era}) as response:
                    assert response.status == 400
                    answer = await response.json()
                assert answer["error"]["code"] == code
                assert word in answer["error"]["message"]
                assert answer.get("id") == request_id
                assert ("id" in answer) == (request_id is not None)


@pytest.mark.parametrize("modern", [False, True])
async def test_half_a_surrogate_pair_is_taken_as_the_replacement_character(
    doors: Doors, modern: bool
) -> None:
    async with client(doors.http, modern) as one:
        answer = await one.call("echo", {"text": "cut \ud83d here"})
        assert "cut \ufffd here" in json.dumps(answer, ensure_ascii=False)


@pytest.mark.parametrize("modern", [False, True])
async def test_an_answer_with_half_a_surrogate_pair_arrives(doors: Doors, modern: bool) -> None:
    async with client(doors.http, modern) as one, one.tool("broken_text", {}, progressToken="t") as response:
        progress, answer = [message async for message in answers(response)]
    assert progress["params"]["message"] == "\ufffd"
    assert answer["result"]["content"][0]["text"] == "\ufffd"
    assert answer["result"]["structuredContent"] == {"\ufffd": ["\ufffd"]}


async def test_a_refusal_of_the_sdk_carries_the_id_of_its_request(doors: Doors) -> None:
    ping = {"jsonrpc": "2.0", "id": 7, "method": "ping"}
    async with aiohttp.ClientSession() as http:
        for headers, status in (
            ({**BOTH, "Mcp-Session-Id": "unknown"}, 404),
            ({**BOTH, "Accept": "text/plain"}, 406),
            ({**BOTH, "MCP-Protocol-Version": "1999-01-01"}, 400),
        ):
            async with http.post(doors.http, json=ping, headers=headers) as response:
                assert response.status == status
                assert (await response.json())["id"] == 7
        gone = {**BOTH, "Mcp-Session-Id": "unknown"}
        async with http.get(doors.http, headers=gone) as response:
            assert response.status == 404
            assert "id" not in await response.json()


async def test_a_body_over_the_limit_is_413_however_it_is_sent() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 5_000

    async with open_doors(server={"max_body_bytes": 10_000}) as doors, aiohttp.ClientSession() as http:
        for body in (b" " * 10_001, pieces()):
            async with http.post(doors.http, data=body, headers=BOTH) as response:
                assert response.status == 413
                assert "10000 bytes" in (await response.json())["error"]["message"]


async def test_foreign_names_and_pages_are_refused(doors: Doors, subtests: pytest.Subtests) -> None:
    async with aiohttp.ClientSession() as http:
        for method in ("GET", "POST"):
            for headers, status, word in (
                ({"Host": "evil.example"}, 421, "server.allowed_hosts"),
                ({"Origin": "https://evil.example"}, 403, "server.allowed_origins"),
                ({"Origin": "null"}, 403, "server.allowed_origins"),
            ):
                with subtests.test(method=method, headers=headers):
                    async with http.request(method, doors.http, headers={**BOTH, **headers}) as response:
                        assert response.status == status
                        assert word in await response.text()


async def test_a_browser_at_the_root_gets_directions(doors: Doors) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(doors.http.removesuffix("mcp")) as response:
            assert response.status == 200
            assert "/mcp" in await response.text()
        async with http.get(doors.http.removesuffix("mcp") + "nowhere") as response:
            assert response.status == 404
            assert "/mcp" in await response.text()
        async with http.get(doors.addresses.operations) as response:
            assert await response.text() == "operations"


@pytest.mark.parametrize("modern", [False, True])
async def test_a_stop_lets_running_calls_finish_and_refuses_new_ones(doors: Doors, modern: bool) -> None:
    async with client(doors.http, modern) as one, asyncio.TaskGroup() as group:
        waiting = group.create_task(one.call("wait", {}))
        await doors.engine.started.wait()
        doors.signal()
        await doors.stopping.wait()
        refused = (await one.call("echo", {}))["result"]
        assert refused["_meta"]["exai/error"]["code"] == "stopping"
        doors.engine.released.set()
        assert (await waiting)["result"]["content"][0]["text"] == "released"
        await doors.serving


@pytest.mark.virtual_time
@pytest.mark.parametrize("modern", [False, True])
async def test_calls_that_outlive_the_drain_get_a_definite_answer(modern: bool) -> None:
    async with (
        open_doors(server={"drain_s": 20}) as doors,
        client(doors.http, modern) as one,
        asyncio.TaskGroup() as group,
    ):
        waiting = group.create_task(one.call("wait", {}))
        await doors.engine.started.wait()
        doors.signal()
        assert (await waiting)["result"]["_meta"]["exai/error"]["code"] == "stopping"
        await doors.serving
