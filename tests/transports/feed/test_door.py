"""The feed over a real socket: who may open it, what it sends, and how it ends."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from exai.auth.scopes import DASHBOARD, ERRORS, MODELS, OPERATE
from exai_emulator import Emulator, Fault
from support.daemon_in_process import StartInProcess
from support.feeds import feed_at
from support.guarded_daemon import authority_over, bearer
from support.mcp_websocket import mcp_socket
from support.virtual_time import now

pytestmark = pytest.mark.virtual_time

TOPICS = ["status", "live", "providers", "errors", "auditor", "connections", "system"]
ON_THE_PAGE_S = 2.0
"""How late a change may be on the page (D1)."""


async def refusal(operations: str, headers: dict[str, str], path: str = "/api/feed") -> int:
    """The HTTP status by which the upgrade is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(
            f"{operations.replace('http', 'ws', 1)}{path}", additional_headers=headers, proxy=None
        ):
            pass
    return refused.value.response.status_code


async def closing(operations: str, message: str | bytes) -> tuple[int, str]:
    """How the feed closes after a message."""
    async with feed_at(operations) as feed:
        await feed.connection.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await feed.next()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_every_topic_comes_once_it_is_wanted_and_again_when_it_changes(
    start_in_process: StartInProcess,
) -> None:
    async with start_in_process() as daemon, feed_at(daemon.operations, *TOPICS) as feed:
        for topic in TOPICS:
            await feed.until(topic, lambda _: True)
        assert feed.latest["status"]["auth_mode"] == "local"
        assert [each["name"] for each in feed.latest["providers"]["providers"]][:2] == ["glm", "kimi"]
        assert feed.latest["live"]["running"] == []
        async with mcp_socket(daemon.mcp_ws) as socket:
            await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
        live = await feed.until("live", lambda document: bool(document["endings"]))
        ended = live["endings"][0]
        assert (ended["tool"], ended["model"], ended["outcome"]) == ("chat", "glm-5.3", "ok")
        assert live["hour"]["calls"] == 1
        numbers = [frame["seq"] for frame in feed.frames if frame["topic"] == "live"]
        assert numbers == sorted(set(numbers))


