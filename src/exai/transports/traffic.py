"""How many requests are being answered, over all doors: what a stop waits for before it closes them."""

import asyncio

__all__ = ["Traffic"]


class Traffic:
    """Counts requests from their arrival until their answer has been written."""

    def __init__(self) -> None:
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
