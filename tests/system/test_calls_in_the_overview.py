"""Calls at the operations port: while they run, and counted by their caller afterwards."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exai.auth.scopes import ADMIN, DASHBOARD, MODELS, STATUS
from exai_emulator import Emulator, Fault
from support.daemon_in_process import StartInProcess
from support.guarded_daemon import authority_over, bearer
from support.mcp_websocket import mcp_socket
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

CALLS = 10


async def test_calls_are_seen_while_they_run_and_counted_by_caller_afterwards(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=20_000, times=None))
    async with (
        start_in_process(EXAI_AUTH__MODE="required") as daemon,
        authority_over(tmp_path / "data", daemon.clock) as authority,
    ):
        watcher = (await authority.create("watcher", "page", [DASHBOARD, ADMIN])).access_token
        agent = (await authority.create("agent-7", "agent", [MODELS, STATUS])).access_token
        async with (
            aiohttp.ClientSession(daemon.operations, headers=bearer(watcher)) as http,
            mcp_socket(daemon.mcp_ws, headers=bearer(agent)) as client,
        ):
            call = {"name": "chat", "arguments": {"prompt": "hello there", "model": "glm-5.3"}}
            calls = [asyncio.ensure_future(client.request("tools/call", call)) for _ in range(CALLS)]
            await emulator.log.wait_for(lambda _: emulator.log.in_flight == CALLS)

            async with http.get("/api/overview") as response:
                text = await response.text()
                overview = await response.json()
            seen = [(each["tool"], each["caller"], each["door"]) for each in overview["calls"]]
            assert seen == [("chat", "agent-7", "websocket")] * CALLS
            assert "hello there" not in text
            assert {"caller": "agent-7", "door": "websocket", "connections": 1} in overview["connected"]

            await asyncio.gather(*calls)
            async with http.get("/api/overview") as response:
                after = await response.json()
            assert (after["calls_running"], after["calls"]) == (0, [])
            rows: list[dict[str, Any]] = []

            async def are_billed() -> bool:
                async with http.get("/api/usage?days=1&caller=agent-7") as response:
                    rows[:] = (await response.json())["usage"]
                return sum(row["calls"] for row in rows) == CALLS and bool(rows[0]["cost_usd"])

            await wait_until(are_billed, what=lambda: f"{CALLS} calls with costs in {rows}")
            assert {row["caller"] for row in rows} == {"agent-7"}
            async with http.get("/metrics") as response:
                assert 'exai_caller_calls_total{caller="agent-7",outcome="ok"}' in await response.text()
