"""A thousand clients come and go, politely or not, and the daemon is as it was before, seen from outside."""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest

import exai
from exai_emulator import Emulator
from support.daemons import Daemon, StartDaemon
from support.mcp_websocket import mcp_socket
from support.session_socket import ENVELOPE, session_socket
from support.waiting import wait_until

WARM_UP = 300
"""What pools, caches and the allocator take once is no leak."""
ROUND = 350
AT_ONCE = 25
GRACE_S = "0.2"
MEMORY_SHARE = 0.035
"""Of the memory in use, for the clients of a round."""
SETTLE_S = 60

GAUGES = (
    "exai_calls_running",
    "exai_calls_waiting",
    "exai_connections",
    "exai_permits_in_use",
    "exai_session_pending_bytes",
    "exai_session_pending_messages",
    "exai_sessions",
    "exai_sessions_cut",
    "exai_tasks",
)


@dataclass(frozen=True)
class Sight:
    """The daemon at one moment, from `/metrics` and `/proc`."""

    gauges: dict[str, float]
    series: frozenset[str]
    """Without buckets of histograms: which there are depends on how quick the calls were."""
    descriptors: int
    """Without the pool of connections to providers, which is as large as the load was."""
    threads: int
    memory: int


def _to_providers(process: psutil.Process, emulator: Emulator) -> int:
    ports = {urlsplit(url).port for url in (emulator.addresses.glm, emulator.addresses.kimi)}
    return sum(bool(each.raddr) and each.raddr.port in ports for each in process.net_connections("tcp"))


async def _look(daemon: Daemon, emulator: Emulator) -> Sight:
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"{daemon.operations}/metrics", headers={"Connection": "close"}) as response,
    ):
        page = await response.text()
    samples = dict(re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", page, flags=re.MULTILINE))
    process = psutil.Process(daemon.process.pid)
    return Sight(
        gauges={name: float(value) for name, value in samples.items() if name.partition("{")[0] in GAUGES},
        series=frozenset(name for name in samples if "_bucket{" not in name),
        descriptors=process.num_fds() - _to_providers(process, emulator),
        threads=process.num_threads(),
        memory=process.memory_info().rss,
    )


async def _settled(daemon: Daemon, emulator: Emulator, expected: dict[str, float]) -> Sight:
    """The daemon as soon as these gauges are as expected."""
    seen: list[Sight] = []

    async def is_settled() -> bool:
        seen.append(await _look(daemon, emulator))
        return {**seen[-1].gauges, **expected} == seen[-1].gauges

    await wait_until(
        is_settled, within=SETTLE_S, what=lambda: f"the gauges {expected}; they are {seen[-1].gauges}"
    )
    return seen[-1]


async def _polite(daemon: Daemon, number: int) -> None:
    async with exai.connect(daemon.mcp_ws) as session:
        answer = await session.call("chat", {"prompt": f"Client {number}.", "model": "glm-5.3"})
        assert not answer.is_error, answer.text


async def _leaves_in_the_middle(daemon: Daemon, number: int) -> None:
    """A session whose client vanishes: cut off with a call running, never resumed, nothing acknowledged."""
    async with session_socket(daemon.mcp_ws) as client:
        await client.open()
        await client.call(1, "models")
        await client.message()
        await client.call(2, "chat", {"prompt": f"Client {number}.", "model": "kimi-k3"})
        client.connection.transport.abort()


async def _plain(daemon: Daemon, number: int) -> None:
    async with mcp_socket(daemon.mcp_ws) as client:
        result = await client.tool("chat", {"prompt": f"Client {number}.", "model": "kimi-k3"})
        assert not result["isError"], result


async def _http(daemon: Daemon, number: int) -> None:
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "status", "arguments": {}, "_meta": ENVELOPE},
    }
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "status",
    }
    async with (
        aiohttp.ClientSession() as client,
        client.post(daemon.mcp_http, json=call, headers=headers) as response,
    ):
        assert response.status == 200, await response.text()


KINDS = (_polite, _leaves_in_the_middle, _plain, _http)


async def _come_and_go(daemon: Daemon, clients: int) -> None:
    numbers = iter(range(clients))

    async def one_after_another() -> None:
        for number in numbers:
            await KINDS[number % len(KINDS)](daemon, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_another())


@pytest.mark.timeout(300)
async def test_after_a_thousand_clients_nothing_of_them_is_left(
    start_daemon: StartDaemon, emulator: Emulator
) -> None:
    """What leaks grows in every round; what grows in one of two by chance is none."""
    async with start_daemon(EXAI_SESSIONS__GRACE_S=GRACE_S) as daemon:
        await _come_and_go(daemon, WARM_UP)
        idle = {"exai_sessions": 0.0, "exai_calls_running": 0.0, "exai_session_pending_messages": 0.0}
        sights = [await _settled(daemon, emulator, idle)]
        assert {name.partition("{")[0] for name in sights[0].gauges} == set(GAUGES)
        for _ in range(2):
            await _come_and_go(daemon, ROUND)
            sights.append(await _settled(daemon, emulator, sights[0].gauges))

    assert _least_growth(sights, lambda sight: len(sight.series)) <= 0
    assert _least_growth(sights, lambda sight: sight.descriptors) <= 0
    assert _least_growth(sights, lambda sight: sight.threads) <= 0
    assert _least_growth(sights, lambda sight: sight.memory) <= MEMORY_SHARE * sights[0].memory


def _least_growth(sights: Sequence[Sight], figure: Callable[[Sight], int]) -> int:
    """By how much a figure grew in the round in which it grew less."""
    return min(figure(after) - figure(before) for before, after in pairwise(sights))
