"""Real clients that leave in every way give every permit back."""

import asyncio
import contextlib
import random

from exai_emulator import Emulator, Persona
from support.daemons import StartDaemon
from support.mcp_websocket import mcp_socket


async def test_clients_that_cancel_vanish_or_wait_leave_every_permit_free(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=10, delay_per_token_ms=3)
    dice = random.Random(7)
    limits = {"EXAI_ADMISSION__GLOBAL_LIMIT": "8", "EXAI_ADMISSION__MAX_WAIT_S": "1"}

    async with start_daemon(**limits) as daemon:

        async def client() -> None:
            with contextlib.suppress(ConnectionError, Exception):
                async with mcp_socket(daemon.mcp_ws) as socket:
                    calls = [
                        await socket.begin_tool("chat", {"prompt": "A story.", "model": "glm-5.3"})
                        for _ in range(4)
                    ]
                    await asyncio.sleep(dice.random() * 0.1)
                    fate = dice.random()
                    if fate < 0.4:
                        socket.socket.transport.abort()
                    elif fate < 0.7:
                        for number, _ in calls:
                            await socket.cancel(number)
                    else:
                        await asyncio.gather(*(answer for _, answer in calls))

        for _ in range(5):
            await asyncio.gather(*(client() for _ in range(20)))
        async with mcp_socket(daemon.mcp_ws) as socket, asyncio.timeout(20):
            while True:
                limits_now = (await socket.tool("status", {"section": "limits"}))["structuredContent"][
                    "limits"
                ]
                if limits_now["waiting"] == 0 and all(gate["in_use"] == 0 for gate in limits_now["gates"]):
                    break
                await asyncio.sleep(0.05)
            assert limits_now["gates"][0]["most_in_use"] <= 8
            emulator.persona = Persona()
            assert (await socket.tool("chat", {"prompt": "Still here?", "model": "glm-5.3"}))[
                "isError"
            ] is False
    assert emulator.log.high_water_of("glm", "glm-5.3") <= 8
