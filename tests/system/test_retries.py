"""Retries, over real sockets: what the provider is asked again, when, and what the caller is told."""

import asyncio
import itertools
import sqlite3
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exai_emulator import Emulator, Fault, Persona
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.mcp_websocket import mcp_socket
from support.results import whole
from support.virtual_time import now

pytestmark = pytest.mark.virtual_time


async def chat(
    daemon: DaemonInProcess, model: str, *, heard: list[Any] | None = None, **more: Any
) -> dict[str, Any]:
    async with mcp_socket(daemon.mcp_ws) as socket:
        listener = None if heard is None else heard.append
        return await socket.tool("chat", {"prompt": "Hello.", "model": model, **more}, listener)


def facts(result: dict[str, Any]) -> dict[str, Any]:
    assert result["isError"], result
    return dict(result["_meta"]["exai/error"])


PASSING = [
    # First, while no connection is kept: one that breaks when it is used again is replaced without a retry.
    ("glm-5.3", Fault(cut="reset", at="before_headers", times=2)),
    ("glm-5.3", Fault(error="1302", times=2)),
    ("glm-5.3", Fault(error="1305", times=2)),
    ("glm-5.3", Fault(error="500", times=2)),
    ("glm-5.3", Fault(finish_reason="network_error", content="empty", times=2)),
    ("kimi-k3", Fault(error="overloaded", times=2)),
    ("kimi-k3", Fault(error="rate_limit_no_header", times=2)),
    ("kimi-k3", Fault(error="server_unavailable", times=2)),
    ("kimi-k3", Fault(error="empty_502", times=2)),
    ("kimi-k3", Fault(error="gateway_timeout", times=2)),
]


