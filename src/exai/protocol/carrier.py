"""A session's end with I/O: writes what is due to whichever socket carries it, and acknowledges in time.

Both sides of `exai.mcp.v1` use it: the daemon's sessions and the client's channel.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from exai.protocol.session import Ack, Bounds, End, Item, State
from exai.runtime import tasks
from exai.runtime.clock import Clock

__all__ = ["DOES_NOT_ACKNOWLEDGE", "FENCED", "Carrier", "Socket"]

FENCED = 4409
"""Closed because a newer socket carries the session (private use, RFC 6455, 7.4.2)."""
DOES_NOT_ACKNOWLEDGE = 1008


class Socket(Protocol):
    """What carries a session."""

    async def send(self, text: str) -> None:
        """Write one frame, within a bound of time.

        Raises:
            ConnectionAbortedError: the peer did not read, and was cut off.
            OSError: it is gone.
        """
        ...

    def drop(self, code: int, reason: str) -> None:
        """Close it soon."""
        ...


class _Attachment:
    """A socket while it carries the session."""

    def __init__(self, socket: Socket, generation: int, greeting: str | None) -> None:
        self.socket = socket
        self.generation = generation
        self.greeting = greeting
        """Comes before every message."""
        self.writing = asyncio.Lock()


class Carrier:
    """One end of a session and the socket that carries it, if any."""

    def __init__(self, bounds: Bounds, ack_delay_s: float, clock: Clock) -> None:
        self.end = End(bounds)
        self.cut_since = clock.monotonic()
        """When it last lost its socket, by `Clock.monotonic`."""
        self._clock = clock
        self._credit = bounds.credit
        self._ack_delay_s = ack_delay_s
        self._attachment: _Attachment | None = None
        self._ack_timer: asyncio.TimerHandle | None = None

    def attach(
        self, socket: Socket, *, peer_heard: int, peer_credit: int, greeting: str | None = None
    ) -> int:
        """Let the socket carry the session; its generation. The next `flush` writes the greeting and what is due.

        Raises:
            Violation: the other end claims to have heard what was never said.
        """
        before = self._attachment
        generation = self.end.attach(peer_heard=peer_heard, peer_credit=peer_credit)
        self._attachment = _Attachment(socket, generation, greeting)
        if before is not None:
            before.socket.drop(FENCED, "Another socket carries this session now.")
        return generation

    def cut(self, generation: int) -> None:
        """The socket of that generation is gone."""
        if self.end.cut(generation):
            self._attachment = None
            self.cut_since = self._clock.monotonic()

    async def hear(
        self, frame: Item | Ack, generation: int, process: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Take a frame of the socket of that generation; a message in it is processed, then acknowledged.

        Raises:
            Violation: its numbers cannot be, or another socket carries the session.
        """
        message = self.end.hear(frame, generation)
        if message is not None:
            await process(message)
            self.end.done()
            await self._acknowledge()
        await self.flush()

    async def say(self, text: str) -> None:
        """Send a message: now, or when a socket carries the session again. Never raises."""
        self.end.say(text, self._clock.monotonic())
        await self.flush()

    async def flush(self) -> None:
        """Write what is due."""
        if (attachment := self._attachment) is not None:
            await self._write(attachment, self.end.due)
        self.keep_bounds()

    def keep_bounds(self) -> None:
        """See that no more is kept than may be: a socket that does not acknowledge is closed, and old messages go."""
        now = self._clock.monotonic()
        if not self.end.is_over_bounds(now):
            return
        if (attachment := self._attachment) is not None:
            attachment.socket.drop(DOES_NOT_ACKNOWLEDGE, "Too much is unacknowledged.")
            self.note_stuck()
            self.cut(attachment.generation)
        self.end.evict(now)

    def note_stuck(self) -> None:
        """The other end was cut off for not reading or not acknowledging; a side that minds says what follows."""

    def stop(self) -> None:
        """The session is over."""
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        if self.end.state is not State.ENDED:
            self.end.end()
        self._attachment = None

    async def _write(self, attachment: _Attachment, due: Callable[[], list[str]]) -> None:
        """Write what `due` yields, again and again until there is no more, in the order of the numbers."""
        async with attachment.writing:
            while self._attachment is attachment:
                frames = due()
                if attachment.greeting is not None:
                    frames.insert(0, attachment.greeting)
                    attachment.greeting = None
                if not frames:
                    return
                for frame in frames:
                    if self._attachment is not attachment:
                        return
                    try:
                        await attachment.socket.send(frame)
                    except ConnectionAbortedError:
                        self.note_stuck()
                        self.cut(attachment.generation)
                        return
                    except OSError:
                        self.cut(attachment.generation)
                        return

    async def _acknowledge(self) -> None:
        """Acknowledge at once when half the credit is used up, else soon, unless a message carries it first."""
        attachment = self._attachment
        if attachment is None:
            return
        if self.end.unacknowledged >= max(1, self._credit // 2):
            await self._write(attachment, self.end.ack_due)
        elif self._ack_timer is None:
            loop = asyncio.get_running_loop()
            self._ack_timer = loop.call_later(self._ack_delay_s, self._acknowledge_late)

    def _acknowledge_late(self) -> None:
        self._ack_timer = None
        if self._attachment is not None and self.end.unacknowledged:
            tasks.spawn(self._write(self._attachment, self.end.ack_due), name="acknowledge")
