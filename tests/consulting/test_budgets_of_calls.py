"""Budgets of calls: every tool that has one takes the same, and asks nothing above it."""

from typing import Any

import pytest

from exai_emulator import Emulator
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket

ASKED: dict[str, dict[str, Any]] = {
    "chat": {"prompt": "Why?"},
    "think": {"problem": "Why?"},
    "debug": {"problem": "Why?"},
    "review": {},
    "analyze": {"question": "Why?"},
    "write": {"kind": "tests", "paths": ["a.py"]},
    "consensus": {"question": "Shall we?"},
    "challenge": {"statement": "It holds.", "independent": True},
    "plan": {"goal": "Reach it."},
}


async def test_a_budget_has_a_lower_and_an_upper_bound_everywhere(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as client:
        for tool, given in ASKED.items():
            for budget, expected in ((0, "> 0.0"), (-1, "> 0.0"), (10_001, "<= 10000.0"), ("much", "number")):
                result = await client.tool(tool, {**given, "budget_usd": budget})
                sentence = result["content"][0]["text"]
                assert result["isError"], (tool, budget)
                assert "'budget_usd'" in sentence, (tool, budget, sentence)
                assert expected in sentence or "Expected" in sentence, (tool, budget, sentence)
    assert emulator.log.requests == []


@pytest.mark.parametrize("tool", ["chat", "challenge", "plan"])
async def test_one_request_is_made_within_its_budget_and_bounded_by_it(
    start_in_process: StartInProcess, emulator: Emulator, tool: str
) -> None:
    given = {**ASKED[tool], "model": "kimi-k3"}
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as client:
        refused = await client.tool(tool, {**given, "budget_usd": 1e-7})
        assert refused["_meta"]["exai/error"]["code"] == "budget_too_small"
        assert emulator.log.requests == []
        await client.tool(tool, {**given, "budget_usd": 5})
    assert {each.body["max_completion_tokens"] for each in emulator.log.requests} == {8_000}


async def test_a_plan_is_previewed_where_a_model_would_draft_it(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as client:
        shown = await client.tool("plan", {"goal": "Reach it.", "dry_run": True})
        assert shown["structuredContent"]["answer"].startswith("Nothing was sent. It would be 1 request")
        assert "Reach it." in shown["content"][0]["text"]
        assert "plan_id" not in shown["structuredContent"]
        refused = await client.tool("plan", {"dry_run": True})
        assert "'dry_run'" in refused["content"][0]["text"]
        assert (await client.tool("plan"))["content"][0]["text"].startswith("You have no plan")
    assert emulator.log.requests == []
