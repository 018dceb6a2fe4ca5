"""A session's endpoint with I/O: writes frames to the socket that carries it, and acknowledges in time.

Both sides of `exai.mcp.v1` use it: the daemon's sessions and the client's channel.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from exai.protocol.session import Ack, Bounds, Endpoint, Item, State
from exai.runtime import tasks
from exai.runtime.clock import Clock

__all__ = ["DOES_NOT_ACKNOWLEDGE", "ENDED_BY_OPERATOR", "FENCED", "Carrier", "Socket"]

FENCED = 4409
"""Closed because a newer socket carries the session (private use, RFC 6455, 7.4.2)."""
DOES_NOT_ACKNOWLEDGE = 1008
ENDED_BY_OPERATOR = 4410
"""Closed because an operator ended its session (private use as well)."""


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
        """Start to close it, with a code and a reason."""
        ...


class _Attachment:
    """A socket while it carries the session."""

    def __init__(self, socket: Socket, generation: int, greeting: str | None) -> None:
        self.socket = socket
        self.generation = generation
        self.greeting = greeting
        """A frame to write before every message."""
        self.writing = asyncio.Lock()


class Carrier:
    """One endpoint of a session, and the socket that carries it, if any."""

    def __init__(self, bounds: Bounds, ack_delay_s: float, clock: Clock) -> None:
        self.endpoint = Endpoint(bounds)
        self.cut_since = clock.monotonic()
        """When it last lost its socket, by `Clock.monotonic`."""
        self._clock = clock
        self._credit = bounds.credit
        self._ack_delay_s = ack_delay_s
        self._attachment: _Attachment | None = None
        self._ack_timer: asyncio.TimerHandle | None = None

    def attach(
        self, socket: Socket, *, peer_received: int, peer_credit: int, greeting: str | None = None
    ) -> int:
        """Let the socket carry the session, and return its generation.

        The next `flush` writes the greeting, and what the peer lacks.

        Raises:
            Violation: the peer claims to have received what was never sent.
        """
        before = self._attachment
        generation = self.endpoint.attach(peer_received=peer_received, peer_credit=peer_credit)
        self._attachment = _Attachment(socket, generation, greeting)
        if before is not None:
            before.socket.drop(FENCED, "Another socket carries this session now.")
        return generation

    def cut(self, generation: int) -> None:
        """Note that the socket of that generation is gone."""
        if self.endpoint.cut(generation):
            self._attachment = None
            self.cut_since = self._clock.monotonic()

    async def receive(
        self, frame: Item | Ack, generation: int, process: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Take a frame from the socket of that generation; process its message, then acknowledge it.

        Raises:
            Violation: the numbers are impossible, or another socket carries the session.
        """
        message = self.endpoint.receive(frame, generation)
        if message is not None:
            await process(message)
            self.endpoint.mark_processed()
            await self._acknowledge()
        await self.flush()

    async def send(self, text: str) -> None:
        """Send a message: now, or when a socket carries the session again. Never raises."""
        self.endpoint.send(text, self._clock.monotonic())
        self.note_kept()
        await self.flush()

    async def flush(self) -> None:
        """Write what may be written now."""
        if (attachment := self._attachment) is not None:
            await self._write(attachment, self.endpoint.frames_to_send)
        self.enforce_bounds()

    def enforce_bounds(self, most_bytes: int | None = None) -> None:
        """When too much is kept, close the socket that does not acknowledge, and evict the oldest messages.

        `most_bytes`, in place of the session's own bound, is for a caller who keeps too much in all of its sessions.
        """
        now = self._clock.monotonic()
        if self.endpoint.is_over_bounds(now, most_bytes):
            self._give_up(now, most_bytes)
        self.note_kept()

    def _give_up(self, now: float, most_bytes: int | None) -> None:
        if (attachment := self._attachment) is not None:
            attachment.socket.drop(DOES_NOT_ACKNOWLEDGE, "Too much is unacknowledged.")
            self.note_stuck()
            self.cut(attachment.generation)
        self.endpoint.evict(now, most_bytes)

    def note_kept(self) -> None:
        """Called when what is kept has changed; does nothing by default."""

    def note_stuck(self) -> None:
        """Called when the peer was cut off for not reading or not acknowledging; does nothing by default."""

    def drop_socket(self, code: int, reason: str) -> None:
        """Start to close the socket that carries the session, if any."""
        if (attachment := self._attachment) is not None:
            attachment.socket.drop(code, reason)

    def stop(self) -> None:
        """End the session."""
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        if self.endpoint.state is not State.ENDED:
            self.endpoint.end()
        self._attachment = None

    async def _write(self, attachment: _Attachment, next_frames: Callable[[], list[str]]) -> None:
        """Write what `next_frames` returns, in order, until it returns nothing."""
        async with attachment.writing:
            while self._attachment is attachment:
                frames = next_frames()
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
        """Acknowledge at once when half the credit is used, else after a delay, unless a message does so first."""
        attachment = self._attachment
        if attachment is None:
            return
        if self.endpoint.unacked >= max(1, self._credit // 2):
            await self._write(attachment, self.endpoint.ack_to_send)
        elif self._ack_timer is None:
            loop = asyncio.get_running_loop()
            self._ack_timer = loop.call_later(self._ack_delay_s, self._acknowledge_late)

    def _acknowledge_late(self) -> None:
        self._ack_timer = None
        if self._attachment is not None and self.endpoint.unacked:
            tasks.spawn(self._write(self._attachment, self.endpoint.ack_to_send), name="acknowledge")
