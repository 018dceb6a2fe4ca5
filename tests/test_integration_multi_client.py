"""Fifty clients at once on one daemon: equal request ids, cuts among them, and nobody hears another's answer."""

import asyncio
import itertools

import exai
from support.daemons import StartDaemon
from support.tcp_proxy import tcp_proxy

CLIENTS = 50
CALLS = 100
ANSWERS_PER_CUT = 150
CALL_TIMEOUT_S = 60


async def test_fifty_clients_of_a_hundred_calls_each_get_every_answer_and_only_theirs(
    start_daemon: StartDaemon,
) -> None:
    async with (
        start_daemon(EXAI_ADMISSION__MAX_QUEUE="5000", EXAI_ADMISSION__MAX_WAIT_S="60") as daemon,
        tcp_proxy(daemon.mcp_ws) as (proxy, url),
    ):
        answers = itertools.count(1)

        async def client(number: int) -> None:
            async with exai.connect(url, patience_s=CALL_TIMEOUT_S) as session:
                for call in range(CALLS):
                    mine = f"client {number} call {call}"
                    async with asyncio.timeout(CALL_TIMEOUT_S):
                        # Every client counts its ids from 1, so all of them use the same ones.
                        if call % 10:
                            answer = await session.call("status", {"section": "limits"})
                            assert answer.structured is not None
                        else:
                            answer = await session.call("chat", {"prompt": mine, "model": "kimi-k3"})
                            assert answer.structured is not None, answer.text
                            assert answer.structured["answer"] == f"[emulated kimi-k3] {mine}"
                    if next(answers) % ANSWERS_PER_CUT == 0:
                        assert proxy.cut() > 0

        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(number))
