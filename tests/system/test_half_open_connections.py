"""Thousands of connections that say nothing: each is closed, nothing of them is left, and other clients go on."""

import asyncio
import resource
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from support.daemons import Daemon, StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.waiting import wait_until

HALF_OPEN = 1_000
"""In each of two rounds."""


@pytest.fixture
def _room_for_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * HALF_OPEN
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def goes_on(other: McpSocket) -> None:
    async with asyncio.timeout(30):
        assert not (await other.tool("models"))["isError"]


async def open_and_say_nothing(daemon: Daemon, other: McpSocket) -> None:
    port = urlsplit(daemon.mcp_ws).port
    half_open = [await asyncio.open_connection("127.0.0.1", port) for _ in range(HALF_OPEN)]
    await goes_on(other)
    for reader, writer in half_open:
        assert (await reader.read()).startswith(b"HTTP/1.1 408")
        writer.close()
        await writer.wait_closed()
    await goes_on(other)
    async with mcp_socket(daemon.mcp_ws) as newcomer:
        await goes_on(newcomer)


@pytest.mark.usefixtures("_room_for_descriptors")
async def test_thousands_of_silent_connections_are_closed_and_another_client_goes_on(
    start_daemon: StartDaemon,
) -> None:
    async with start_daemon(EXAI_SERVER__HEAD_TIMEOUT_S="1") as daemon, mcp_socket(daemon.mcp_ws) as other:
        process = psutil.Process(daemon.process.pid)
        await goes_on(other)
        await open_and_say_nothing(daemon, other)
        after_one = process.num_fds()
        await open_and_say_nothing(daemon, other)
        await wait_until(lambda: process.num_fds() <= after_one + 5, what="no descriptor is left of a round")
