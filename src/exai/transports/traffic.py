"""What is under way over all doors: requests that are answered, which a stop waits for, and messages that come in."""

import asyncio

from exai import config
from exai.runtime.bytes_in_flight import BytesInFlight

__all__ = ["Traffic"]


class Traffic:
    """Counts requests from their arrival until their answer has been written, and bytes until they are a request."""

    def __init__(self, limits: config.Admission | None = None) -> None:
        limits = limits or config.Admission()
        self.incoming = BytesInFlight(limits.global_bytes, limits.caller_bytes, of_what="messages")
        """Of messages and bodies that are not complete yet."""
        self._answering = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> None:
        self._answering += 1
        self._idle.clear()

    def __exit__(self, *_: object) -> None:
        self._answering -= 1
        if not self._answering:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until every answer has been written."""
        await self._idle.wait()
