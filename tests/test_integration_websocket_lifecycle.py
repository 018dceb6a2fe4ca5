"""A session's life over a real daemon and a network that breaks: connect, call, cut, resume, once, close."""

import asyncio

import aiohttp
import pytest

import exai
from exai_emulator import Emulator, Fault, Persona
from support.daemon_in_process import StartInProcess
from support.daemons import StartDaemon
from support.tcp_proxy import tcp_proxy


@pytest.mark.virtual_time
async def test_a_call_is_cut_resumed_from_a_new_port_and_answered_once(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=200, delay_per_token_ms=500)
    heard: list[str] = []
    async with (
        start_in_process() as daemon,
        tcp_proxy(daemon.mcp_ws) as (proxy, url),
        exai.connect(url) as session,
    ):
        growing = asyncio.Event()

        def listen(kind: str, words: str) -> None:
            if kind == "text":
                heard.append(words)
                growing.set()

        call = asyncio.ensure_future(
            session.call("chat", {"prompt": "A story.", "model": "glm-5.3"}, on_progress=listen)
        )
        for _ in range(3):
            await growing.wait()
            growing.clear()
            assert proxy.cut() == 1
        answer = await call
        page = await _page(daemon.operations)
        assert "exai_sessions 1.0" in page
        assert 'exai_sessions_resumed_total{gap="false"} 3.0' in page
        assert answer.structured is not None
        # Every piece of the answer came once and in its order, over four sockets.
        assert "".join(heard) == answer.structured["answer"]
        assert len(set(proxy.client_ports)) == len(proxy.client_ports) >= 4
        assert len(emulator.log.of("glm")) == 1
        again = await session.call(
            "chat", {"prompt": "More.", "continuation_id": answer.structured["continuation_id"]}
        )
        assert again.structured is not None
        assert again.structured["exchanges_remaining"] == answer.structured["exchanges_remaining"] - 1


async def test_a_network_that_slices_and_delays_changes_nothing(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=40)
    heard: list[str] = []
    async with (
        start_daemon() as daemon,
        tcp_proxy(daemon.mcp_ws) as (proxy, url),
        exai.connect(url) as session,
    ):
        proxy.slice, proxy.delay_s = 211, 0.002
        call = asyncio.ensure_future(
            session.call(
                "chat",
                {"prompt": "A story.", "model": "glm-5.3"},
                on_progress=lambda kind, words: heard.append(words) if kind == "text" else None,
            )
        )
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        proxy.cut()  # in the middle of a frame as likely as not
        answer = await call
        assert answer.structured is not None
        assert "".join(heard) == answer.structured["answer"]
        assert len(emulator.log.of("glm")) == 1


async def _page(operations: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"{operations}/metrics") as response:
        return await response.text()


async def test_a_client_that_leaves_ends_its_session_and_its_calls(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=60_000))
    async with start_daemon() as daemon:
        async with exai.connect(daemon.mcp_ws) as session:
            call = asyncio.ensure_future(session.call("chat", {"prompt": "Wait.", "model": "glm-5.3"}))
            await emulator.log.wait_for(lambda record: record.outcome == "open")
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
        call.cancel()


async def test_cancelling_a_call_reaches_the_provider_through_a_session(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=60_000))
    async with start_daemon() as daemon, exai.connect(daemon.mcp_ws) as session:
        call = asyncio.ensure_future(session.call("chat", {"prompt": "Wait.", "model": "glm-5.3"}))
        await emulator.log.wait_for(lambda record: record.outcome == "open")
        call.cancel()
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
        assert (await session.call("models")).structured is not None


@pytest.mark.virtual_time
async def test_without_resumption_a_cut_ends_the_call_and_it_is_made_again(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    """What the first test would see if sessions did not outlive their sockets."""
    emulator.persona = Persona(kind="long", tokens=200, delay_per_token_ms=500)
    async with (
        start_in_process(EXAI_SESSIONS__GRACE_S="0.001") as daemon,
        tcp_proxy(daemon.mcp_ws) as (proxy, url),
        exai.connect(url) as session,
    ):
        proxy_hears = asyncio.Event()
        call = asyncio.ensure_future(
            session.call(
                "chat",
                {"prompt": "A story.", "model": "glm-5.3"},
                on_progress=lambda *_: proxy_hears.set(),
            )
        )
        await proxy_hears.wait()
        proxy.refuses = True
        proxy.cut()
        await emulator.log.wait_for(lambda record: record.outcome == "disconnected")
        proxy.refuses = False
        assert (await call).structured is not None
        assert len(emulator.log.of("glm")) == 2
