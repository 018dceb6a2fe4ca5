"""Calls over HTTP, of a daemon that made them: lists, cursors, exports, details, and hostile names."""

import csv
import io
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from exai.dashboard.calls import routes
from exai_emulator import Emulator, Fault
from support.daemon_in_process import StartInProcess
from support.dashboards import Dashboard, dashboard_of
from support.journal_rows import call_row, write_calls
from support.mcp_websocket import mcp_socket

pytestmark = pytest.mark.virtual_time

HOSTILE = (
    "<script>alert(1)</script>",
    '=HYPERLINK("http://evil.example")',
    "@SUM(1)",
    "\u202eevil\x00\ud800",
    "'; DROP TABLE calls; --",
    "{{constructor}}",
    "a" * 5_000,
)


async def all_pages(dashboard: Dashboard, **query: str) -> list[str]:
    """The ids of all pages."""
    ids: list[str] = []
    cursor = ""
    while True:
        page = await dashboard.get("/api/calls", **query, **({"cursor": cursor} if cursor else {}))
        ids += [call["call_id"] for call in page["calls"]]
        if page["next"] is None:
            return ids
        cursor = page["next"]


async def exported(operations: str, **query: str) -> str:
    async with (
        aiohttp.ClientSession(operations) as http,
        http.get("/api/calls/export", params=query) as response,
    ):
        assert response.status == 200
        assert "attachment" in response.headers["Content-Disposition"]
        return await response.text()


@pytest.fixture
async def filled(start_in_process: StartInProcess) -> AsyncIterator[tuple[Any, Dashboard, datetime]]:
    """A daemon with 120 calls in its journal, those of every second hostile name among them."""
    async with start_in_process() as daemon, dashboard_of(daemon.operations) as dashboard:
        now = datetime.fromtimestamp(daemon.clock.wall(), UTC)
        rows = [
            call_row(
                f"call_{number:03}",
                now - timedelta(minutes=number),
                client=HOSTILE[number % len(HOSTILE)],
                owner="bob" if number % 10 == 0 else "alice",
            )
            for number in range(120)
        ]
        await write_calls(daemon.services.storage.database, rows)
        yield daemon, dashboard, now


async def test_pages_follow_one_another_and_a_page_is_never_too_large(
    filled: tuple[Any, Dashboard, datetime],
) -> None:
    _, dashboard, now = filled
    everything = [f"call_{number:03}" for number in range(120)]
    assert await all_pages(dashboard, most="50") == everything
    assert await all_pages(dashboard, most="200") == everything, "rows of 5 KB are cut into more pages"
    assert await all_pages(dashboard, q="caller:bob", most="5") == everything[::10]
    hour_ago = (now - timedelta(hours=1)).isoformat()
    assert await all_pages(dashboard, at=hour_ago, **{"from": "-90m"}) == everything[60:91]
    first = await dashboard.get("/api/calls", q="caller:bob", most="5")
    status, refused = await dashboard.ask("GET", f"/api/calls?q=caller:alice&most=5&cursor={first['next']}")
    assert (status, "another query" in refused["error"]["message"]) == (400, True)
    status, refused = await dashboard.ask("GET", "/api/calls?q=tool:%00")
    assert (status, "NUL" in refused["error"]["message"]) == (400, True)
    none = await dashboard.get("/api/calls", q="error:nothing")
    assert (none["calls"], none["next"]) == ([], None)


async def test_exports_hold_every_row_and_no_formula(
    filled: tuple[Any, Dashboard, datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, _, _ = filled
    monkeypatch.setattr(routes, "EXPORT_PAGE", 50)
    lines = (await exported(daemon.operations, format="jsonl")).splitlines()
    assert [json.loads(line)["call_id"] for line in lines] == [f"call_{number:03}" for number in range(120)]
    rows = list(csv.DictReader(io.StringIO(await exported(daemon.operations, q="caller:bob"), newline="")))
    assert [row["caller"] for row in rows] == ["bob"] * 12
    everything = csv.reader(io.StringIO(await exported(daemon.operations), newline=""))
    assert not [cell for row in everything for cell in row if cell.startswith(("=", "@", "+", "-"))]


async def test_a_failed_call_is_shown_with_spans_that_add_up_requests_group_and_lines(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(error="1305", times=None))
    async with (
        start_in_process(EXAI_RETRY__MAX_RETRIES="2") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        result = await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
        call_id = result["_meta"]["exai/error"]["call_id"]
        shown = await dashboard.get(f"/api/calls/{call_id}")
        assert (shown["call"]["outcome"], shown["call"]["error"]) == ("failed", "provider_overloaded")
        assert [each["attempts"] for each in shown["requests"]] == [3]
        stages: dict[str, float] = {}
        for span in shown["spans"]:
            stages[span["stage"]] = stages.get(span["stage"], 0.0) + span["ended_ms"] - span["began_ms"]
        for stage, milliseconds in stages.items():
            assert abs(shown["timings"][stage] - milliseconds) < 1.0, stage
        assert max(span["attempt"] for span in shown["spans"]) == 3
        assert shown["usual"] is None
        assert "20 are needed" in shown["usual_why"]
        jump = (await dashboard.get("/api/calls", q=call_id))["jump"]
        assert jump["page"] == f"/calls/{call_id}"
        nowhere = (await dashboard.get("/api/calls", q="call_none"))["jump"]
        assert nowhere["page"] is None
        assert nowhere["why"].endswith(".")
        status, unknown = await dashboard.ask("GET", "/api/calls/call_none")
        assert (status, unknown["error"]["code"]) == (404, "unknown_call")


async def test_a_call_is_compared_with_those_of_its_tool_and_model(
    start_in_process: StartInProcess,
) -> None:
    async with (
        start_in_process() as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
        dashboard_of(daemon.operations) as dashboard,
    ):
        now = datetime.fromtimestamp(daemon.clock.wall(), UTC)
        rows = [
            call_row(f"call_{number}", now - timedelta(minutes=number + 1), latency_ms=100_000.0 + number)
            for number in range(40)
        ]
        others = [
            call_row(f"call_x{number}", now - timedelta(minutes=1), tool="analyze") for number in range(9)
        ]
        await write_calls(daemon.services.storage.database, [*rows, *others])
        result = await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
        shown = await dashboard.get(f"/api/calls/{result['_meta']['exai/report']['call_id']}")
        usual = shown["usual"]
        assert usual["calls"] == 40
        assert usual["stages"]["latency_ms"] == {"p50": 100_019.0, "p95": 100_037.0, "below": 0.0}
