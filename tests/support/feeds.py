"""A browser at the feed of the dashboard."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

__all__ = ["Feed", "feed_at"]


class Feed:
    """An open feed."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.latest: dict[str, dict[str, Any]] = {}
        """The newest document of each topic."""
        self.frames: list[dict[str, Any]] = []

    async def want(self, *topics: str) -> None:
        """Say what is wanted."""
        await self.connection.send(json.dumps({"want": topics}))

    async def next(self) -> dict[str, Any]:
        """The next frame."""
        frame: dict[str, Any] = json.loads(await self.connection.recv())
        self.frames.append(frame)
        if "full" in frame:
            self.latest[frame["topic"]] = frame["full"]
        return frame

    async def until(self, topic: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first document of a topic of which that holds."""
        while topic not in self.latest or not holds(self.latest[topic]):
            await self.next()
        return self.latest[topic]


@asynccontextmanager
async def feed_at(
    operations: str, *wanted: str, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Feed]:
    """Open the feed of an operations port and say what is wanted."""
    address = f"{operations.replace('http', 'ws', 1)}/api/feed"
    async with connect(address, additional_headers=headers, proxy=None) as connection:
        feed = Feed(connection)
        if wanted:
            await feed.want(*wanted)
        yield feed
