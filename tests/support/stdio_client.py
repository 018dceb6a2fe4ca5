"""The scripted engine as a process that is spoken to over its pipes."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

__all__ = ["StdioClient", "stdio"]

TESTS = Path(__file__).parents[1]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


class StdioClient:
    """The other end of the pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        self.stdin = process.stdin
        self.stdout = process.stdout

    async def send(self, message: Any) -> None:
        self.stdin.write((message if isinstance(message, bytes) else json.dumps(message).encode()) + b"\n")
        await self.stdin.drain()

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(30):
            line = await self.stdout.readline()
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    async def ask(self, message: Any) -> dict[str, Any]:
        await self.send(message)
        return await self.next()

    async def ended(self) -> int:
        """Its exit status. Not by `wait`, which waits for the pipes too, and a test may leave one full."""
        async with asyncio.timeout(30):
            while self.process.returncode is None:  # noqa: ASYNC110 - asyncio has no event for it alone
                await asyncio.sleep(0.01)
        return self.process.returncode


@asynccontextmanager
async def stdio(
    *, max_bytes: int = 100_000, drain_s: float = 5, send_timeout_s: float = 20, handshake: bool = True
) -> AsyncIterator[StdioClient]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.scripted_engine",
        str(max_bytes),
        str(drain_s),
        str(send_timeout_s),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**24,
        cwd=TESTS,
    )
    client = StdioClient(process)
    try:
        if handshake:
            await client.ask({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO})
            await client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield client
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
