"""Fifty clients at once on one daemon: equal request ids, cuts among them, and nobody hears another's answer."""

import asyncio
import random

import exai
from daemons import StartDaemon
from tcp_proxy import tcp_proxy

CLIENTS = 50
CALLS = 100
CALL_TIMEOUT_S = 60


async def test_fifty_clients_of_a_hundred_calls_each_get_every_answer_and_only_theirs(
    start_daemon: StartDaemon,
) -> None:
    async with (
        start_daemon(EXAI_ADMISSION__MAX_QUEUE="5000", EXAI_ADMISSION__MAX_WAIT_S="60") as daemon,
        tcp_proxy(daemon.mcp_ws) as (proxy, url),
    ):
        ended = asyncio.Event()

        async def client(number: int) -> None:
            async with exai.connect(url) as session:
                for call in range(CALLS):
                    mine = f"client {number} call {call}"
                    async with asyncio.timeout(CALL_TIMEOUT_S):
                        # Every client counts its ids from 1, so all of them use the same ones.
                        if call % 10:
                            answer = await session.call("status", {"section": "limits"})
                            assert answer.structured is not None
                            continue
                        answer = await session.call("chat", {"prompt": mine, "model": "kimi-k3"})
                    assert answer.structured is not None, answer.text
                    assert answer.structured["answer"] == f"[emulated kimi-k3] {mine}"

        async def cuts() -> None:
            schedule = random.Random(4)
            while not ended.is_set():
                await asyncio.sleep(schedule.uniform(0.3, 1.0))
                proxy.cut()

        cutting = asyncio.ensure_future(cuts())
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(number))
        ended.set()
        await cutting
