"""A daemon is stopped and another one started in its place, while clients go on asking."""

import asyncio

import exai
from exai.client import Answer
from exai_emulator import Emulator, Fault
from support.daemons import StartDaemon, free_port

CLIENTS, ROUNDS = 4, 10


async def test_calls_made_while_the_daemon_is_replaced_twice_are_all_answered(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    """Each stop lasts for as long as a slow call runs, and the daemon refuses what comes meanwhile."""
    emulator.faults.add("kimi", Fault(before_first_byte_ms=500, times=None))
    port = free_port()
    url = f"ws://127.0.0.1:{port}/mcp"
    asked: list[asyncio.Task[Answer]] = []
    async with exai.connect(url, patience_s=30) as slow, exai.connect(url, patience_s=30) as quick:
        for _ in range(2):
            async with start_daemon(EXAI_SERVER__PORT=str(port)) as daemon:
                asked.append(asyncio.create_task(slow.call("chat", {"prompt": "Slow.", "model": "kimi-k3"})))
                await emulator.log.wait_for(lambda record: record.outcome == "open")
                daemon.process.terminate()
                ended = asyncio.create_task(daemon.ended())
                for _ in range(ROUNDS):
                    asked += [
                        asyncio.create_task(quick.call("chat", {"prompt": "Quick.", "model": "glm-5.3"}))
                        for _ in range(CLIENTS)
                    ]
                    await asyncio.wait([ended], timeout=0.05)
                await ended
        async with start_daemon(EXAI_SERVER__PORT=str(port)):
            answers = await asyncio.gather(*asked)
    assert [answer.text for answer in answers if answer.is_error] == []
    assert len(emulator.log.of("glm")) == 2 * CLIENTS * ROUNDS
