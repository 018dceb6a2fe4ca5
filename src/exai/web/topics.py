"""Topics: documents that are made when somebody wants them, at most so often, and once for all who do.

A topic has one state, its newest. Who is slow gets that when it reads on; nothing is kept for it meanwhile. A document
is at most 64 KB: one that is larger is made again with half as much in its lists, and says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from exai.runtime import tasks
from exai.runtime.clock import Clock

__all__ = ["FRAME_BYTES", "LEAST_S", "State", "Topic", "Topics"]

FRAME_BYTES = 64 * 1024
LEAST_S = 0.25
"""How often a topic is made anew at most."""
ENVELOPE_BYTES = 200
FULL = 1.0
AFTER_FAILURE_S = 5.0
"""How soon a topic is made again that could not be made."""
LEAST_SHARE = 0.05

MakeDocument = Callable[[float], Awaitable[dict[str, Any]]]
"""Makes a document; of each list it holds this share of what it may."""

_encode = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True)
class Topic:
    """What is shown under one name."""

    name: str
    make: MakeDocument
    every_s: float = LEAST_S
    scope: str | None = None
    """What a caller needs beside the scope of the dashboard."""


@dataclass(frozen=True, slots=True)
class State:
    """The newest document of a topic."""

    seq: int
    frame: str
    """As it is sent."""


class _Kept:
    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.state: State | None = None
        self.document = b""
        self.due = 0.0
        self.share = FULL
        self.making: asyncio.Task[State] | None = None


class Topics:
    """Makes the documents, each at most as often as its topic says, whoever asks."""

    def __init__(self, topics: Iterable[Topic], clock: Clock) -> None:
        self._clock = clock
        self._kept = {topic.name: _Kept(topic) for topic in topics}

    def __contains__(self, name: object) -> bool:
        return name in self._kept

    @property
    def names(self) -> list[str]:
        """All that there are."""
        return list(self._kept)

    def scope_of(self, name: str) -> str | None:
        """What a caller needs for a topic beside the scope of the dashboard."""
        return self._kept[name].topic.scope

    def newest(self, name: str) -> State | None:
        """Return what a topic has, however old."""
        return self._kept[name].state

    async def current(self, name: str) -> State:
        """Return the state of a topic, made now unless that was done a moment ago.

        Raises:
            ExaiError: it cannot be made, as the database is out of reach.
        """
        kept = self._kept[name]
        if kept.state is not None and self._clock.monotonic() < kept.due:
            return kept.state
        return await asyncio.shield(self._making(kept))

    async def refresh(self, names: Iterable[str]) -> None:
        """Begin to make these anew as far as they are due, and wait for that a moment.

        One that takes longer, or cannot be made, keeps its former state meanwhile.
        """
        now = self._clock.monotonic()
        making = [self._making(self._kept[name]) for name in names if self._kept[name].due <= now]
        if making:
            await asyncio.wait(making, timeout=LEAST_S)

    def _making(self, kept: _Kept) -> asyncio.Task[State]:
        if kept.making is None or kept.making.done():
            kept.making = tasks.spawn(self._make(kept), name=f"document {kept.topic.name}")
        return kept.making

    async def _make(self, kept: _Kept) -> State:
        topic = kept.topic
        kept.due = self._clock.monotonic() + AFTER_FAILURE_S
        document = await self._fitting(kept)
        kept.due = self._clock.monotonic() + max(topic.every_s, LEAST_S)
        if kept.state is None or document != kept.document:
            kept.document = document
            seq = 1 if kept.state is None else kept.state.seq + 1
            at = datetime.fromtimestamp(self._clock.wall(), UTC).isoformat(timespec="milliseconds")
            head = f'{{"topic":"{topic.name}","seq":{seq},"at":"{at}","full":'
            kept.state = State(seq, f"{head}{document.decode()}}}")
        return kept.state

    async def _fitting(self, kept: _Kept) -> bytes:
        share = kept.share
        while True:
            document = await kept.topic.make(share)
            if share < FULL:
                document["cut"] = True
            encoded = _encode(document)
            if len(encoded) <= FRAME_BYTES - ENVELOPE_BYTES:
                roomy = len(encoded) < FRAME_BYTES // 3
                kept.share = min(FULL, share * 2) if roomy else share
                return encoded
            if share <= LEAST_SHARE:
                kept.share = share
                return _encode({"cut": True, "too_large": True})
            share /= 2
