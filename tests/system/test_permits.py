"""Clients that leave in every way give every permit back."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from exai_emulator import Emulator, Persona
from support.daemon_in_process import StartInProcess
from support.mcp_websocket import mcp_socket
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time


async def test_clients_that_cancel_vanish_or_wait_leave_every_permit_free(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="long", tokens=10, delay_per_token_ms=100)
    dice = random.Random(7)
    limits = {"EXAI_ADMISSION__GLOBAL_LIMIT": "8", "EXAI_ADMISSION__MAX_WAIT_S": "10"}
    ends: Counter[str] = Counter()

    async with start_in_process(**limits) as daemon:

        async def client() -> None:
            async with mcp_socket(daemon.mcp_ws) as socket:
                calls = [
                    await socket.begin_tool("chat", {"prompt": "A story.", "model": "glm-5.3"})
                    for _ in range(4)
                ]
                await asyncio.sleep(dice.random() * 3)
                fate = dice.random()
                if fate < 0.4:
                    ends["vanished"] += 1
                    socket.socket.transport.abort()
                elif fate < 0.7:
                    for number, _ in calls:
                        ends["cancelled"] += 1
                        await socket.cancel(number)
                else:
                    for answer in await asyncio.gather(*(answer for _, answer in calls)):
                        ends[_code(answer["result"])] += 1

        for _ in range(5):
            await asyncio.gather(*(client() for _ in range(20)))
        assert ends.keys() == {"vanished", "cancelled", "ok", "overloaded"}
        async with mcp_socket(daemon.mcp_ws) as socket:

            async def every_permit_is_free() -> bool:
                limits = (await socket.tool("status", {"section": "limits"}))["structuredContent"]["limits"]
                assert limits["gates"][0]["most_in_use"] == 8
                return limits["waiting"] == 0 and all(gate["in_use"] == 0 for gate in limits["gates"])

            await wait_until(every_permit_is_free, what="every permit is free")
            emulator.persona = Persona()
            answer = await socket.tool("chat", {"prompt": "Still here?", "model": "glm-5.3"})
            assert answer["isError"] is False
    assert emulator.log.high_water_of("glm", "glm-5.3") <= 8


def _code(result: dict[str, Any]) -> str:
    return str(result["_meta"]["exai/error"]["code"]) if result["isError"] else "ok"
