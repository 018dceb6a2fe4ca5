"""What is open when its caller's token expires or is revoked: sockets, sessions, streams, running calls."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from exai import config
from exai.auth.authenticator import Authenticator
from exai.auth.scopes import MODELS, STATUS
from exai.events.events import ConnectionClosed as Closed
from exai.events.events import SessionEnded
from exai.runtime.periodic import Duty, Scheduler
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from support.mcp_websocket import mcp_socket
from support.open_doors import Doors, open_doors
from support.session_socket import ENVELOPE, session_socket
from support.virtual_time import LoopClock, now
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

OVER = 4401
BOTH = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
LISTEN = {"notifications": {"toolsListChanged": True}, "_meta": ENVELOPE}


async def closed_with(connection: Any) -> tuple[int, str]:
    """The code and the reason with which the daemon closes."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            await connection.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def modern(method: str, params: dict[str, Any], name: str = "") -> tuple[dict[str, Any], dict[str, str]]:
    headers = {**BOTH, "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": method}
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {**params, "_meta": ENVELOPE}}
    return message, headers | ({"Mcp-Name": name} if name else {})


@asynccontextmanager
async def http_session(
    http: aiohttp.ClientSession, doors: Doors, headers: dict[str, str]
) -> AsyncIterator[dict[str, str]]:
    """The headers of a handshake-era session that has begun."""
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO}
    async with http.post(doors.http, json=hello, headers=BOTH | headers) as response:
        assert response.status == 200
        session = {"Mcp-Session-Id": response.headers["Mcp-Session-Id"]}
        await response.read()
    yield BOTH | session | {"MCP-Protocol-Version": "2025-11-25"}


def old_call(tool: str, number: int = 7) -> dict[str, Any]:
    params = {"name": tool, "arguments": {}}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


async def until_unknown(http: aiohttp.ClientSession, doors: Doors, headers: dict[str, str]) -> None:
    """Ask in a session until it has ended, which it soon has."""

    async def is_unknown() -> bool:
        async with http.post(doors.http, json=old_call("echo"), headers=headers) as response:
            await response.read()
            return response.status == 404

    await wait_until(is_unknown, what="the session has ended")


@pytest.mark.parametrize("ending", ["expired", "revoked"])
async def test_a_plain_socket_ends_with_its_token_and_another_goes_on(doors: Doors, ending: Any) -> None:
    mine, other = (doors.authenticator.issue(token, "alice") for token in ("mine", "other"))
    async with (
        mcp_socket(doors.ws, headers=other) as bystander,
        connect(doors.ws, subprotocols=[Subprotocol("mcp")], additional_headers=mine) as socket,
    ):
        message, _ = modern("tools/call", {"name": "wait"})
        await socket.send(json.dumps(message))
        await doors.engine.started.wait()
        doors.authenticator.end("mine", ending)
        assert await closed_with(socket) == (OVER, ending)
        await doors.engine.cancelled.wait()
        await bystander.tool("echo")
    closed = [event for event in doors.events if isinstance(event, Closed)]
    assert ("alice", ending) in [(event.caller.subject, event.reason) for event in closed]


async def test_a_peer_that_does_not_read_is_cut_off_as_quickly(doors: Doors) -> None:
    mine = doors.authenticator.issue("mine", "alice")
    async with connect(
        doors.ws, subprotocols=[Subprotocol("mcp")], additional_headers=mine, max_queue=1
    ) as socket:
        socket.transport.pause_reading()
        message, _ = modern("tools/call", {"name": "big", "arguments": {"characters": 30_000_000}})
        await socket.send(json.dumps(message))
        await wait_until(lambda: doors.engine.callers, what="the call runs")
        await wait_until(lambda: not doors.engine.running, what="the call ends")
        message, _ = modern("tools/call", {"name": "wait"})
        await socket.send(json.dumps({**message, "id": 8}))
        await doors.engine.started.wait()
        doors.authenticator.end("mine", "revoked")
        await doors.engine.cancelled.wait()
        socket.transport.abort()


