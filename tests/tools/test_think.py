"""`think`, over a real door."""

from pathlib import Path
from typing import Any

import pytest

from exai.workflows import definitions
from exai_emulator import Emulator, Fault, Persona
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket
from support.results import whole


async def test_it_asks_both_families_and_says_so(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as client:
        result = await client.tool(
            "think", {"problem": "Shall we shard?", "focus": "cost", "model": "glm-5.3"}
        )
        assert not result["isError"], result
        thought = whole(result)
        assert thought["model_used"] == "glm-5.3, kimi-k3"
        assert [stage["stage"] for stage in thought["stages"]] == ["answer", "against", "remains"]
        assert (thought["expert"]["ran"], thought["expert"]["model"]) == (True, "kimi-k3")
        assert thought["cost_usd"] == pytest.approx(sum(stage["cost_usd"] for stage in thought["stages"]))
        text = result["content"][0]["text"]
        assert text.startswith(f"[continuation_id: {thought['continuation_id']} | glm-5.3, kimi-k3]\n\n")
        assert "## The strongest case against it (kimi-k3)" in text
        assert "Look at this above all: cost" in emulator.log.requests[0].body["messages"][-1]["content"]
        chatted = await client.tool("chat", {"prompt": "Why?", "continuation_id": thought["continuation_id"]})
        assert not chatted["isError"]
        blank = await client.tool("think", {"problem": " "})
        assert blank["isError"]


async def test_what_the_other_family_cannot_be_asked_for_is_told_and_asked_for_later(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    question: dict[str, Any] = {"problem": "Shall we shard?", "model": "glm-5.3", "fallback_models": []}
    emulator.faults.add("kimi", Fault(error="quota", times=None))
    async with start_in_process(EXAI_RETRY__MAX_RETRIES="0") as daemon, mcp_socket(daemon.mcp_ws) as client:
        part = whole(await client.tool("think", question))
        assert part["partial"]
        assert "could not be finished (quota_exhausted)" in part["notes"][-1]
        assert part["notes"][0].startswith("No other family was asked.")
        declined = whole(await client.tool("think", {**question, "use_assistant_model": False}))
        assert "You declined it" in declined["notes"][0]


async def test_an_operator_decides_by_a_definition_that_nobody_else_is_asked(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    bundled = Path(definitions.__file__).parent / "bundled"
    text = (bundled / "think.toml").read_text(encoding="utf-8")
    (tmp_path / "think.toml").write_text(text.replace('policy = "auto"', 'policy = "never"'))
    (tmp_path / "think.md").write_bytes((bundled / "think.md").read_bytes())
    async with (
        start_in_process(EXAI_WORKFLOWS__FOLDER=str(tmp_path)) as daemon,
        mcp_socket(daemon.mcp_ws) as client,
    ):
        thought = whole(await client.tool("think", {"problem": "Shall we?", "use_assistant_model": True}))
        assert "asks nobody else" in thought["expert"]["why"]
        assert len(emulator.log.requests) == 1


async def test_above_a_price_nothing_is_asked_before_the_call_brings_a_budget(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    question: dict[str, Any] = {"problem": "Shall we shard?", "focus": ["cost"], "model": "glm-5.3"}
    async with (
        start_in_process(EXAI_WORKFLOWS__CONFIRM_ABOVE_USD="0.0001") as daemon,
        mcp_socket(daemon.mcp_ws) as client,
    ):
        result = await client.tool("think", question)
        asked = result["structuredContent"]
        assert not result["isError"]
        budget = asked["next_call"]["budget_usd"]
        assert asked["next_call"] == {**question, "budget_usd": budget}
        assert asked["answer"].startswith("Nothing was asked: this call is estimated at about $")
        assert f"budget_usd={budget}" in asked["answer"]
        assert "\nNext: {" in f"\n{result['content'][0]['text']}"
        long = whole(await client.tool("think", {**question, "problem": "Why? " * 1_000}))
        assert list(long["next_call"]) == ["budget_usd"], "a long call is not written out"

        step = {"step": "Shall we shard?", "step_number": 1, "next_step_required": False, "model": "glm-5.3"}
        assert "Argument 'fork'" in str(await client.tool("think", {**step, "fork": True}))
        guided = whole(await client.tool("think", step))
        assert guided["next_call"]["continuation_id"] == guided["continuation_id"]
        assert not emulator.log.requests

        thought = whole(await client.tool("think", asked["next_call"]))
        assert (thought["model_used"], thought["partial"]) == ("glm-5.3, kimi-k3", False)
        concluded = whole(await client.tool("think", guided["next_call"]))
        assert (concluded["model_used"], concluded["partial"]) == ("glm-5.3, kimi-k3", False)
        assert concluded["continuation_id"] == guided["continuation_id"]


async def test_below_that_price_it_is_done_at_once(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    async with (
        start_in_process(EXAI_WORKFLOWS__CONFIRM_ABOVE_USD="100") as daemon,
        mcp_socket(daemon.mcp_ws) as client,
    ):
        assert whole(await client.tool("think", {"problem": "Shall we shard?"}))["model_used"]
        assert len(emulator.log.requests) == 3


async def test_places_in_its_prose_are_compared_with_the_files_and_marked_where_they_are_not_found(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    file = tmp_path / "pool.py"
    file.write_text("class Pool:\n    def take(self):\n        return self.free.pop()\n")
    emulator.persona = Persona(
        "fixed", text="`take` pops at E1:3. `close` leaks at pool.py:2. See other.py:7."
    )
    async with (
        start_in_process(EXAI_FILES__ROOTS=f'["{tmp_path}"]') as daemon,
        mcp_socket(daemon.mcp_ws) as client,
    ):
        thought = whole(
            await client.tool("think", {"problem": "Does it leak?", "absolute_file_paths": [str(file)]})
        )
        marked = "`take` pops at E1:3. `close` leaks at pool.py:2 (unverified). See other.py:7 (unverified)."
        assert thought["answer"].count(marked) == 3, thought["answer"]
        assert thought["citations"] == {"plausible": 3, "unverified": 3, "unknown_file": 3}
        assert marked in emulator.log.requests[1].body["messages"][-1]["content"], (
            "whoever refutes sees the marks"
        )
