"""A daemon that is killed inside a call of a workflow: the next one goes on with it, with and without its key."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from exai_emulator import Emulator, Fault
from support.daemons import StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket

PROBLEM = {"problem": "Shall we shard?", "model": "glm-5.3"}
KEY = "the key"


async def think(client: McpSocket, key: str | None) -> dict[str, Any]:
    meta = {} if key is None else {"exai/idempotency-key": key}
    answer = await client.request("tools/call", {"name": "think", "arguments": PROBLEM, "_meta": meta})
    return dict(answer["result"])


def requests(emulator: Emulator) -> Counter[str]:
    """How often each request came, the same one under the same words."""
    return Counter(
        str(record.body["messages"]) for record in emulator.log.of("glm") + emulator.log.of("kimi")
    )


@pytest.mark.parametrize("first", [KEY, None], ids=["under its key", "without it first"])
async def test_the_same_call_has_the_answer_and_asks_nothing_twice_that_had_ended(
    start_daemon: StartDaemon, emulator: Emulator, first: str | None
) -> None:
    emulator.faults.add("kimi", Fault(before_first_byte_ms=60_000))
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as client:
        asking = asyncio.get_running_loop().create_task(think(client, KEY))
        await emulator.log.wait_for(lambda record: record.provider == "kimi" and record.outcome == "open")
        daemon.kill()
        await daemon.ended()
        with suppress(Exception):
            await asking
    emulator.faults.clear()
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as client:
        answers = [await think(client, key) for key in (first, KEY)]
    assert [answer.get("isError", False) for answer in answers] == [False, False], answers
    one, other = (answer["structuredContent"]["answer"] for answer in answers)
    assert one == other
    assert [stage["asked"] for stage in answers[1]["_meta"]["exai/report"]["stages"]] == [1, 2, 1]
    assert sorted(requests(emulator).values()) == [1, 1, 2]