async def test_a_session_outlives_an_expired_token_and_goes_on_with_a_fresh_one(doors: Doors) -> None:
    old = doors.authenticator.issue("old", "alice")
    async with session_socket(doors.ws, old) as first:
        opened = await first.open()
        await first.call(1, "wait")
        await doors.engine.started.wait()
        doors.authenticator.end("old", "expired")
        assert await closed_with(first.connection) == (OVER, "expired")
    assert not doors.engine.cancelled.is_set()
    thief = doors.authenticator.issue("thief", "mallory")
    async with session_socket(doors.ws, thief) as other:
        assert (await other.resume(opened, last=0))["code"] == "unknown_session"
    fresh = doors.authenticator.issue("fresh", "alice", STATUS)
    async with session_socket(doors.ws, fresh) as second:
        assert (await second.resume(opened, last=0))["t"] == "resumed"
        doors.engine.released.set()
        assert (await second.message())[1]["result"]["content"][0]["text"] == "released"
        await second.call(2, "echo")
        refused = (await second.message())[1]["error"]
        assert refused["data"] == {"code": "insufficient_scope", "retryable": False, "scope": MODELS}
        doors.authenticator.end("fresh", "revoked")
        assert await closed_with(second.connection) == (OVER, "revoked")
    await wait_until(lambda: doors.sessions.statistics().sessions == 0, what="the session ends")


async def test_revoking_ends_a_session_with_its_calls(doors: Doors) -> None:
    mine = doors.authenticator.issue("mine", "alice")
    async with session_socket(doors.ws, mine) as socket:
        opened = await socket.open()
        await socket.call(1, "wait")
        await doors.engine.started.wait()
        doors.authenticator.end("mine", "revoked")
        assert await closed_with(socket.connection) == (OVER, "revoked")
        await doors.engine.cancelled.wait()
    (ended,) = [event for event in doors.events if isinstance(event, SessionEnded)]
    assert (ended.caller.subject, ended.reason) == ("alice", "revoked")
    fresh = doors.authenticator.issue("fresh", "alice")
    async with session_socket(doors.ws, fresh) as second:
        assert (await second.resume(opened, last=0))["code"] == "unknown_session"


async def test_revoking_reaches_a_session_without_a_socket_even_after_its_token_expired(doors: Doors) -> None:
    mine = doors.authenticator.issue("mine", "alice")
    async with session_socket(doors.ws, mine) as socket:
        await socket.open()
        await socket.call(1, "wait")
        await doors.engine.started.wait()
        doors.authenticator.end("mine", "expired")
        assert await closed_with(socket.connection) == (OVER, "expired")
    doors.authenticator.end("mine", "revoked")
    await doors.engine.cancelled.wait()
    assert doors.sessions.statistics().sessions == 0


async def test_the_day_from_which_tokens_are_required_closes_what_came_in_without(tmp_path: Path) -> None:
    database = await Database.open(config.Database(), tmp_path)
    clock = LoopClock(wall=datetime(2030, 1, 1, 23, 59, 0, tzinfo=UTC).timestamp())
    settings = {"mode": "optional-until 2030-01-02"}
    judge = await Authenticator.open(config.Auth.model_validate(settings), IdentityTables(database), clock)
    follow = Duty(name="follow_revocations", run=judge.follow, every_s=0.5)
    async with (
        Scheduler(clock).running(follow),
        open_doors(judge=judge, auth=settings) as doors,
        connect(doors.ws, subprotocols=[Subprotocol("mcp")]) as plain,
        session_socket(doors.ws) as session,
        mcp_socket(doors.ws) as caller,
    ):
        await session.open()
        await caller.tool("echo")
        assert "admin" not in doors.engine.callers[0].scopes
        with pytest.raises(InvalidStatus) as refused:
            await connect(doors.ws, additional_headers={"Authorization": "Bearer nonsense"})
        assert refused.value.response.status_code == 401
        assert await closed_with(plain) == await closed_with(session.connection) == (OVER, "expired")
        assert 60 <= now() <= 62
        with pytest.raises(InvalidStatus) as refused:
            await connect(doors.ws)
        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["WWW-Authenticate"].startswith("Bearer ")
    await database.close()


