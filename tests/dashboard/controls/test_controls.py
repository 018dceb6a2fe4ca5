"""Breakers closed and probed, sessions ended, groups decided on in bulk, over real sockets."""

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from exai_emulator import Emulator, Fault
from support.daemon_in_process import StartInProcess
from support.dashboards import dashboard_of
from support.mcp_websocket import mcp_socket
from support.session_socket import session_socket
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

CALL = {"prompt": "Hello.", "model": "glm-5.3"}
GLM = {"provider": "glm", "model": "glm-5.3"}
QUICK_TO_OPEN = {"EXAI_RETRY__MAX_RETRIES": "0", "EXAI_BREAKER__OPEN_S": "600"}


def breaker_in(document: dict[str, Any]) -> dict[str, Any]:
    """The breaker of glm-5.3 in the document `providers`."""
    glm = next(each for each in document["full"]["providers"] if each["name"] == "glm")
    return dict(next(each for each in glm["models"] if each["model"] == "glm-5.3")["breaker"])


async def test_an_open_breaker_is_closed_and_requests_are_sent_again(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(error="1305", times=5))
    async with (
        start_in_process(**QUICK_TO_OPEN) as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        for _ in range(5):
            assert (await socket.tool("chat", CALL))["isError"]
        shown = breaker_in(await dashboard.get("/api/feed/providers"))
        assert (shown["state"], shown["cause"]) == ("open", "provider_overloaded")
        assert (await socket.tool("chat", CALL))["_meta"]["exai/error"]["code"] == "circuit_open"
        assert (await dashboard.control("/api/breakers/close", GLM))["result"] == "closed"
        assert not (await socket.tool("chat", CALL))["isError"]
        assert (await dashboard.control("/api/breakers/close", GLM))["result"] == "already_closed"
        unused = {"provider": "kimi", "model": "kimi-k3"}
        assert (await dashboard.control("/api/breakers/close", unused))["result"] == "already_closed"
        status, unknown = await dashboard.ask(
            "POST", "/api/breakers/close", {"provider": "glm", "model": "no"}
        )
        assert (status, unknown["error"]["code"]) == (404, "unknown_model")


async def test_a_probe_now_asks_at_once_and_says_what_came_of_it(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(error="1305", times=6))
    async with (
        start_in_process(**QUICK_TO_OPEN) as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        for _ in range(5):
            await socket.tool("chat", CALL)
        failed = await dashboard.control("/api/breakers/probe", GLM)
        assert (failed["result"], failed["error"], failed["state"]) == (
            "failed",
            "provider_overloaded",
            "open",
        )
        assert len(emulator.log.of("glm")) == 6
        answered = await dashboard.control("/api/breakers/probe", GLM)
        assert (answered["result"], answered["state"]) == ("answered", "closed")
        shown = await dashboard.get(f"/api/calls/{answered['call_id']}")
        assert (shown["call"]["caller"], shown["call"]["door"]) == ("local", "dashboard")
        assert not (await socket.tool("chat", CALL))["isError"]


async def test_a_session_is_ended_with_its_socket_and_its_calls(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=60_000, times=None))
    async with (
        start_in_process() as daemon,
        dashboard_of(daemon.operations) as dashboard,
        session_socket(daemon.mcp_ws) as session,
    ):
        opened = await session.open()
        await session.call(1, "chat", CALL)
        await emulator.log.wait_for(lambda _: emulator.log.in_flight == 1)
        shown = (await dashboard.get("/api/feed/connections"))["full"]
        assert [each["connected"] for each in shown["sessions"]] == [True]
        name = shown["sessions"][0]["session"]
        assert opened["session"] not in str(shown), "what opens a session is shown to nobody"
        assert shown["totals"]["sessions"] == 1
        assert (await dashboard.control(f"/api/sessions/{name}/end"))["result"] == "ended"
        await emulator.log.wait_for(lambda _: emulator.log.in_flight == 0)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await session.receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4410
        assert (await dashboard.control(f"/api/sessions/{name}/end"))["result"] == "already_over"
        status, refused = await dashboard.ask("POST", "/api/sessions/nonsense/end")
        assert (status, refused["error"]["code"]) == (400, "bad_arguments")


async def test_groups_are_decided_on_together_each_with_its_version(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(error="1305", times=None))
    emulator.faults.add("kimi", Fault(status=500, times=None))
    async with (
        start_in_process(EXAI_RETRY__MAX_RETRIES="0") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        for model in ("glm-5.3", "kimi-k3"):
            await socket.tool("chat", {"prompt": "Hello.", "model": model})

        async def are_grouped() -> bool:
            return len((await dashboard.get("/api/errors"))["groups"]) == 2

        await wait_until(are_grouped, what="both faults have their groups")
        listed = await dashboard.get("/api/errors", most="1")
        assert sum(listed["groups"][0]["days"]) == listed["groups"][0]["seen"] == 1
        rest = await dashboard.get("/api/errors", most="1", cursor=listed["next"])
        names = [listed["groups"][0]["group"], rest["groups"][0]["group"]]
        assert len(set(names)) == 2
        status, refused = await dashboard.ask("GET", f"/api/errors?most=1&sort=seen&cursor={listed['next']}")
        assert (status, "another query" in refused["error"]["message"]) == (400, True)
        decided = await dashboard.control(
            "/api/errors/decide",
            {
                "groups": [
                    {"group": names[0], "version": 1},
                    {"group": names[1], "version": 7},
                    {"group": "E-999"},
                ],
                "decision": "resolve",
                "note": "mended",
            },
        )
        assert [each["result"] for each in decided["results"]] == ["done", "refused", "refused"]
        assert decided["results"][0]["line"]["state"] == "resolved"
        occurrences = (await dashboard.get(f"/api/errors/{names[0]}/occurrences"))["occurrences"]
        assert len(occurrences) == 1
        asked = await dashboard.control(f"/api/errors/{names[1]}/investigate")
        assert asked["investigation_id"]
        live = await dashboard.get("/api/feed/errors")
        assert {turn["kind"] for turn in live["full"]["turns"]} >= {"first_seen", "resolved"}
        await asyncio.sleep(0)
