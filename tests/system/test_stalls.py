"""Streams that fall silent, through the daemon: what counts as life, how long silence may last, what is told."""

from typing import Any, Literal

import pytest

from exai_emulator import Emulator, Fault, Persona
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole
from support.virtual_time import now

MODELS = {"glm": "glm-5.3", "kimi": "kimi-k3"}
IDLE_S = 8
SLACK_S = 1
"""By how much a silence may last longer."""

pytestmark = [pytest.mark.virtual_time, pytest.mark.parametrize("provider", MODELS)]


@pytest.fixture
def limits() -> dict[str, str]:
    """Little patience at ordinary effort, much at `max`, and no second request."""
    return {
        "EXAI_TIMEOUTS__FIRST_BYTE_S": str(IDLE_S),
        "EXAI_TIMEOUTS__IDLE_S": str(IDLE_S),
        "EXAI_TIMEOUTS__FIRST_BYTE_MAX_EFFORT_S": "60",
        "EXAI_TIMEOUTS__IDLE_MAX_EFFORT_S": "60",
        "EXAI_RETRY__MAX_RETRIES": "0",
    }


async def ask(socket: McpSocket, provider: str, *, effort: str = "low", heard: Any = None) -> dict[str, Any]:
    arguments = {"prompt": "Tell me.", "model": MODELS[provider], "effort": effort}
    return await socket.tool("chat", arguments, heard)


def code(result: dict[str, Any]) -> str | None:
    return result["_meta"]["exai/error"]["code"] if result["isError"] else None


async def test_a_stall_in_the_middle_leaves_the_half_answer_and_closes_the_connection(
    start_in_process: StartInProcess, emulator: Emulator, limits: dict[str, str], provider: str
) -> None:
    emulator.persona = Persona(kind="long", tokens=60, think_tokens=0)
    places: tuple[Literal["mid_body", "mid_frame"], ...] = ("mid_body", "mid_frame")
    for at in places:
        emulator.faults.add(provider, Fault(cut="stall", after_frames=20, at=at))
    async with start_in_process(**limits) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for heard in (list[Any](), None):
            result = await ask(socket, provider, heard=None if heard is None else heard.append)
            assert code(result) == "answer_broken"
            sentence, _, arrived = result["content"][0]["text"].partition("What had arrived:\n")
            assert "fell silent" in sentence
            assert "timeouts.idle_s" in sentence
            assert arrived.startswith(f"[emulated {MODELS[provider]}] ")
            if heard is not None:
                told = [each["_meta"]["exai/delta"] for each in heard if each["_meta"]["exai/kind"] == "text"]
                assert "".join(told) == arrived
            await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
            emulator.log.clear()
        assert code(await ask(socket, provider)) is None, "the next call is well"


async def test_silence_before_the_first_byte_is_a_timeout(
    start_in_process: StartInProcess, emulator: Emulator, limits: dict[str, str], provider: str
) -> None:
    for fault in (Fault(before_headers_ms=60_000), Fault(before_first_byte_ms=60_000)):
        emulator.faults.add(provider, fault)
    async with start_in_process(**limits) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for _ in range(2):
            began = now()
            result = await ask(socket, provider)
            assert now() - began == pytest.approx(IDLE_S + SLACK_S)
            assert code(result) == "provider_timeout"
            assert "timeouts.first_byte_s" in result["content"][0]["text"]


async def test_at_high_effort_the_same_silences_are_thinking(
    start_in_process: StartInProcess, emulator: Emulator, limits: dict[str, str], provider: str
) -> None:
    silence = Fault(before_first_byte_ms=2_000 * IDLE_S, cut="stall", after_frames=5, stall_ms=2_000 * IDLE_S)
    emulator.faults.add(provider, silence)
    emulator.faults.add(provider, silence)
    async with start_in_process(**limits) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        result = await ask(socket, provider, effort="max")
        assert code(result) is None
        assert whole(result)["timings"]["latency_ms"] == 4_000 * IDLE_S
        assert code(await ask(socket, provider, effort="low")) == "provider_timeout"


async def test_thinking_single_bytes_and_comments_are_life(
    start_in_process: StartInProcess, emulator: Emulator, limits: dict[str, str], provider: str
) -> None:
    async with start_in_process(**limits) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        # No word for thrice the limit, but a thought now and then.
        emulator.persona = Persona(
            kind="fixed", text="Yes.", think_tokens=12, delay_per_token_ms=250 * IDLE_S
        )
        thought = await ask(socket, provider)
        emulator.persona = Persona(kind="fixed", text="Yes.", think_tokens=1)
        # One byte at a time: no event is whole for longer than the limit.
        emulator.faults.add(provider, Fault(cut="trickle", after_frames=1, stall_ms=60))
        trickled = await ask(socket, provider)
        # Nothing but comments, as gateways send them while a model is being found.
        emulator.faults.add(provider, Fault(before_first_byte_ms=2_000 * IDLE_S, heartbeat_ms=250 * IDLE_S))
        commented = await ask(socket, provider)
    for result in (thought, trickled, commented):
        assert code(result) is None, result
        assert whole(result)["timings"]["latency_ms"] >= 2_000 * IDLE_S


async def test_the_end_of_the_calls_own_time_leaves_what_had_arrived(
    start_in_process: StartInProcess, emulator: Emulator, provider: str
) -> None:
    emulator.persona = Persona(kind="long", tokens=2_000, think_tokens=0, delay_per_token_ms=500)
    async with (
        start_in_process(EXAI_TIMEOUTS__CALL_S="30") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        began = now()
        result = await ask(socket, provider)
        assert now() - began == pytest.approx(30)
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
    assert code(result) == "deadline_exceeded"
    assert "`timeouts.call_s`" in result["content"][0]["text"]
    assert f"What had arrived:\n[emulated {MODELS[provider]}] " in result["content"][0]["text"]
