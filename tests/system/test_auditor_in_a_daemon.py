"""The auditor in a daemon: its model is asked by its own caller, within its budget, and not at all by default."""

import asyncio
from typing import Any

import pytest

from exai.app.watching.auditor import AUDITOR
from exai.callers import Caller, Door
from exai.events.events import CallEnded, ObservationOpened
from exai.storage.auditor.observations import Observation, Seen
from exai_emulator import Emulator, Fault
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.mcp_websocket import mcp_socket

pytestmark = pytest.mark.virtual_time


async def observe(daemon: DaemonInProcess) -> None:
    """Have something observed."""
    seen = Seen("obs_1", "loop", "all", "warning", "performance", {"lag ms": 300}, "Look.", 0.0)
    storage, bus = daemon.services.storage, daemon.services.monitoring.bus
    kept = (await storage.observations.see(seen)).observation
    bus.publish(
        ObservationOpened(kept.observation_id, "loop", kept.subject, "warning", kept.numbers, "Look.")
    )


async def observed(daemon: DaemonInProcess) -> Observation:
    found = await daemon.services.storage.observations.get("obs_1")
    assert found is not None
    return found


async def test_a_model_explains_by_a_call_of_the_auditor(start_in_process: StartInProcess) -> None:
    ended: list[CallEnded] = []
    async with start_in_process(EXAI_AUDITOR__MODE="controlled") as daemon:
        daemon.services.monitoring.bus.watch(ended.append, CallEnded)
        await observe(daemon)
        await asyncio.sleep(140)
        spent = await daemon.services.storage.budgets.spent("auditor", 3_600)
    (call,) = ended
    assert (call.caller, call.outcome, call.model) == (AUDITOR, "ok", "kimi-k2.7-code-highspeed")
    assert spent.requests == 1


async def test_answers_that_their_provider_says_are_another_models_are_observed(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(echo_model="glm-4.5-air", times=3))
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for _ in range(3):
            await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
        await asyncio.sleep(15)
        (observation,) = await daemon.services.storage.observations.listing()
    assert (observation.detector, observation.subject) == ("other_model", "glm/glm-5.3")
    assert "glm-4.5-air" not in observation.numbers, "what a provider says is a text from outside"


async def test_more_than_the_budget_is_refused_before_anything_is_sent(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    question = {"prompt": "Why?", "model": "kimi-k2.7-code-highspeed"}
    async with start_in_process(
        EXAI_AUDITOR__MODE="controlled", EXAI_AUDITOR__REQUEST_USD="0.0001"
    ) as daemon:
        call = daemon.services.dispatcher.call
        answers = [
            await call("chat", {**question, "prompt": f"Why {number}?"}, caller=AUDITOR)
            for number in range(33)
        ]
        assert not (await call("chat", question, caller=Caller.local(Door.WEBSOCKET))).is_error, (
            "others are not bounded by it"
        )
    assert [answer.is_error for answer in answers] == [False] * 30 + [True] * 3
    assert len(emulator.log.of("kimi")) == 31
    assert "30 requests within 1 h (`auditor.mode`)" in answers[-1].text


async def test_by_default_no_model_is_asked(start_in_process: StartInProcess, emulator: Emulator) -> None:
    async with start_in_process() as daemon:
        await observe(daemon)
        await asyncio.sleep(140)
        refused = await daemon.services.dispatcher.call("chat", {"prompt": "Why?"}, caller=AUDITOR)
        assert (await observed(daemon)).explanation is None
    assert refused.is_error
    assert emulator.log.of("kimi") == []


async def test_the_tool_reports_and_judges(start_in_process: StartInProcess) -> None:
    async with start_in_process() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        await observe(daemon)
        listed = await socket.tool("auditor", {})
        judged = await socket.tool("auditor", {"id": "obs_1", "verdict": "noise", "acknowledge": True})
        mistakes: list[dict[str, Any]] = [
            {"id": "obs_2"},
            {"verdict": "noise"},
            {"end": True},
            {"planted": [{}]},
        ]
        wrong = [await socket.tool("auditor", arguments) for arguments in mistakes]
    report = listed["structuredContent"]
    assert (report["mode"], report["dropped"], report["model_requests"]) == ("watch", 0, 0)
    assert report["observations"][0]["numbers"] == {"lag ms": 300}
    assert "obs_1 warning open: loop of all" in listed["content"][0]["text"]
    (shown,) = judged["structuredContent"]["observations"]
    assert (shown["state"], shown["verdict"]) == ("acknowledged", "noise")
    assert {answer["_meta"]["exai/error"]["code"] for answer in wrong} == {"bad_arguments"}
