"""Two daemons on one database: each dashboard shows that the other is there, and a control says whose a thing is."""

from pathlib import Path
from typing import Any

import pytest

from exai import config
from exai_emulator import Emulator, Fault
from support.daemons import daemon
from support.dashboards import Dashboard, dashboard_of
from support.mcp_websocket import mcp_socket
from support.waiting import wait_until

GLM = {"provider": "glm", "model": "glm-5.3"}


async def status_of(dashboard: Dashboard) -> dict[str, Any]:
    return dict((await dashboard.get("/api/feed/status"))["full"])


@pytest.fixture
def environ(database_settings: config.Database, provider_environ: dict[str, str]) -> dict[str, str]:
    assert database_settings.url is not None
    return {**provider_environ, "EXAI_DATABASE__URL": database_settings.url.get_secret_value()}


async def test_a_call_of_another_daemon_is_left_alone_and_its_process_is_named(
    environ: dict[str, str], emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=60_000, times=None))
    async with (
        daemon(data_dir=tmp_path / "one", environ=environ) as one,
        dashboard_of(one.operations) as here,
    ):
        assert (await status_of(here))["replicas"] == []
        async with (
            daemon(data_dir=tmp_path / "two", environ=environ) as two,
            mcp_socket(two.mcp_ws) as client,
            dashboard_of(two.operations) as there,
        ):
            its_run = (await status_of(there))["run_id"]

            async def sees_it() -> bool:
                found: list[str] = [each["run_id"] for each in (await status_of(here))["replicas"]]
                return found == [its_run]

            await wait_until(sees_it, what="a status that names the other process")
            await client.begin_tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
            await emulator.log.wait_for(lambda _: emulator.log.in_flight == 1)
            (call,) = (await there.get("/api/feed/live"))["full"]["running"]
            refused = await here.control(f"/api/calls/{call['call_id']}/cancel")
            assert (refused["result"], refused["run_id"]) == ("elsewhere", its_run)
            assert its_run in refused["told"]
            assert emulator.log.in_flight == 1
            closed = await here.control("/api/breakers/close", GLM)
            assert f"have breakers of their own, untouched by this: {its_run} on " in closed["told"]
            ended = await here.control("/api/sessions/ses_0123456789abcdef/end")
            assert f"have sessions of their own, untouched by this: {its_run} on " in ended["told"]
            assert (await there.control(f"/api/calls/{call['call_id']}/cancel"))["result"] == "ended"
            await emulator.log.wait_for(lambda _: emulator.log.in_flight == 0)

        async def is_alone() -> bool:
            return not (await status_of(here))["replicas"]

        await wait_until(is_alone, what="a status without the process that ended")
        closed = await here.control("/api/breakers/close", GLM)
        assert closed["told"] == "The breaker of glm-5.3 was closed already; nothing was done."
