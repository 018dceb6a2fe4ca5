"""Circuit breakers through the daemon: what a failing provider still sees, who is told, and how it heals."""

import asyncio
import itertools
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import aiohttp
import pytest

from exai_emulator import Emulator, Fault, Persona
from exai_emulator.log import RequestRecord
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole
from support.virtual_time import now

pytestmark = pytest.mark.virtual_time

OPEN_S = 3
ONE_TRY = {"EXAI_RETRY__MAX_RETRIES": "0"}


async def ask(socket: McpSocket, model: str, **more: Any) -> str:
    """The code of the error; `ok` for an answer."""
    result = await socket.tool("chat", {"prompt": "Hello.", "model": model, **more})
    return str(result["_meta"]["exai/error"]["code"]) if result["isError"] else "ok"


async def breaker_of(socket: McpSocket, model: str) -> dict[str, Any]:
    listed = whole(await socket.tool("models"))["providers"]
    models = {each["name"]: each for provider in listed for each in provider["models"]}
    return dict(models[model]["breaker"])


async def metrics(daemon: DaemonInProcess) -> dict[str, float]:
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.operations}/metrics") as response:
        lines = (await response.text()).splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


async def test_a_model_that_fails_is_spared_told_of_and_taken_back_by_itself(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(error="1305", times=None))
    labels = '{model="glm-5.3",provider="glm"}'
    async with (
        start_in_process(**ONE_TRY, EXAI_BREAKER__OPEN_S=str(OPEN_S)) as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        assert await breaker_of(socket, "glm-5.3") == {"state": "closed"}
        codes = [await ask(socket, "glm-5.3") for _ in range(8)]
        assert codes == ["provider_overloaded"] * 5 + ["circuit_open"] * 3
        assert len(emulator.log.of("glm")) == 5

        refused = await socket.tool("chat", {"prompt": "Hello.", "model": "glm-5.3"})
        facts = refused["_meta"]["exai/error"]
        assert 0 < facts["retry_after_s"] <= 1.1 * OPEN_S
        assert facts["tried"][0]["requests"] == 0
        told = await breaker_of(socket, "glm-5.3")
        assert (told["state"], told["cause"]) == ("open", "provider_overloaded")
        status = whole(await socket.tool("status", {"section": "providers"}))["providers"]
        assert [each["model"] for each in status[0]["open_breakers"]] == ["glm-5.3"]
        seen = await metrics(daemon)
        assert seen[f"exai_breaker_state{labels}"] == 2
        assert seen[f"exai_breaker_refusals_total{labels}"] == 4
        assert await ask(socket, "glm-4.7") == "provider_overloaded", "each model has its own"

        # While it stays down: one probe per interval, however often it is asked for.
        ends_at = now() + 20
        while now() < ends_at:
            await ask(socket, "glm-5.3")
            await asyncio.sleep(0.5)
        sent = [record.started for record in emulator.log.of("glm") if record.model == "glm-5.3"][4:]
        gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
        assert len(gaps) >= 5
        assert min(gaps) >= OPEN_S
        assert max(gaps) <= 1.1 * OPEN_S + 0.5

        emulator.faults.clear()
        healed_at = now() + 1.1 * OPEN_S + 0.5
        while (code := await ask(socket, "glm-5.3")) != "ok":
            assert code == "circuit_open"
            assert now() < healed_at
            await asyncio.sleep(0.5)
        assert await breaker_of(socket, "glm-5.3") == {"state": "closed"}
        seen = await metrics(daemon)
        assert seen[f"exai_breaker_state{labels}"] == 0
        opened = '{cause="provider_overloaded",model="glm-5.3",provider="glm"}'
        assert seen[f"exai_breaker_openings_total{opened}"] == 1


def has_arrived(emulator: Emulator, after: int, record: RequestRecord) -> bool:
    return len(emulator.log.of("kimi")) > after and record.ended is None


def has_been_left(emulator: Emulator, after: int, _: RequestRecord) -> bool:
    return emulator.log.of("kimi")[after].outcome == "disconnected"


async def test_errors_of_the_caller_open_nothing_and_a_refused_account_opens_at_once(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    async with start_in_process(**ONE_TRY) as daemon, mcp_socket(daemon.mcp_ws) as socket:
        for error in ("invalid_request", "token_limit", "content_filter", "rate_limit_no_header"):
            emulator.faults.add("kimi", Fault(error=error, times=3))
            assert "circuit_open" not in [await ask(socket, "kimi-k3") for _ in range(3)]
        for _ in range(6):
            emulator.faults.add("kimi", Fault(before_headers_ms=60_000))
            arrived = len(emulator.log.of("kimi"))
            number, _ = await socket.begin_tool("chat", {"prompt": "Hello.", "model": "kimi-k3"})
            await emulator.log.wait_for(partial(has_arrived, emulator, arrived))
            await socket.cancel(number)
            await emulator.log.wait_for(partial(has_been_left, emulator, arrived))
        assert await ask(socket, "kimi-k3") == "ok"
        emulator.faults.add("kimi", Fault(error="quota"))
        assert [await ask(socket, "kimi-k3") for _ in range(2)] == ["quota_exhausted", "circuit_open"]
        assert (await breaker_of(socket, "kimi-k3"))["retry_after_s"] > 50
        # The plan says when its window comes back.
        emulator.faults.add("glm", Fault(error="1308"))
        assert [await ask(socket, "glm-5.3") for _ in range(2)] == ["quota_exhausted", "circuit_open"]


async def test_silence_and_slowness_count_and_a_probes_first_word_lets_the_others_in(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    async with (
        start_in_process(
            EXAI_TIMEOUTS__FIRST_BYTE_MAX_EFFORT_S="30",
            EXAI_BREAKER__OPEN_S="5",
            EXAI_BREAKER__SLOW_CALL_S="20",
        ) as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        emulator.faults.add("glm", Fault(before_headers_ms=60_000, times=5))
        codes = [await ask(socket, "glm-5.3") for _ in range(6)]
        assert codes == ["provider_timeout"] * 5 + ["circuit_open"]
        assert len(emulator.log.of("glm")) == 5, "a silent model may still be at work: nobody asks twice"

        emulator.persona = Persona(kind="long", tokens=200, delay_per_token_ms=500)
        words = asyncio.get_running_loop().create_task(
            emulator.log.wait_for(lambda record: record.frames >= 3, timeout=30)
        )
        while not words.done():
            number, probe = await socket.begin_tool("chat", {"prompt": "Long.", "model": "glm-5.3"})
            await asyncio.wait([words, asyncio.ensure_future(probe)], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0.1)
        await words
        assert (await breaker_of(socket, "glm-5.3"))["state"] == "closed"
        emulator.persona = Persona(think_tokens=0)
        assert await ask(socket, "glm-5.3") == "ok"
        assert not probe.done()
        await socket.cancel(number)

        emulator.persona = Persona(first_byte_delay_ms=21_000, think_tokens=0)
        codes = [await ask(socket, "kimi-k3") for _ in range(6)]
        assert codes == ["ok"] * 5 + ["circuit_open"]
        assert (await breaker_of(socket, "kimi-k3"))["cause"] == "slow_call"


async def test_an_outage_with_retries_is_not_answered_by_a_storm(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    """A hundred calls at once, breaker out of the way: the budget alone bounds what the provider sees."""
    emulator.faults.add("kimi", Fault(error="server_unavailable", times=None))
    async with (
        start_in_process(
            EXAI_BREAKER__CONSECUTIVE_FAILURES="100000",
            EXAI_BREAKER__MIN_REQUESTS="100000",
        ) as daemon,
        mcp_socket(daemon.mcp_ws) as socket,
    ):
        codes = await asyncio.gather(*(ask(socket, "kimi-k3") for _ in range(100)))
    assert set(codes) == {"provider_overloaded"}
    assert 100 < len(emulator.log.of("kimi")) <= 120


async def test_a_provider_that_hangs_takes_nothing_from_the_other(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    """More calls hang at Kimi than their caller has permits; GLM answers the same caller as before."""
    emulator.faults.add("kimi", Fault(before_headers_ms=600_000, times=None))
    async with start_in_process() as daemon, AsyncExitStack() as sockets:
        crowd = [await sockets.enter_async_context(mcp_socket(daemon.mcp_ws)) for _ in range(2)]
        mine = await sockets.enter_async_context(mcp_socket(daemon.mcp_ws))
        for socket in crowd:
            for _ in range(100):
                await socket.begin_tool("chat", {"prompt": "Hang.", "model": "kimi-k3"})
        await emulator.log.wait_for(lambda _: emulator.log.in_flight_of("kimi") == 64, timeout=60)
        for _ in range(20):
            assert await ask(mine, "glm-5.3") == "ok"
        gates = whole(await mine.tool("status", {"section": "limits"}))["limits"]["gates"]
        held = {gate["name"]: gate["in_use"] for gate in gates}
        assert (held["kimi/kimi-k3"], held["kimi"], held["all calls"]) == (64, 64, 64)
        assert emulator.log.high_water_of("kimi") == 64
