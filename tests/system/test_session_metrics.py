"""What `/metrics` says of sessions, against what an observer of the wire counted."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable

import aiohttp
import pytest

from exai_emulator import Emulator, Persona
from support.daemon_in_process import DaemonInProcess, StartInProcess
from support.session_socket import SessionSocket, session_socket
from support.waiting import wait_until

pytestmark = pytest.mark.virtual_time

MOST = 4


class Observer:
    """Counts messages both ways, as they pass."""

    def __init__(self, daemon: DaemonInProcess) -> None:
        self._operations = daemon.operations
        self.counted: Counter[str] = Counter()

    async def calls(self, socket: SessionSocket, *numbers: int, tool: str = "models") -> None:
        for number in numbers:
            await socket.call(number, tool, {"prompt": "Hi.", "model": "glm-5.3"} if tool == "chat" else None)
            self.counted["exai_session_received_total"] += 1

    async def hears(self, socket: SessionSocket, *numbers: int) -> None:
        for number in numbers:
            heard, _ = await socket.message()
            assert heard == number
            self.counted["exai_session_sent_total"] += 1

    async def agrees(self, **expected: int) -> None:
        """The page comes to say just that: of the counted and of those that are named."""
        wanted = {**self.counted, **{f"exai_{name}": number for name, number in expected.items()}}
        seen: dict[str, float] = {}

        async def is_as_wanted() -> bool:
            seen.update(await self._page(wanted))
            return seen == wanted

        await wait_until(is_as_wanted, what=lambda: f"the page says {wanted}; it says {seen}")

    async def _page(self, names: Iterable[str]) -> dict[str, float]:
        async with aiohttp.ClientSession() as client, client.get(f"{self._operations}/metrics") as response:
            page = await response.text()
        samples = dict(re.findall(r"^(\S+) (\S+)$", page, flags=re.MULTILINE))
        labelled = {re.sub(r'[{}",=]+', "_", name).strip("_"): value for name, value in samples.items()}
        return {name: float(labelled.get(name, 0)) for name in names}

    async def has_swept(self) -> bool:
        return await self.figure("exai_session_sweeps_total") >= 2

    async def figure(self, name: str) -> float:
        return (await self._page([name]))[name]


async def test_the_page_says_what_passed_over_the_wire(
    start_in_process: StartInProcess, emulator: Emulator
) -> None:
    emulator.persona = Persona(kind="echo", first_byte_delay_ms=10_000)
    async with start_in_process(EXAI_SESSIONS__MAX_MESSAGES=str(MOST)) as daemon:
        wire = Observer(daemon)
        async with session_socket(daemon.mcp_ws) as first:
            opened = await first.open()
            await wire.calls(first, 1, 2, 3)
            await wire.hears(first, 1, 2, 3)
            await wire.calls(first, 2)
            await wire.agrees(
                session_duplicates_total=1,
                session_pending_messages=3,
                sessions_opened_total=1,
                sessions=1,
                sessions_cut=0,
                connections_door_websocket=1,
            )
            assert await wire.figure("exai_session_pending_bytes") > 0
            await asyncio.sleep(3)
            assert await wire.figure("exai_session_ack_lag_seconds") >= 3
            await first.send({"t": "a", "a": 1})
            await wire.agrees(session_pending_messages=2)
            first.connection.transport.abort()
        await wire.agrees(sessions_cut=1, connections_door_websocket=0)

        async with session_socket(daemon.mcp_ws) as second, session_socket(daemon.mcp_ws) as third:
            await second.resume(opened, last=1)
            await wire.hears(second, 2, 3)
            await third.resume(opened, last=3)
            await wire.agrees(
                session_pending_messages=0,
                sessions_resumed_total_gap_false=2,
                connections_closed_total_door_websocket_reason_fenced=1,
                connections_door_websocket=1,
            )
            # Six answers come while nobody is there, of which no more are kept than may be.
            await wire.calls(third, *range(4, 10), tool="chat")
            await wire.agrees(calls_running=6)
            third.connection.transport.abort()
        await wire.agrees(session_evicted_total=6 - MOST, session_pending_messages=MOST, calls_running=0)

        async with session_socket(daemon.mcp_ws) as fourth:
            resumed = await fourth.resume(opened, last=3)
            assert resumed["oldest"] == 10 - MOST
            await wire.hears(fourth, *range(10 - MOST, 10))
            await wire.agrees(sessions_resumed_total_gap_true=1)
            await wire.calls(fourth, 10)  # one answer more than may be left unacknowledged
            assert await fourth.close_code() == 1008
        wire.counted["exai_session_sent_total"] += 1  # it was written just before the close
        await wire.agrees(
            connections_closed_total_door_websocket_reason_stuck=1,
            session_evicted_total=6 - MOST + 1,
            sessions_cut=1,
        )

        async with session_socket(daemon.mcp_ws) as fifth:
            await fifth.resume(opened, last=10)
            await fifth.send({"t": "bye"})
            await wire.agrees(sessions=0, session_pending_messages=0, sessions_ended_total_reason_client=1)
        await wait_until(wire.has_swept, what="sessions are swept by themselves")
        assert await wire.figure("exai_session_reclaimed_bytes_total") > 0
