"""The log tells what was asked, how it ended, and how much was in flight."""

import asyncio
from typing import Any

import pytest

from exai_emulator import Emulator, EmulatorOptions, Fault, Persona
from exai_emulator.log import fingerprint
from support.virtual_time import now

pytestmark = pytest.mark.virtual_time


async def test_a_request_is_recorded_with_its_body_and_without_its_key(emulator: Emulator, ask: Any) -> None:
    emulator.persona = Persona(first_byte_delay_ms=7_000)
    await asyncio.sleep(3)
    await ask("kimi", seed=7)
    (record,) = emulator.log.of("kimi")
    assert (record.method, record.path) == ("POST", "/v1/chat/completions")
    assert (record.body["seed"], record.model) == (7, "kimi-k3")
    assert (record.status, record.outcome, record.disconnected) == (200, "complete", None)
    assert (record.started, record.ended) == (3, 10)
    assert record.headers["content-type"] == "application/json"
    assert record.headers["authorization"] == fingerprint("Bearer sk-emulated-kimi")
    assert "sk-emulated-kimi" not in str(record.as_json())


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("provider", ["glm", "kimi"])
async def test_what_is_charged_is_recorded_and_whether_it_was_reported(
    emulator: Emulator, ask: Any, raw_ask: Any, provider: str, streams: bool
) -> None:
    for fault in (None, Fault(usage="none"), Fault(cut="close", at="mid_frame", after_frames=2)):
        if fault is not None:
            emulator.faults.add(provider, fault)
        connection = await raw_ask(provider, stream=streams)
        await connection.until(b"\r\n\r\n")
        await emulator.log.wait_for(lambda record: record.ended is not None)
    await ask(provider, model="nobody's")
    told, silent, cut, refused = emulator.log.of(provider)
    assert told.charged is not None
    assert told.charged.output > told.charged.reasoning > 0
    assert [each.charged is not None for each in (told, silent, cut, refused)] == [True, True, True, False]
    assert [each.usage_sent for each in (told, silent, cut, refused)] == [True, False, False, False]


async def test_requests_of_one_connection_share_a_port(emulator: Emulator, ask: Any, raw_ask: Any) -> None:
    await ask("glm")
    await ask("glm")
    connection = await raw_ask("glm")
    await connection.until(b"\r\n\r\n")
    one, other, third = (record.peer_port for record in emulator.log.of("glm"))
    assert one == other != third


@pytest.mark.parametrize("streams", [False, True])
async def test_a_client_that_leaves_is_noticed_at_once(
    emulator: Emulator, raw_ask: Any, streams: bool
) -> None:
    emulator.persona = Persona("long", tokens=10_000, think_tokens=0, delay_per_token_ms=20)
    connection = await raw_ask("glm", stream=streams)
    if streams:
        await connection.until(b"data: ")
    record = await emulator.log.wait_for(lambda record: record.body is not None)

    left_at = now()
    connection.leave()
    await emulator.log.wait_for(lambda record: record.outcome != "open")

    assert record.outcome == "disconnected"
    assert record.disconnected == left_at == now()
    assert record.frames < 10_000


async def test_in_flight_and_high_water_are_counted_by_provider_and_model(
    emulator: Emulator, raw_ask: Any
) -> None:
    log = emulator.log
    for provider in ("kimi", "glm"):
        emulator.faults.add(provider, Fault(cut="stall", at="before_headers", times=None))
    connections = [await raw_ask("kimi", model=model) for model in ("kimi-k3", "kimi-k3", "kimi-k2.6")]
    connections.append(await raw_ask("glm"))
    await log.wait_for(lambda _: log.in_flight_of("kimi", "kimi-k3") + log.in_flight == 6)
    assert (log.in_flight_of("kimi"), log.in_flight_of("glm")) == (3, 1)

    for connection in connections:
        connection.leave()
    await log.wait_for(lambda _: log.in_flight == 0)

    assert log.high_water == 4
    assert (log.high_water_of("kimi"), log.high_water_of("kimi", "kimi-k3")) == (3, 2)
    assert log.in_flight_of("kimi") == log.in_flight_of("kimi", "kimi-k3") == 0
    log.clear()
    assert (log.requests, log.high_water, log.high_water_of("kimi")) == ([], 0, 0)


async def test_wait_for_gives_up(emulator: Emulator) -> None:
    with pytest.raises(TimeoutError):
        await emulator.log.wait_for(lambda _: False, timeout=0.01)


async def test_the_log_keeps_the_newest(started: Any, post: Any) -> None:
    async with started(EmulatorOptions(log_limit=5)) as emulator:
        for _ in range(12):
            await post(emulator, "custom")
        assert [record.sequence for record in emulator.log.requests][-1] == 12
        assert 5 <= len(emulator.log.requests) <= 10


async def test_concurrency_of_an_account_is_enforced(emulator: Emulator, ask: Any, raw_ask: Any) -> None:
    emulator.accounts["kimi"].state.concurrency = 1
    emulator.faults.add("kimi", Fault(cut="stall", at="before_headers"))
    first = await raw_ask("kimi")
    await emulator.log.wait_for(lambda record: record.body is not None)
    refused = await ask("kimi")
    first.leave()
    await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert (await ask("kimi")).status == 200
