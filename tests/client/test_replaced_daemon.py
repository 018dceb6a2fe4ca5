"""A daemon is stopped and another one started in its place, while clients go on asking."""

import asyncio

import exai
from exai.client import Answer
from exai_emulator import Emulator, Fault
from support.daemons import StartDaemon, free_port

CALLS_AT_ONCE, ROUNDS = 4, 10
PATIENCE_S = 100


async def test_calls_made_while_the_daemon_is_replaced_are_all_answered(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    """The stop lasts for as long as a slow call runs, and the daemon refuses what comes meanwhile."""
    emulator.faults.add("kimi", Fault(before_first_byte_ms=1_000, times=None))
    port = free_port()
    url = f"ws://127.0.0.1:{port}/mcp"
    asked: list[asyncio.Task[Answer]] = []
    async with exai.connect(url, patience_s=PATIENCE_S) as session:
        async with start_daemon(EXAI_SERVER__PORT=str(port)) as daemon:
            slow = asyncio.create_task(session.call("chat", {"prompt": "Slow.", "model": "kimi-k3"}))
            await emulator.log.wait_for(lambda record: record.outcome == "open", timeout=60)
            daemon.process.terminate()
            for _ in range(ROUNDS):
                asked += [
                    asyncio.create_task(session.call("chat", {"prompt": "Quick.", "model": "glm-5.3"}))
                    for _ in range(CALLS_AT_ONCE)
                ]
                await asyncio.wait(asked, timeout=0.05)
            assert not (await slow).is_error
            assert await daemon.ended() == 0
        async with start_daemon(EXAI_SERVER__PORT=str(port)):
            answers = await asyncio.gather(*asked)
    assert [answer.text for answer in answers if answer.is_error] == []
    assert len(emulator.log.of("glm")) == CALLS_AT_ONCE * ROUNDS
