"""Ports that whoever starts the daemon holds open through a restart, as systemd does."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from support.daemons import EXAI, clean_environ
from support.mcp_websocket import mcp_socket

NAMES = ("mcp", "operations", "errors")
STARTER = """
import os, sys
given = [int(each) for each in sys.argv[1].split(",")]
kept = [os.dup(each) for each in given]
kept = [os.dup2(each, 100 + place) for place, each in enumerate(kept)]
for place, each in enumerate(kept):
    os.dup2(each, 3 + place)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(given))}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Hands sockets over as `sd_listen_fds(3)` wants them: from descriptor 3 on, for this process."""


@asynccontextmanager
async def _started(data_dir: Path, sockets: Mapping[str, socket.socket]) -> AsyncIterator[dict[str, str]]:
    """`exai serve --demo` with these sockets; its addresses."""
    descriptors = [each.fileno() for each in sockets.values()]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", STARTER, ",".join(map(str, descriptors)), *EXAI, "serve", "--demo", "--ready-json"),
        env=clean_environ(data_dir, {"LISTEN_FDNAMES": ":".join(sockets)}),
        pass_fds=descriptors,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            addresses: dict[str, str] = json.loads(await process.stdout.readline())
        yield addresses
    finally:
        process.terminate()
        async with asyncio.timeout(60):
            assert await process.wait() == 0


async def test_a_connection_while_no_daemon_runs_waits_for_the_next_one(tmp_path: Path) -> None:
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in NAMES}
    ports = [each.getsockname()[1] for each in sockets.values()]
    try:
        async with _started(tmp_path / "data", sockets) as addresses:
            shown = [addresses[name].rpartition(":")[2] for name in ("mcp_ws", "operations", "errors")]
            assert shown == [f"{ports[0]}/mcp", str(ports[1]), str(ports[2])]
            async with mcp_socket(addresses["mcp_ws"]) as client:
                assert (await client.tool("status"))["isError"] is False
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[1])
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        async with _started(tmp_path / "data", sockets) as again, asyncio.timeout(60):
            assert again == addresses
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()
    finally:
        for each in sockets.values():
            each.close()