async def test_an_http_call_is_broken_off_when_its_token_is_revoked_and_finishes_when_it_expires(
    doors: Doors,
) -> None:
    mine = doors.authenticator.issue("mine", "alice")
    message, headers = modern("tools/call", {"name": "wait"}, "wait")
    async with aiohttp.ClientSession() as http:
        call = asyncio.ensure_future(http.post(doors.http, json=message, headers=headers | mine))
        await doors.engine.started.wait()
        doors.authenticator.end("mine", "revoked")
        response = await call
        assert response.status == 401
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
        answer = await response.json()
        await doors.engine.cancelled.wait()
        assert (answer["id"], answer["error"]["code"]) == (7, -32006)
        doors.engine.started.clear()
        fresh = doors.authenticator.issue("fresh", "alice")
        call = asyncio.ensure_future(http.post(doors.http, json=message, headers=headers | fresh))
        await doors.engine.started.wait()
        doors.authenticator.end("fresh", "expired")
        await wait_until(lambda: _told(doors, "fresh") == {"expired"}, what="the expiry is told")
        doors.engine.released.set()
        async with await call as response:
            assert (await response.json())["result"]["content"][0]["text"] == "released"


async def test_a_stream_that_has_begun_ends_with_an_error_as_its_last_event(doors: Doors) -> None:
    mine = doors.authenticator.issue("mine", "alice")
    async with aiohttp.ClientSession() as http, http_session(http, doors, mine) as headers:
        async with http.post(doors.http, json=old_call("wait"), headers=headers | mine) as response:
            assert response.status == 200
            await doors.engine.started.wait()
            doors.authenticator.end("mine", "revoked")
            text = await response.text()
            await doors.engine.cancelled.wait()
        (data,) = [line[5:] for line in text.splitlines() if line.startswith("data:") and line[5:].strip()]
        assert json.loads(data)["id"] == 7
        assert json.loads(data)["error"]["code"] == -32006
        fresh = doors.authenticator.issue("fresh", "alice")
        async with http.post(doors.http, json=old_call("echo"), headers=headers | fresh) as response:
            assert response.status == 404


async def test_streams_without_an_end_end_with_their_token(doors: Doors) -> None:
    mine = doors.authenticator.issue("mine", "alice")
    listen, modern_headers = modern("subscriptions/listen", LISTEN)
    async with (
        aiohttp.ClientSession() as http,
        http_session(http, doors, mine) as headers,
        http.get(doors.http, headers=headers | mine) as old_stream,
        http.post(doors.http, json=listen, headers=modern_headers | mine) as new_stream,
    ):
        assert (old_stream.status, new_stream.status) == (200, 200)
        assert b"event" in await new_stream.content.readline()
        doors.authenticator.end("mine", "expired")
        assert await old_stream.read() == b""
        assert b"-32006" in await new_stream.read()
        fresh = doors.authenticator.issue("fresh", "alice")
        async with http.post(doors.http, json=old_call("echo"), headers=headers | fresh) as response:
            assert response.status == 200
            assert b'"result"' in await response.read()


