"""Calls that an operator cancels, whatever they do (D5): the connection at the provider, permits, and the caller."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from exai.auth.scopes import DASHBOARD, ERRORS, MODELS, OPERATE
from exai_emulator import Emulator, Fault
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.dashboards import Dashboard, dashboard_of
from support.guarded_daemon import authority_over, bearer
from support.mcp_websocket import McpSocket, mcp_socket
from support.virtual_time import now
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

REACHED_S = 0.2
"""How soon the provider's connection is closed (D5)."""
CALL = {"prompt": "Hello.", "model": "glm-5.3"}


async def running_call(
    dashboard: Dashboard, holds: Callable[[dict[str, Any]], bool] = lambda _: True
) -> dict[str, Any]:
    """The row of a call that runs and of which that holds."""
    rows: list[dict[str, Any]] = []

    async def is_there() -> bool:
        live = await dashboard.get("/api/feed/live")
        rows[:] = [row for row in live["full"]["running"] if holds(row)]
        return bool(rows)

    await wait_until(is_there, what="the call runs")
    return rows[0]


async def cancelled(
    daemon: DaemonInProcess, socket: McpSocket, emulator: Emulator, stage: str, model: str = "glm-5.3"
) -> dict[str, Any]:
    """Begin a call, cancel it in a stage, and return the error that its caller reads."""
    async with dashboard_of(daemon.operations) as dashboard:
        asked = asyncio.ensure_future(socket.tool("chat", CALL | {"model": model}))
        row = await running_call(dashboard, lambda row: row["stage"] == stage)
        before = now()
        answer = await dashboard.control(f"/api/calls/{row['call_id']}/cancel")
        assert (answer["result"], answer["outcome"]) == ("ended", "cancelled"), answer
        await emulator.log.wait_for(lambda _: emulator.log.in_flight_of("glm", model) == 0)
        assert now() - before <= REACHED_S
        result = await asked
        assert result["isError"]
        again = await dashboard.control(f"/api/calls/{row['call_id']}/cancel")
        assert (again["result"], again["outcome"]) == ("already_over", "cancelled")
        shown = await dashboard.get(f"/api/calls/{row['call_id']}")
        assert (shown["call"]["outcome"], shown["call"]["error"]) == ("cancelled", "cancelled_by_operator")
        return dict(result["_meta"]["exai/error"])


async def all_permits_are_free(daemon: DaemonInProcess) -> None:
    admission = daemon.services.asking.admission
    gates = (admission.total, *admission.by_provider.values(), *admission.by_model.values())
    assert [gate.in_use for gate in gates] == [0] * len(gates)
    assert (admission.waiting, admission.callers) == (0, 0)


async def test_a_call_that_waits_for_its_answer_is_ended_at_the_provider(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=60_000, times=None))
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        error = await cancelled(daemon, socket, emulator, "first_token")
        assert error["code"] == "cancelled_by_operator"
        await all_permits_are_free(daemon)


async def test_a_call_that_streams_is_ended_in_the_middle(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(cut="stall", at="mid_body", after_frames=2, times=None))
    async with (
        start_in_process() as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        asked = asyncio.ensure_future(socket.tool("chat", CALL, on_progress=lambda _: None))
        row = await running_call(dashboard, lambda row: row["stage"] == "generation")
        answer = await dashboard.control(f"/api/calls/{row['call_id']}/cancel")
        assert answer["result"] == "ended"
        await emulator.log.wait_for(lambda _: emulator.log.in_flight == 0)
        assert (await asked)["_meta"]["exai/error"]["code"] == "cancelled_by_operator"
        await all_permits_are_free(daemon)


async def test_a_call_that_waits_for_a_retry_is_ended_without_another_request(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(error="1302", headers={"Retry-After": "20"}, times=None))
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        await cancelled(daemon, socket, emulator, "backoff")
        sent = len(emulator.log.of("glm"))
        await asyncio.sleep(60)
        assert len(emulator.log.of("glm")) == sent
        await all_permits_are_free(daemon)


async def test_a_call_that_waits_at_a_gate_is_ended_and_the_others_go_on(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=5_000, times=None))
    settings = {"EXAI_ADMISSION__MODEL_LIMIT": "1"}
    async with (
        start_in_process(**settings) as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        first = asyncio.ensure_future(socket.tool("chat", CALL))
        await running_call(dashboard, lambda row: row["stage"] == "first_token")
        second = asyncio.ensure_future(socket.tool("chat", CALL))
        row = await running_call(dashboard, lambda row: row["stage"] == "provider_sem_wait")
        live = (await dashboard.get("/api/feed/live"))["full"]
        gate = next(gate for gate in live["gates"] if gate["name"] == "glm/glm-5.3")
        assert (gate["waiting"], gate["waiters"]) == (1, [{"caller": "local", "calls": 1}])
        assert (await dashboard.control(f"/api/calls/{row['call_id']}/cancel"))["result"] == "ended"
        assert (await second)["_meta"]["exai/error"]["code"] == "cancelled_by_operator"
        assert not (await first)["isError"]
        assert len(emulator.log.of("glm")) == 1
        await all_permits_are_free(daemon)


async def test_a_call_that_is_over_or_was_never_is_told_apart(start_in_process: StartInProcess) -> None:
    async with (
        start_in_process() as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        result = await socket.tool("chat", CALL)
        call_id = result["_meta"]["exai/report"]["call_id"]
        answer = await dashboard.control(f"/api/calls/{call_id}/cancel")
        assert (answer["result"], answer["outcome"]) == ("already_over", "ok")
        assert "nothing was done" in answer["told"]
        status, unknown = await dashboard.ask("POST", "/api/calls/call_none/cancel")
        assert (status, unknown["error"]["code"]) == (404, "unknown_call")


FOREIGN = ({"Origin": "http://localhost:3000"}, {"Origin": "https://evil.example"})


async def test_only_our_page_or_a_token_with_the_scope_operates(
    start_in_process: StartInProcess, tmp_path: Path
) -> None:
    paths = (
        "/api/calls/call_1/cancel",
        "/api/breakers/close",
        "/api/breakers/probe",
        "/api/sessions/ses_0123456789abcdef/end",
        "/api/errors/decide",
        "/api/errors/E-1/decide",
        "/api/errors/E-1/investigate",
        "/api/auditor/observations/obs_1/decide",
    )

    async def statuses(http: Callable[[str], Awaitable[int]]) -> set[int]:
        return {await http(path) for path in paths}

    async with start_in_process() as local, dashboard_of(local.operations) as page:
        for headers in FOREIGN:
            assert await statuses(lambda path, sent=headers: _status(page, path, sent)) == {403}  # type: ignore[misc]
    async with (
        start_in_process(EXAI_AUTH__MODE="required") as daemon,
        authority_over(tmp_path / "data", daemon.clock) as authority,
    ):
        reader = (await authority.create("ann", "reads", [DASHBOARD, ERRORS, MODELS])).access_token
        async with dashboard_of(daemon.operations) as stranger:
            assert await statuses(lambda path: _status(stranger, path, {})) == {401}
            refused = await statuses(lambda path: _status(stranger, path, bearer(reader)))
            assert refused == {403}
        operator = (await authority.create("ann", "operates", [OPERATE])).access_token
        async with dashboard_of(daemon.operations, bearer(operator)) as ann:
            allowed = await statuses(lambda path: _status(ann, path, {}))
            assert not allowed & {401, 403, 500}


async def _status(dashboard: Dashboard, path: str, headers: dict[str, str]) -> int:
    return await dashboard.status("POST", path, {}, headers)
