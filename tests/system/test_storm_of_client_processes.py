"""Clients that are processes, some of which are killed while they wait: permits and reservations all come back."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from exai_emulator import Emulator
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.daemons import clean_environ
from support.stdio_client import ForkedClient, forked
from support.tool_storm import MARKS, STORM_ENVIRON, left_behind, tasks_by_name
from support.waiting import wait_until

CLIENTS = 4
CALLS = 3
"""Of each client, at once."""
TOOLS: tuple[tuple[str, str], ...] = (("chat", "prompt"), ("think", "problem"), ("consensus", "question"))
ENDED = ("plain", "kimi is busy", "glm is busy", "failed once")
"""What is asked by a client that waits for its answers."""
GRACE = {"EXAI_SESSIONS__GRACE_S": "1"}
"""How long the session of a client that is gone may be taken up again; until then its calls go on."""


@pytest.mark.parametrize("seed", [1, 2])
async def test_whoever_is_killed_leaves_no_permit_and_no_reservation(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path, seed: int
) -> None:
    for rules in MARKS.values():
        for rule in rules:
            emulator.script.reply(rule)
    dice = random.Random(seed)
    async with start_in_process(**STORM_ENVIRON, **GRACE) as daemon:
        before = tasks_by_name()
        fates = [number % 2 == 0 for number in range(CLIENTS)]
        answered = await asyncio.gather(
            *(_client(daemon, emulator, tmp_path, dice, is_killed=is_killed) for is_killed in fates)
        )
        left = await left_behind(daemon.services, emulator.log, before)
    assert left == []
    assert sum(answered) == CALLS * fates.count(False)


async def _client(
    daemon: DaemonInProcess, emulator: Emulator, folder: Path, dice: random.Random, *, is_killed: bool
) -> int:
    """Make calls by a process; return how many were answered."""
    calls = [_call(number, dice, tuple(MARKS) if is_killed else ENDED) for number in range(1, CALLS + 1)]
    env = clean_environ(folder / "client", {})
    async with forked("exai.cli", "connect", daemon.mcp_ws, env=env, cwd=folder) as client:
        await client.shake_hands()
        asked = len(emulator.log.requests)
        for call in calls:
            await client.send(call)
        if is_killed:
            await wait_until(lambda: len(emulator.log.requests) > asked, what="something is asked")
            client.process.kill()
            await client.ended()
            return 0
        return await _answers(client, {call["id"] for call in calls})


async def _answers(client: ForkedClient, waiting: set[int]) -> int:
    count = 0
    while waiting:
        message = json.loads(await client.stdout.readline())
        if message.get("id") in waiting:
            assert "result" in message, message
            waiting.remove(message["id"])
            count += 1
    return count


def _call(number: int, dice: random.Random, marks: tuple[str, ...]) -> dict[str, Any]:
    tool, question = dice.choice(TOOLS)
    arguments = {question: f"[{dice.choice(marks)}] Shall we do number {dice.randrange(10**6)}?"}
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