async def test_an_http_session_of_another_is_as_unknown_as_one_that_never_was(
    doors: Doors, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="mcp.server.streamable_http_manager")
    mine, theirs = doors.authenticator.issue("mine", "alice"), doors.authenticator.issue("theirs", "mallory")
    async with aiohttp.ClientSession() as http, http_session(http, doors, mine) as headers:
        waiting = asyncio.ensure_future(
            http.post(doors.http, json=old_call("wait", 1), headers=headers | mine)
        )
        await doors.engine.started.wait()
        for method, body in (("POST", old_call("echo", 1)), ("GET", None), ("DELETE", None)):
            answers = []
            for session in (headers["Mcp-Session-Id"], "0" * 32):
                named = headers | theirs | {"Mcp-Session-Id": session}
                async with http.request(method, doors.http, json=body, headers=named) as response:
                    answers.append((response.status, dict(response.headers), await response.text()))
            for answer in answers:
                del answer[1]["Date"]
            assert answers[0] == answers[1]
            assert answers[0][0] == 404
        assert not [record for record in caplog.records if "match" in record.getMessage()]
        doors.engine.released.set()
        async with await waiting as response:
            assert b"released" in await response.read()
        doors.authenticator.end("theirs", "revoked")
        async with http.post(doors.http, json=old_call("echo"), headers=headers | mine) as response:
            assert response.status == 200, "whoever asked for it has nothing to do with its end"
            await response.read()
        other = doors.authenticator.issue("other", "alice")
        doors.authenticator.end("mine", "revoked")
        await until_unknown(http, doors, headers | other)


async def test_a_call_whose_token_is_revoked_ends_with_its_shared_http_session(
    doors: Doors,
) -> None:
    first, second = (doors.authenticator.issue(token, "alice") for token in ("first", "second"))
    async with aiohttp.ClientSession() as http, http_session(http, doors, first) as headers:
        waiting = asyncio.ensure_future(
            http.post(doors.http, json=old_call("wait", 1), headers=headers | first)
        )
        await doors.engine.started.wait()
        async with http.post(doors.http, json=old_call("echo"), headers=headers | second) as response:
            assert b'"result"' in await response.read()
        doors.authenticator.end("first", "revoked")
        await doors.engine.cancelled.wait()
        async with await waiting as response:
            assert b"-32006" in await response.read()
        await until_unknown(http, doors, headers | second)


async def test_an_idle_http_session_ends_when_its_last_token_is_revoked(doors: Doors) -> None:
    first, second = (doors.authenticator.issue(token, "alice") for token in ("first", "second"))
    async with aiohttp.ClientSession() as http, http_session(http, doors, first) as headers:
        async with http.post(doors.http, json=old_call("echo"), headers=headers | second) as response:
            assert b'"result"' in await response.read()
        doors.authenticator.end("first", "revoked")
        async with http.post(doors.http, json=old_call("echo"), headers=headers | second) as response:
            assert b'"result"' in await response.read()
        doors.authenticator.end("second", "revoked")
        third = doors.authenticator.issue("third", "alice")
        await until_unknown(http, doors, headers | third)


async def test_what_has_ended_by_itself_is_not_kept(doors: Doors) -> None:
    mine = doors.authenticator.issue("mine", "alice")
    async with aiohttp.ClientSession() as http, http_session(http, doors, mine) as headers:
        async with session_socket(doors.ws, mine) as session, mcp_socket(doors.ws, headers=mine) as plain:
            await session.open()
            await plain.tool("echo")
            assert len(_watches(doors)) == 4
            with suppress(ConnectionClosed):
                await session.send({"t": "bye"})
                await session.receive()
        async with http.delete(doors.http, headers=headers | mine) as response:
            assert response.status == 200
        async with http.post(doors.http, json=old_call("echo"), headers=headers | mine) as response:
            assert response.status == 404
    await wait_until(lambda: not _watches(doors), what="nothing is watched")


def _watches(doors: Doors) -> list[Any]:
    return [watch for of_owner in doors.watcher._watches.values() for watch in of_owner]


def _told(doors: Doors, token: str) -> set[Any]:
    return {
        watch.notified
        for watch in _watches(doors)
        if watch.caller.credential is not None and watch.caller.credential.token_id == token
    }
