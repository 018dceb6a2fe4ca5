"""MCP over stdin and stdout, one message per line.

Nothing but protocol reaches stdout: its descriptor is kept for the pump alone, and
whatever else in the process writes to it lands on stderr.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, BinaryIO

from mcp.server.lowlevel import Server

from exai import config
from exai.bus import EventBus
from exai.callers import Caller
from exai.events import ConnectionClosed, ConnectionOpened
from exai.transports.framing import INVALID_REQUEST, encode, error_message
from exai.transports.pump import Pump
from exai.transports.server import Engine
from exai.transports.stopping import Stop, drain
from exai.transports.traffic import Traffic

__all__ = ["serve_stdio"]

DOOR = "stdio"
STDIN, STDOUT, STDERR = 0, 1, 2


async def serve_stdio(
    server: Server[Any], engine: Engine, *, limits: config.WebSocket, drain_s: float, bus: EventBus
) -> None:
    """Serve until stdin ends, a signal comes, or the client is gone or stuck.

    Running calls may finish within `drain_s` while somebody can still read their answers, and are cancelled else.
    """
    loop = asyncio.get_running_loop()
    traffic, stop, reasons = Traffic(), Stop(), list[str]()

    def leave(reason: str) -> None:
        reasons.append(reason)
        stop.ask()

    protocol = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    writer = _Writer(loop, protocol, limits.send_timeout_s, leave)
    pump = Pump(server, caller=Caller.local(DOOR), send=writer.send, limits=limits, traffic=traffic, bus=bus)

    async def take(line: bytes | None) -> None:
        if line is None:
            sentence = f"A line may have {limits.max_frame_bytes} bytes. Send large texts as files."
            await writer.send(encode(error_message(None, INVALID_REQUEST, sentence)))
        else:
            await pump.receive(line)

    bus.publish(ConnectionOpened(DOOR))
    with stop.by_signals():
        _Reader(loop, limits.max_frame_bytes, take, lambda: leave("client")).start()
        await stop.first.wait()
        if not writer.broken:
            await drain(engine, traffic, stop, drain_s)
        await pump.close()
    bus.publish(ConnectionClosed(DOOR, reasons[0] if reasons else "stopping"))


class _Writer:
    """Writes lines in order in a daemon thread: a client that does not read stops neither the loop nor the exit."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        descriptor: int,
        timeout_s: float,
        at_fault: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._timeout_s = timeout_s
        self._at_fault = at_fault
        self._lines: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        self.broken = False
        """Whether a line could not be written, so that none after it will be."""
        threading.Thread(target=self._run, name="stdout", daemon=True).start()

    async def send(self, text: str) -> None:
        """Write one line.

        Raises:
            ConnectionError: the client is gone, or did not read for too long.
        """
        if self.broken:
            raise ConnectionResetError("the client is gone")
        written: asyncio.Future[None] = self._loop.create_future()
        self._lines.put((text.encode() + b"\n", written))
        try:
            async with asyncio.timeout(self._timeout_s):
                await written
        except TimeoutError:
            self._break("stuck")
            raise ConnectionAbortedError("the client did not read") from None
        except ConnectionError:
            self._break("client")
            raise

    def _break(self, reason: str) -> None:
        if not self.broken:
            self.broken = True
            self._at_fault(reason)

    def _run(self) -> None:
        while True:
            line, written = self._lines.get()
            fault: OSError | None = None
            try:
                left = memoryview(line)
                while left:
                    left = left[os.write(self._descriptor, left) :]
            except OSError as error:
                fault = ConnectionResetError(str(error))
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(_settle, written, fault)


def _settle(written: asyncio.Future[None], fault: OSError | None) -> None:
    if written.done():
        return
    if fault is None:
        written.set_result(None)
    else:
        written.set_exception(fault)


class _Reader:
    """Reads lines in a daemon thread, each handed over before the next is read."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_bytes: int,
        take: Callable[[bytes | None], Awaitable[None]],
        at_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._max_bytes = max_bytes
        self._take = take
        self._at_end = at_end

    def start(self) -> None:
        """Begin to read; `take` gets each line, `None` for one that is too long."""
        threading.Thread(target=self._run, name="stdin", daemon=True).start()

    def _run(self) -> None:
        # Not sys.stdin: the interpreter's end would wait for its lock, which a blocked read holds.
        lines = open(STDIN, "rb", closefd=False)  # noqa: SIM115 - lives as long as the process
        try:
            while line := lines.readline(self._max_bytes + 1):
                if len(line) > self._max_bytes and not line.endswith(b"\n"):
                    _skip_line(lines)
                    self._hand_over(None)
                elif line.strip():
                    self._hand_over(line)
        except (OSError, ValueError, RuntimeError):
            pass  # the client, stdin or the loop is gone: the same as the end of stdin
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._at_end)

    def _hand_over(self, line: bytes | None) -> None:
        async def take() -> None:
            await self._take(line)

        asyncio.run_coroutine_threadsafe(take(), self._loop).result()


def _skip_line(lines: BinaryIO) -> None:
    while (rest := lines.readline(2**20)) and not rest.endswith(b"\n"):
        pass
