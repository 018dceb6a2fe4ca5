"""What a call cost, through the daemon: in the answer, in the journal, in the metrics."""

import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exai_emulator import Emulator, Fault
from support.daemons import Daemon, StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole

TEXT = "Some words that a provider may well keep in its cache. " * 40


async def chat(socket: McpSocket, model: str, **more: Any) -> dict[str, Any]:
    result = await socket.tool("chat", {"prompt": TEXT, "model": model, **more})
    assert not result["isError"], result
    return whole(result)


async def metric(daemon: Daemon, name: str, model: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{daemon.operations}/metrics") as page:
        lines = (await page.text()).splitlines()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in lines
        if line.startswith(name) and f'model="{model}"' in line
    )


def journalled(folder: Path) -> list[float | None]:
    with sqlite3.connect(folder / "data" / "exai.sqlite") as database:
        return [row[0] for row in database.execute("SELECT cost_usd FROM calls ORDER BY began_at")]


@pytest.mark.parametrize(
    ("model", "prices"), [("glm-5.3", (1.40, 0.26, 4.40)), ("kimi-k3", (3.00, 0.30, 15.00))]
)
async def test_tokens_are_priced_apart_and_the_sum_is_everywhere(
    start_daemon: StartDaemon, tmp_path: Path, model: str, prices: tuple[float, float, float]
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        first = await chat(socket, model)
        second = await chat(socket, model, continuation_id=first["continuation_id"])
        total = await metric(daemon, "exai_cost_usd_total", model)
    usage = second["usage"]
    assert usage["cached"] > 100
    assert usage["reasoning"] > 0
    fresh, cached, output = prices
    assert second["cost"] == pytest.approx(
        {
            "input": (usage["input"] - usage["cached"]) * fresh / 1e6,
            "cached_input": usage["cached"] * cached / 1e6,
            "output": usage["output"] * output / 1e6,
        },
        abs=1e-9,
    )
    assert second["cost_usd"] == pytest.approx(sum(second["cost"].values()), abs=1e-8)
    costs = [first["cost_usd"], second["cost_usd"]]
    assert journalled(tmp_path) == costs
    assert total == pytest.approx(sum(costs))


async def test_what_is_not_known_is_not_zero_and_what_is_free_is(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        unpriced = await chat(socket, "glm-5.3-flashx")
        emulator.faults.add("glm", Fault(usage="none"))
        uncounted = await chat(socket, "glm-5.3")
        free = await chat(socket, "glm-4.7-flash")
        without_price = [
            await metric(daemon, "exai_requests_without_price_total", model)
            for model in ("glm-5.3-flashx", "glm-5.3", "glm-4.7-flash")
        ]
    assert unpriced["cost_usd"] is None
    assert "glm-5.3-flashx" in unpriced["cost"]["unknown"][0]
    assert uncounted["cost_usd"] is None
    assert "did not report" in uncounted["cost"]["unknown"][0]
    assert free["cost_usd"] == 0
    assert "unknown" not in free["cost"]
    assert journalled(tmp_path) == [None, None, 0]
    assert without_price == [1, 1, 0]


async def test_a_retried_call_costs_what_was_counted(start_daemon: StartDaemon, emulator: Emulator) -> None:
    emulator.faults.add("kimi", Fault(error="server_error"))
    async with (
        start_daemon(EXAI_RETRY__TRANSPORT_BACKOFF_S="0.01") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        answer = await chat(socket, "kimi-k3")
    assert len(emulator.log.requests) == 2
    usage = answer["usage"]
    cached = usage["cached"] or 0
    expected = ((usage["input"] - cached) * 3 + cached * 0.3 + usage["output"] * 15) / 1e6
    assert answer["cost_usd"] == pytest.approx(expected, abs=1e-8)