async def test_a_running_call_is_shown_with_its_stage_model_and_caller(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=20_000, times=None))
    async with (
        start_in_process() as daemon,
        feed_at(daemon.operations, "live") as feed,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        asked = asyncio.ensure_future(socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"}))
        live = await feed.until("live", lambda document: bool(document["running"]))
        live = await feed.until("live", lambda document: document["running"][0]["stage"] == "first_token")
        row = live["running"][0]
        assert (row["tool"], row["provider"], row["model"], row["caller"]) == (
            "chat",
            "glm",
            "glm-5.3",
            "local",
        )
        assert (row["request"], row["attempt"]) == (1, 1)
        assert row["stage_since"] >= row["began_at"]
        gates = {gate["name"]: gate["in_use"] for gate in live["gates"]}
        assert gates["glm/glm-5.3"] == 1
        await asked
        await feed.until("live", lambda document: not document["running"])


async def test_an_open_breaker_is_on_the_page_within_two_seconds_and_gone_as_soon(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    """Acceptance D1."""
    emulator.faults.add("glm", Fault(error="1305", times=5))
    settings = {"EXAI_RETRY__MAX_RETRIES": "0", "EXAI_BREAKER__OPEN_S": "3"}
    async with (
        start_in_process(**settings) as daemon,
        feed_at(daemon.operations, "status", "providers") as feed,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        await feed.until("status", lambda document: document["breakers"] == [])
        for _ in range(5):
            await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
        opened = now()
        shown = await feed.until("status", lambda document: bool(document["breakers"]))
        assert now() - opened <= ON_THE_PAGE_S
        breaker = shown["breakers"][0]
        assert (breaker["model"], breaker["state"], breaker["cause"]) == (
            "glm-5.3",
            "open",
            "provider_overloaded",
        )
        assert breaker["until"] > breaker["since"]
        await feed.until("providers", lambda document: bool(document["transitions"]))
        await asyncio.sleep(4)
        await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
        closed = now()
        await feed.until("status", lambda document: document["breakers"] == [])
        assert now() - closed <= ON_THE_PAGE_S
        moves = [
            each["to"]
            for each in (await feed.until("providers", lambda document: len(document["transitions"]) == 3))[
                "transitions"
            ]
        ]
        assert moves == ["closed", "half_open", "open"]


async def test_a_slow_reader_gets_the_newest_state_at_most_four_times_a_second(
    start_in_process: StartInProcess,
) -> None:
    async with (
        start_in_process() as daemon,
        feed_at(daemon.operations, "live") as feed,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        began = now()
        for _ in range(40):
            await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
            await asyncio.sleep(0.05)
        live = await feed.until("live", lambda document: document["hour"]["calls"] == 40)
        assert len(live["endings"]) == 40
        frames = [frame for frame in feed.frames if frame["topic"] == "live"]
        assert len(frames) <= 4 * (now() - began) + 2


async def test_what_changes_nothing_sends_nothing_but_a_beat(start_in_process: StartInProcess) -> None:
    async with start_in_process() as daemon, feed_at(daemon.operations, "live") as feed:
        await feed.until("live", lambda _: True)
        frames = [await feed.next() for _ in range(3)]
        assert {frame["topic"] for frame in frames} <= {"beat", "live"}
        assert any(frame["topic"] == "beat" for frame in frames)


async def test_foreign_pages_and_strangers_are_refused_before_the_upgrade(
    start_in_process: StartInProcess, tmp_path: Path
) -> None:
    async with (
        start_in_process(EXAI_AUTH__MODE="required") as daemon,
        authority_over(tmp_path / "data", daemon.clock) as authority,
    ):
        own = daemon.operations
        assert await refusal(own, {}) == 401
        assert await refusal(own, bearer("nonsense")) == 401
        assert await refusal(own, {"Origin": "http://127.0.0.1:3000"}) == 403
        assert await refusal(own, {"Origin": "https://evil.example"}) == 403
        other = (await authority.create("alice", "no dashboard", [MODELS, ERRORS])).access_token
        assert await refusal(own, bearer(other)) == 403
        good = (await authority.create("alice", "good", [DASHBOARD])).access_token
        assert await refusal(own, bearer(good), "/api/else") == 404
        async with feed_at(own, "status", headers=bearer(good)) as feed:
            assert (await feed.next())["topic"] == "status"


async def test_in_local_mode_a_page_of_another_origin_is_refused(start_in_process: StartInProcess) -> None:
    async with start_in_process() as daemon:
        for origin in ("http://127.0.0.1:3000", "http://localhost:1", "null"):
            assert await refusal(daemon.operations, {"Origin": origin}) == 403
        async with feed_at(daemon.operations, "live", headers={"Origin": daemon.operations}) as feed:
            assert (await feed.next())["topic"] == "live"


async def signed_in(operations: str, token: str) -> str:
    """The cookie of a browser that signed in with a token's ticket."""
    async with aiohttp.ClientSession(operations) as http:
        async with http.post("/api/tickets", headers=bearer(token)) as response:
            ticket = (await response.json())["ticket"]
        headers = {"Origin": operations}
        async with http.post("/api/sign-in", json={"ticket": ticket}, headers=headers) as response:
            return response.headers["Set-Cookie"].partition(";")[0]


async def test_a_cookie_opens_it_from_our_own_page_and_4401_says_that_its_credential_ended(
    start_in_process: StartInProcess, tmp_path: Path
) -> None:
    """Acceptance D8, the feed's part."""
    async with (
        start_in_process(EXAI_AUTH__MODE="required") as daemon,
        authority_over(tmp_path / "data", daemon.clock) as authority,
    ):
        issued = await authority.create("alice", "page", [DASHBOARD, ERRORS, MODELS])
        cookie = await signed_in(daemon.operations, issued.access_token)
        foreign = {"Cookie": cookie, "Origin": "http://localhost:3000"}
        assert await refusal(daemon.operations, foreign) == 403
        own = {"Cookie": cookie, "Origin": daemon.operations}
        async with feed_at(daemon.operations, "errors", headers=own) as feed:
            assert (await feed.until("errors", lambda _: True))["groups"] == []
            await authority.revoke(issued.token_id)
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    await feed.next()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "revoked")
        assert await refusal(daemon.operations, own) == 401


async def test_a_topic_that_needs_another_scope_is_refused_and_the_others_come(
    start_in_process: StartInProcess, tmp_path: Path
) -> None:
    async with (
        start_in_process(EXAI_AUTH__MODE="required") as daemon,
        authority_over(tmp_path / "data", daemon.clock) as authority,
    ):
        token = (await authority.create("alice", "page", [DASHBOARD, OPERATE])).access_token
        async with feed_at(daemon.operations, "errors", "live", headers=bearer(token)) as feed:
            frames: dict[str, dict[str, Any]] = {}
            while len(frames) < 2:
                frame = await feed.next()
                frames[frame["topic"]] = frame
            error = frames["errors"]["error"]
            assert (error["code"], error["scope"]) == ("insufficient_scope", ERRORS)
            assert "full" in frames["live"]


NO_WISHES = (
    "no JSON",
    "[]",
    "{}",
    '{"want": "live"}',
    '{"want": [1]}',
    '{"want": ["nothing"]}',
    '{"want": ["live"], "more": 1}',
    json.dumps({"want": ["live"] * 33}),
    json.dumps({"want": ["x" * 5_000]}),
    "[" * 3_000,
)


async def test_a_message_that_is_no_wish_closes_it_with_a_sentence(start_in_process: StartInProcess) -> None:
    async with start_in_process() as daemon:
        for message in NO_WISHES:
            code, reason = await closing(daemon.operations, message)
            assert code == 1008, message[:40]
            assert reason.endswith("."), message[:40]
        binary = await closing(daemon.operations, b'{"want": ["live"]}')
        assert binary == (1003, 'Say what you want in a text frame: {"want": ["live"]}.')


async def test_who_wants_nothing_in_time_is_closed(start_in_process: StartInProcess) -> None:
    async with start_in_process() as daemon, feed_at(daemon.operations) as feed:
        began = now()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await feed.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4408
        assert 10 <= now() - began < 11


async def test_it_ends_with_1012_when_the_daemon_stops(start_in_process: StartInProcess) -> None:
    async with start_in_process() as daemon, feed_at(daemon.operations, "live") as feed:
        await feed.until("live", lambda _: True)
        daemon.signal()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await feed.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        await daemon.ended()


async def test_the_same_documents_are_polled(start_in_process: StartInProcess, tmp_path: Path) -> None:
    async with (
        start_in_process(EXAI_AUTH__MODE="required") as daemon,
        authority_over(tmp_path / "data", daemon.clock) as authority,
    ):
        token = (await authority.create("alice", "page", [DASHBOARD])).access_token
        async with aiohttp.ClientSession(daemon.operations, headers=bearer(token)) as http:

            async def get(path: str) -> tuple[int, Any]:
                async with http.get(path) as response:
                    return response.status, await response.json()

            assert await get("/api/feed") == (200, {"topics": TOPICS})
            for topic in set(TOPICS) - {"errors", "auditor"}:
                status, frame = await get(f"/api/feed/{topic}")
                assert (status, frame["topic"], frame["seq"]) == (200, topic, 1)
            status, refused = await get("/api/feed/errors")
            assert (status, refused["error"]["scope"]) == (403, ERRORS)
            status, unknown = await get("/api/feed/nothing")
            assert (status, unknown["error"]["code"]) == (404, "unknown_topic")
