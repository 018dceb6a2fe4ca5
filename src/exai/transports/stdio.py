"""MCP over stdin and stdout, one message per line.

Nothing but protocol reaches stdout: its descriptor is kept for the pump alone, and
whatever else in the process writes to it lands on stderr.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, BinaryIO

from mcp.server.lowlevel import Server

from exai import config
from exai.bus import EventBus
from exai.callers import Caller
from exai.events import ConnectionClosed, ConnectionOpened
from exai.transports.framing import INVALID_REQUEST, Refusal
from exai.transports.pump import Pump
from exai.transports.server import Engine
from exai.transports.traffic import Traffic

__all__ = ["serve_stdio"]

DOOR = "stdio"
STDIN, STDOUT, STDERR = 0, 1, 2


async def serve_stdio(
    server: Server[Any], engine: Engine, *, limits: config.WebSocket, drain_s: float, bus: EventBus
) -> None:
    """Serve until stdin ends or a signal comes; running calls may finish within `drain_s`."""
    loop = asyncio.get_running_loop()
    traffic = Traffic()
    ended = asyncio.Event()
    with os.fdopen(os.dup(STDOUT), "wb", buffering=0) as out:
        os.dup2(STDERR, STDOUT)
        writer = ThreadPoolExecutor(1, thread_name_prefix="stdout")
        pump = Pump(
            server,
            caller=Caller.local(DOOR),
            send=_sender(out, writer),
            traffic=traffic,
            max_in_flight=limits.max_in_flight,
            max_json_depth=limits.max_json_depth,
        )
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, ended.set)
        bus.publish(ConnectionOpened(DOOR))
        _Reader(loop, limits.max_frame_bytes, pump, ended.set).start()
        await ended.wait()
        engine.stop_admitting()
        with suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await traffic.idle()
        engine.abort_running()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await traffic.idle()
        await pump.close()
        bus.publish(ConnectionClosed(DOOR, "client"))
        writer.shutdown(wait=False, cancel_futures=True)


def _sender(out: BinaryIO, writer: ThreadPoolExecutor) -> Callable[[str], Awaitable[None]]:
    """Writes lines in order, in a thread: a client that does not read must not stop the loop."""

    def write(line: bytes) -> None:
        left = memoryview(line)
        while left:
            left = left[out.write(left) :]

    async def send(text: str) -> None:
        await asyncio.get_running_loop().run_in_executor(writer, write, text.encode() + b"\n")

    return send


class _Reader:
    """Reads lines in a daemon thread, each handed over before the next is read."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_bytes: int,
        pump: Pump,
        at_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._max_bytes = max_bytes
        self._pump = pump
        self._at_end = at_end

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, name="stdin", daemon=True).start()

    def _run(self) -> None:
        try:
            while line := sys.stdin.buffer.readline(self._max_bytes + 1):
                if len(line) > self._max_bytes and not line.endswith(b"\n"):
                    self._skip_line()
                    self._hand_over(self._pump.refuse(self._too_long()))
                elif line.strip():
                    self._hand_over(self._pump.receive(line))
        except (OSError, ValueError, RuntimeError):
            pass  # stdin or the loop was closed under us: the same as its end
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._at_end)

    def _hand_over(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _too_long(self) -> Refusal:
        return Refusal(
            INVALID_REQUEST, f"This line is longer than {self._max_bytes} bytes. Send large texts as files."
        )

    def _skip_line(self) -> None:
        while (rest := sys.stdin.buffer.readline(2**20)) and not rest.endswith(b"\n"):
            pass
