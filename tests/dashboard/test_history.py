"""Charts, settings, runs and earlier moments, from a daemon that works."""

import asyncio
from datetime import UTC, datetime

import pytest

from support.daemon_in_process import StartInProcess
from support.dashboards import dashboard_of
from support.mcp_websocket import mcp_socket

pytestmark = pytest.mark.virtual_time

CALL = {"prompt": "Hello.", "model": "glm-5.3"}


async def test_charts_settings_and_runs_are_read_and_nothing_secret(start_in_process: StartInProcess) -> None:
    async with (
        start_in_process() as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        for _ in range(3):
            await socket.tool("chat", CALL)
        await asyncio.sleep(130)
        seconds = await dashboard.get("/api/series", step="1", names="tasks")
        assert [each["name"] for each in seconds["series"]] == ["tasks"]
        assert len(seconds["series"][0]["points"]) >= 100
        minutes = await dashboard.get("/api/series")
        assert "tasks" in minutes["names"]
        assert all(len(point) == 3 for each in minutes["series"] for point in each["points"])
        settings = {each["name"]: each for each in (await dashboard.get("/api/system/settings"))["settings"]}
        assert settings["server.host"]["value"] == '"127.0.0.1"'
        assert settings["providers.glm.api_key"]["secret"]
        assert settings["providers.glm.api_key"]["value"] == '"********"'
        runs = (await dashboard.get("/api/system/runs"))["runs"]
        assert [run["this"] for run in runs] == [True]
        system = (await dashboard.get("/api/feed/system"))["full"]
        assert system["database"]["bytes"] > 100_000
        assert system["resident_bytes"] > 10_000_000


async def test_providers_are_shown_as_they_were_from_what_is_stored(start_in_process: StartInProcess) -> None:
    async with (
        start_in_process() as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        before = datetime.fromtimestamp(daemon.clock.wall() - 1, UTC).isoformat()
        for _ in range(3):
            await socket.tool("chat", CALL)
        await asyncio.sleep(120)
        at = datetime.fromtimestamp(daemon.clock.wall(), UTC).isoformat()
        then = await dashboard.get("/api/providers", at=at)
        assert [(each["model"], each["requests"], each["failed"]) for each in then["models"]] == [
            ("glm-5.3", 3, 0)
        ]
        assert then["models"][0]["outcomes"] == {"ok": 3}
        assert then["breakers"] is None
        assert (await dashboard.get("/api/providers", at=before))["models"] == []
        now = await dashboard.get("/api/providers")
        assert [each["name"] for each in now["providers"]][:2] == ["glm", "kimi"]


REFUSED = (
    "/api/series?from=-8d",
    "/api/series?step=7",
    "/api/series?names=a,b,c,d,e,f,g,h,i,j,k,l,m",
    "/api/providers?at=yesterday",
    "/api/system/runs?most=1000",
    "/api/calls?from=-3y",
    "/api/calls?from=2001-01-01",
    "/api/calls?cursor=nonsense",
    "/api/calls?q=nothing:here",
    "/api/calls?most=0",
    "/api/calls?page=2",
    "/api/calls/export?format=xml",
    "/api/calls/export?q=E-1",
    "/api/errors?cursor=nonsense",
    "/api/auditor/observations?state=lost",
)


async def test_a_query_that_cannot_be_is_refused_with_a_sentence(
    start_in_process: StartInProcess, subtests: pytest.Subtests
) -> None:
    async with start_in_process() as daemon, dashboard_of(daemon.operations) as dashboard:
        for path in REFUSED:
            with subtests.test(path=path):
                status, refused = await dashboard.ask("GET", path)
                assert (status, refused["error"]["code"]) == (400, "bad_arguments")
                assert refused["error"]["message"].endswith(".")
