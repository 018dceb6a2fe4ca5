"""The progress of a request that makes a call twice, and waits for a person between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from exai.dispatch.progress import HEARTBEAT_S, KIND_KEY, SendProgress
from exai.runtime import tasks

__all__ = ["RisingProgress"]

WAITING = "EXAI waits for the answer to its question about the cost"


class RisingProgress:
    """Numbers what several calls send as one row of numbers, which MCP wants to rise."""

    def __init__(self, send: SendProgress) -> None:
        self._send = send
        self._before = 0.0
        """The last number of the calls that have ended."""
        self._last = 0.0

    async def send(self, number: float, message: str, meta: dict[str, Any]) -> None:
        """Send what the present call says."""
        self._last = self._before + number
        await self._send(self._last, message, meta)

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        """Give signs of life within this scope, behind which another call begins."""
        heartbeat = tasks.spawn(self._heartbeat(), name="waiting for a user")
        try:
            yield
        finally:
            heartbeat.cancel()
            await asyncio.wait([heartbeat])
            self._before = self._last

    async def _heartbeat(self) -> None:
        while True:
            await self.send(self._last - self._before + 1, WAITING, {KIND_KEY: "status"})
            await asyncio.sleep(HEARTBEAT_S)