async def test_what_passes_is_asked_again_until_it_is_answered(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.persona = Persona(think_tokens=0)
    async with start_in_process(EXAI_RETRY__BUDGET_RESERVE="100", EXAI_BREAKER__FAILURE_SHARE="1") as daemon:
        for model, fault in PASSING:
            await _answers_the_third_time(daemon, emulator, model, fault)


async def _answers_the_third_time(
    daemon: DaemonInProcess, emulator: Emulator, model: str, fault: Fault
) -> None:
    provider = model.partition("-")[0]
    emulator.log.clear()
    emulator.faults.add(provider, fault)
    heard: list[Any] = []
    result = await chat(daemon, model, heard=heard)
    assert not result["isError"], (fault, result)
    answer = whole(result)
    assert answer["answer"] == f"[emulated {model}] Hello."
    assert answer["tried"] == [{"model": model, "provider": provider, "outcome": "ok", "requests": 3}], fault
    asked = emulator.log.of(provider)
    assert [record.outcome for record in asked] == ["fault", "fault", "complete"], fault
    assert len({str(record.body["messages"]) for record in asked}) == 1
    told = [each["message"] for each in heard if each["_meta"]["exai/kind"] == "status"]
    assert any("asking again in" in message and model in message for message in told), fault
    timings = answer["timings"]
    first, *_, last = asked
    assert timings["failed_requests_ms"] == 0, "the emulator answers at once"
    assert timings["backoff_ms"] == pytest.approx((last.started - first.started) * 1_000, abs=0.01)
    latency = timings.pop("latency_ms")
    assert sum(timings.values()) == pytest.approx(latency, abs=0.01)


LASTING = [
    ("glm-5.3", "1113", "quota_exhausted"),
    ("glm-5.3", "1308", "quota_exhausted"),
    ("glm-5.3", "1211", "provider_denied"),
    ("glm-5.3", "1214", "provider_refused"),
    ("glm-5.3", "1261", "context_overflow"),
    ("glm-5.3", "1301", "content_filtered"),
    ("glm-5.3", "1000", "provider_unauthorized"),
    ("kimi-k3", "quota", "quota_exhausted"),
    ("kimi-k3", "rate_limit_tpd", "quota_exhausted"),
    ("kimi-k3", "invalid_request", "provider_refused"),
    ("kimi-k3", "token_limit", "context_overflow"),
    ("kimi-k3", "content_filter", "content_filtered"),
    ("kimi-k3", "incorrect_api_key", "provider_unauthorized"),
]


async def test_what_does_not_pass_by_itself_is_asked_once(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    async with start_in_process(EXAI_BREAKER__MAX_OPEN_S="0.001") as daemon:
        for model, error, code in LASTING:
            provider = model.partition("-")[0]
            emulator.log.clear()
            emulator.faults.clear()
            emulator.faults.add(provider, Fault(error=error, times=None))
            refused = facts(await chat(daemon, model))
            assert refused["code"] == code
            await asyncio.sleep(1)  # by then the breaker is closed again
            assert refused["tried"] == [
                {"model": model, "provider": provider, "outcome": code, "requests": 1}
            ]
            assert len(emulator.log.of(provider)) == 1, error


async def test_a_providers_own_wait_is_kept_and_an_absurd_one_is_told_instead(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("kimi", Fault(error="rate_limit_rpm", times=2))
    async with start_in_process() as daemon:
        answered = await chat(daemon, "kimi-k3")
        emulator.faults.add("kimi", Fault(error="rate_limit_absurd"))
        refused = await chat(daemon, "kimi-k3")
    assert not answered["isError"]
    asked = emulator.log.of("kimi")
    gaps = [later.started - earlier.started for earlier, later in itertools.pairwise(asked[:3])]
    for gap, longest_backoff_s in zip(gaps, (1, 2), strict=True):
        assert 1 <= gap <= 1 + longest_backoff_s, "what the provider asks for, and jitter upon it"
    assert len(asked) == 4
    told = facts(refused)
    assert told["code"] == "provider_throttled"
    assert told["retry_after_s"] > 60
    assert "asks to wait" in told["message"]


async def test_a_half_delivered_answer_is_never_asked_for_again(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=50)
    heard: list[Any] = []
    async with start_in_process() as daemon:
        for follow in (heard, None):
            emulator.faults.add("glm", Fault(cut="close", after_frames=30))
            broken = await chat(daemon, "glm-5.3", heard=follow, fallback_models=["kimi-k3"])
            assert facts(broken)["code"] == "answer_broken"
            assert "What had arrived:\n[emulated glm-5.3]" in broken["content"][0]["text"]
    assert len(emulator.log.of("glm")) == 2
    assert emulator.log.of("kimi") == []


async def test_no_wait_goes_beyond_the_time_of_the_call(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("kimi", Fault(error="rate_limit_rpm", times=None, headers={"Retry-After": "30"}))
    async with start_in_process(EXAI_TIMEOUTS__CALL_S="20") as daemon:
        began = now()
        refused = facts(await chat(daemon, "kimi-k3"))
        assert now() == began
    assert (refused["code"], refused["retry_after_s"]) == ("provider_throttled", 30)
    assert len(emulator.log.of("kimi")) == 1


async def test_waiting_holds_no_permit(start_in_process: StartInProcess, emulator: Emulator) -> None:
    """One permit for the model: a call that waits for its retry lets the next one in."""
    emulator.faults.add("kimi", Fault(error="rate_limit_rpm", headers={"Retry-After": "30"}))
    async with (
        start_in_process(EXAI_ADMISSION__MODEL_LIMIT="1") as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        waits = asyncio.Event()

        def listen(progress: dict[str, Any]) -> None:
            if "asking again in" in progress["message"]:
                waits.set()

        number, _ = await socket.begin_tool("chat", {"prompt": "One.", "model": "kimi-k3"}, listen)
        await waits.wait()
        began = now()
        second = await socket.tool("chat", {"prompt": "Two.", "model": "kimi-k3"})
        assert now() == began
        assert whole(second)["answer"].endswith("Two.")
        await socket.cancel(number)


async def test_the_journal_and_the_metrics_count_requests_and_waits(
    start_in_process: StartInProcess, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add("glm", Fault(error="1305", times=1))
    async with start_in_process() as daemon:
        answer = whole(await chat(daemon, "glm-5.3"))
        page = await metrics(daemon)
    with sqlite3.connect(tmp_path / "data" / "exai.sqlite") as database:
        (row,) = database.execute("SELECT requests, failed_requests_ms, backoff_ms FROM calls")
    timings = answer["timings"]
    assert row == (2, timings["failed_requests_ms"], timings["backoff_ms"])
    labels = 'cause="provider_overloaded",model="glm-5.3",provider="glm"'
    assert f"exai_retries_total{{{labels}}} 1.0" in page


async def metrics(daemon: DaemonInProcess) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.operations}/metrics") as response:
        return await response.text()
