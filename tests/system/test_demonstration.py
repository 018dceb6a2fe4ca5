"""A demonstration: what it answers is told from what costs money, wherever it is counted."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp

from exai.config.demo import demo_data_dir
from exai_emulator import Emulator
from support.daemons import daemon
from support.mcp_websocket import mcp_socket
from support.results import whole
from support.waiting import wait_until


async def fetched(url: str) -> str:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        assert answer.status == 200
        return await answer.text()


def counted(exposition: str, metric: str) -> set[str]:
    """The labels under which a metric has been counted."""
    return {
        line.partition("{")[2].partition("}")[0]
        for line in exposition.splitlines()
        if line.startswith(f"{metric}{{")
    }


def marks(folder: Path) -> list[tuple[str, int]]:
    database = sqlite3.connect(folder / "exai.sqlite")
    try:
        return database.execute("SELECT provider, emulated FROM requests ORDER BY provider").fetchall()
    finally:
        database.close()


async def test_what_the_emulator_answered_is_marked_and_a_custom_row_is_not(
    tmp_path: Path, emulator: Emulator
) -> None:
    folder = tmp_path / "data"
    own = {
        "EXAI_PROVIDERS__CUSTOM__MINE__BASE_URL": emulator.addresses.custom,
        "EXAI_PROVIDERS__CUSTOM__MINE__API_KEY": emulator.addresses.custom_key,
        "EXAI_PROVIDERS__CUSTOM__MINE__MODELS": json.dumps(
            [{"name": "mine", "input_price": 1, "output_price": 1}]
        ),
    }
    async with daemon(data_dir=folder, arguments=["--demo"], environ=own) as demo:
        async with mcp_socket(demo.mcp_ws) as client:
            emulated = whole(await client.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"}))
            real = whole(await client.tool("chat", {"prompt": "Hello.", "model": "mine"}))
            judging = {"statement": "Herons fly.", "independent": True, "model": "glm-5.3"}
            judged = await client.tool("challenge", judging)
            await wait_until(lambda: len(marks(demo_data_dir(folder))) == 3, what="the rows are committed")
            about = await client.tool("status", {"id": emulated["call_id"]})
            usage = await client.tool("status", {"section": "usage"})
        metrics = await fetched(f"{demo.operations}/metrics")
        overview: dict[str, Any] = json.loads(await fetched(f"{demo.operations}/api/overview"))
        reported = json.loads(await fetched(f"{demo.operations}/api/usage"))["usage"]
        log = demo.log
    assert (emulated["emulated"], "emulated" in real) == (True, False)
    assert marks(demo_data_dir(folder)) == [("glm", 1), ("glm", 1), ("mine", 0)]
    assert "This is a demonstration" in judged["structuredContent"]["notes"][0]
    assert "This is a demonstration" not in emulated["answer"] + "".join(emulated["notes"])
    assert "nothing was charged" in about["content"][0]["text"]
    assert usage["content"][0]["text"].count("nothing was charged") == 1
    assert {(row["model"], row["emulated"]) for row in reported} == {("glm-5.3", True), ("mine/mine", False)}
    for metric in ("exai_cost_usd_total", "exai_tokens_total"):
        assert all('provider="mine"' in labels for labels in counted(metrics, metric)), metric
        assert counted(metrics, metric)
    for metric in ("exai_emulated_cost_usd_total", "exai_emulated_tokens_total"):
        assert all('provider="glm"' in labels for labels in counted(metrics, metric)), metric
        assert counted(metrics, metric)
    assert overview["service"]["demo"] is True
    ended = [line for line in log.splitlines() if "call ended" in line]
    assert len(ended) == 3
    assert "exai token create" not in log
    assert str(demo_data_dir(folder)) in log
    assert "mine as ever" in log
