"""The scripted engine as a process that is spoken to over its pipes."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from support.forks import Fork, fork
from support.waiting import wait_until

__all__ = ["ForkedClient", "StdioClient", "forked", "stdio"]

TESTS = Path(__file__).parents[1]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}


class StdioClient:
    """The other end of the pipes."""

    def __init__(self, process: asyncio.subprocess.Process | Fork) -> None:
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

    async def shake_hands(self) -> None:
        await self.ask({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO})
        await self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def ended(self) -> int:
        """Its exit status. Not by `wait`, which waits for the pipes too, and a test may leave one full."""
        await wait_until(lambda: self.process.returncode is not None, what="the process ends")
        code = self.process.returncode
        assert code is not None
        return code


class ForkedClient(StdioClient):
    """The same, with what the process writes to stderr."""

    def __init__(self, process: Fork, stderr: IO[bytes]) -> None:
        super().__init__(process)
        self._stderr = stderr

    @property
    def log(self) -> bytes:
        self._stderr.seek(0)
        return self._stderr.read()


@asynccontextmanager
async def forked(
    module: str, *arguments: str, env: Mapping[str, str], cwd: Path
) -> AsyncIterator[ForkedClient]:
    """A module as a process, killed at the end."""
    with TemporaryFile() as stderr:
        process = await fork(module, *arguments, env=env, cwd=cwd, stderr=stderr)
        try:
            yield ForkedClient(process, stderr)
        finally:
            process.kill()
            await process.wait()


@asynccontextmanager
async def stdio(
    *, max_bytes: int = 100_000, drain_s: float = 5, handshake: bool = True
) -> AsyncIterator[ForkedClient]:
    """The scripted engine as a process."""
    arguments = (str(max_bytes), str(drain_s))
    async with forked("support.scripted_engine", *arguments, env=os.environ, cwd=TESTS) as client:
        if handshake:
            await client.shake_hands()
        yield client
