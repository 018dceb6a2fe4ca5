"""Runs that cannot be gone on with, and votes that are none, over a real door: which error, in which words."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from exai.storage.workflows.runs import WorkflowTables
from exai_emulator import Emulator, Fault, Persona, ReplyRule
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket
from support.virtual_time import LoopClock, now

pytestmark = pytest.mark.virtual_time

DAY_S = 86_400


@dataclass(frozen=True)
class Opened:
    daemon: DaemonInProcess
    client: McpSocket


@pytest.fixture
async def opened(start_in_process: StartInProcess) -> AsyncIterator[Opened]:
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as client:
        yield Opened(daemon, client)


def step(number: int, **further: Any) -> dict[str, Any]:
    said = {"step": f"Look {number}.", "step_number": number, "total_steps": 3, "next_step_required": True}
    return {**said, **further}


def refused(result: dict[str, Any]) -> tuple[str, str]:
    """Code and sentence of an error."""
    assert result["isError"], result
    return result["_meta"]["exai/error"]["code"], result["content"][0]["text"]


async def test_a_run_at_work_refuses_another_step_with_its_stage(opened: Opened, emulator: Emulator) -> None:
    client = opened.client
    begun = await client.tool("think", step(1))
    handle = begun["structuredContent"]["continuation_id"]
    emulator.persona = Persona("auto", first_byte_delay_ms=20_000)
    last = step(2, next_step_required=False, continuation_id=handle)
    _, concluding = await client.begin_tool("think", last)
    await emulator.log.wait_for(lambda record: record.outcome == "open")
    code, sentence = refused(await client.tool("think", step(3, continuation_id=handle)))
    assert code == "run_busy"
    assert sentence.startswith("Another call works at this run")
    assert "Ask again when that one has ended." in sentence
    answered = (await concluding)["result"]
    assert not answered["isError"], "the step that was refused took nothing from the one at work"
    assert len(emulator.log.requests) == 3


async def test_the_same_call_twice_at_once_is_one_run(opened: Opened, emulator: Emulator) -> None:
    emulator.persona = Persona("auto", first_byte_delay_ms=5_000)
    pair = [await opened.client.begin_tool("think", {"problem": "Shall we shard?"}) for _ in range(2)]
    first, second = [(await future)["result"]["structuredContent"] for _, future in pair]
    assert first["answer"] == second["answer"]
    assert first["continuation_id"] == second["continuation_id"]
    assert len(emulator.log.requests) == 3
    assert now() < 60, "the second waited for the first, and no longer"


async def test_an_expired_run_is_answered_as_one_that_never_was(opened: Opened) -> None:
    client, services = opened.client, opened.daemon.services
    begun = await client.tool("think", step(1))
    handle = begun["structuredContent"]["continuation_id"]
    clock = LoopClock(services.clock.wall() + 2 * DAY_S)
    removed = await WorkflowTables(services.storage.database, clock).prune(keep_days=1)
    assert removed == 1
    expired = refused(await client.tool("think", step(2, continuation_id=handle)))
    unknown = refused(await client.tool("think", step(2, continuation_id="conv_of_nobody")))
    assert expired == unknown
    assert expired[0] == "unknown_run"


async def test_a_model_that_fails_is_an_entry_and_one_vote_is_no_consensus(
    opened: Opened, emulator: Emulator
) -> None:
    emulator.script.reply(ReplyRule("Shall we", fault=Fault(error="1113"), provider="glm"))
    question = {"question": "Shall we shard?", "rebuttal": False}
    models = ["glm-5.3", "kimi-k3", "kimi-k2.6"]
    result = await opened.client.tool("consensus", {**question, "models": models})
    voted = result["structuredContent"]
    assert [vote["model"] for vote in voted["votes"]] == ["kimi-k3", "kimi-k2.6"]
    assert [(each["model"], each["code"]) for each in voted["without_vote"]] == [
        ("glm-5.3", "quota_exhausted")
    ]
    code, sentence = refused(await opened.client.tool("consensus", {**question, "models": models[:2]}))
    assert code == "consensus_incomplete"
    assert "1 of 2 models voted" in sentence
    assert "quota_exhausted" in sentence
    assert "kimi-k3" in sentence, "what there is is in the text"
