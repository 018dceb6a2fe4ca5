"""`plan`, over a real door."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from exai_emulator import Emulator, Persona
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole

DRAFT: list[dict[str, Any]] = [
    {"title": "Find where the pool is filled", "accept": "`grep -n fill src/pool.py` prints it."},
    {"title": "Close it on failure", "accept": "test_pool_closes passes.", "parent": 1},
]


@pytest.fixture
async def client(start_in_process: StartInProcess) -> AsyncIterator[McpSocket]:
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        yield socket


async def plan(client: McpSocket, name: str = "plan", **arguments: Any) -> dict[str, Any]:
    result = await client.tool(name, arguments)
    assert not result["isError"], result
    return {**whole(result), "text": result["content"][0]["text"]}


async def refusal(client: McpSocket, name: str = "plan", **arguments: Any) -> str:
    result = await client.tool(name, arguments)
    assert result["isError"], result
    return str(result["content"][0]["text"])


async def test_a_model_drafts_it_and_the_agent_ticks_it_off(client: McpSocket, emulator: Emulator) -> None:
    emulator.persona = Persona("fixed", text=json.dumps({"items": DRAFT}))
    made = await plan(client, goal="Stop the leak", model="kimi-k3")
    assert made["model_used"] == "kimi-k3"
    assert made["cost_usd"] is not None
    assert made["items"] == [{"item": number, **item} for number, item in enumerate(DRAFT, 1)]
    assert made["text"].startswith(
        f"[plan_id: {made['plan_id']} | revision 1 | 0 of 2 done | drafted by kimi-k3]"
    )
    assert "  2. [todo] Close it on failure\n     done when: test_pool_closes passes." in made["text"]
    spoken = await client.tool("chat", {"prompt": "Why?", "continuation_id": made["continuation_id"]})
    assert not spoken["isError"]

    asked = len(emulator.log.requests)
    ticked = await plan(
        client, plan_id=made["plan_id"], update=[{"item": 1, "state": "done", "note": "l. 41"}]
    )
    assert (ticked["revision"], ticked["items"][0]["state"]) == (2, "done")
    assert "1 of 2 done" in ticked["text"]
    late = await plan(client, plan_id=made["plan_id"], revision=1, update=[{"item": 2, "state": "done"}])
    assert late["notes"][0].startswith("Nothing was changed: somebody else changed the plan meanwhile.")
    assert late["items"] == ticked["items"]
    shown = await plan(client, plan_id=made["plan_id"])
    assert shown["items"] == ticked["items"]
    (listed,) = (await plan(client))["plans"]
    assert (listed["plan_id"], listed["goal"]) == (made["plan_id"], "Stop the leak")
    assert len(emulator.log.requests) == asked, "none of this asks a model"


async def test_a_draft_that_is_no_plan_is_kept_as_nothing(client: McpSocket, emulator: Emulator) -> None:
    emulator.persona = Persona("fixed", text=json.dumps({"items": []}))
    assert "answered with no plan" in await refusal(client, goal="Stop the leak", model="kimi-k3")
    assert (await plan(client))["text"] == "You have no plan. Give a goal to make one."


async def test_an_agent_makes_one_step_by_step_under_the_older_name(
    client: McpSocket, emulator: Emulator
) -> None:
    first = await plan(client, "planner", step="Stop the leak", step_number=1, total_steps=3)
    handle = first["plan_id"]
    assert first["next_call"]["plan_id"] == handle
    assert f'Next: plan {{"plan_id":"{handle}"' in first["text"]
    second = await plan(
        client, "planner", continuation_id=handle, step="Close it", step_number=2, total_steps=3
    )
    assert second["next_call"]["step_number"] == 3
    third = await plan(
        client,
        "planner",
        continuation_id=handle,
        step="Count the open ones",
        step_number=3,
        next_step_required=False,
        is_branch_point=True,
        branch_from_step=2,
        branch_id="count",
    )
    assert "next_call" not in third
    assert third["goal"] == "Stop the leak"
    assert "  2. [todo] Count the open ones (branch count)" in third["text"]
    assert "no item 9" in await refusal(client, plan_id=handle, update=[{"item": 9, "state": "done"}])
    assert emulator.log.requests == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"plan_id": "plan_x"}, "There is no plan with this plan_id"),
        ({"update": [{"item": 1}]}, "Give its plan_id too"),
        ({"plan_id": "plan_x", "goal": "Stop the leak"}, "not both"),
        ({"plan_id": "plan_x", "update": [{"item": 1, "state": "finished"}]}, "update[0]"),
        (
            {"plan_id": "plan_x", "update": [{"item": 1, "status": "done"}]},
            "A change has: item, state, title,",
        ),
        ({"step": "Build"}, "'step_number': say which step"),
        ({"step_number": 1}, "'step': say what"),
        ({"step": "Build", "step_number": 2}, "begins with step 1"),
        ({"step": "Build", "step_number": 2, "is_step_revision": True}, "'revises_step_number'"),
        ({"step": "Build", "step_number": 2, "is_branch_point": True}, "'branch_from_step'"),
        ({"step": "Build", "step_number": 2, "branch_from_step": 1}, "'branch_id'"),
    ],
)
async def test_bad_input_names_the_argument(
    client: McpSocket, arguments: dict[str, Any], sentence: str
) -> None:
    assert sentence in await refusal(client, **arguments)
