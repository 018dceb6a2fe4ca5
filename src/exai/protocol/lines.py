"""Lines over stdin and stdout, read and written in threads, so that they cannot block the event loop."""

import asyncio
import os
import queue
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from exai.protocol.jsonrpc import INVALID_REQUEST, Refusal
from exai.protocol.request_ids import SCANNED_BYTES, readable_id

__all__ = ["LineReader", "LineTooLong", "LineWriter", "take_stdout"]

STDIN, STDOUT, STDERR = 0, 1, 2


def take_stdout() -> int:
    """Return a descriptor of stdout for the protocol alone; other writes to stdout go to stderr from now on."""
    protocol = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    return protocol


class LineWriter:
    """Writes lines in order in a daemon thread: a client that does not read blocks neither the loop nor the exit."""

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
        """Whether a line could not be written; then no further one is."""
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


@dataclass(frozen=True, slots=True)
class LineTooLong:
    """A line that is not read whole: its two ends."""

    head: bytes
    tail: bytes

    def refusal(self, max_bytes: int) -> Refusal:
        """Make the answer to its sender, under its id where that can be read."""
        sentence = f"A line may have {max_bytes} bytes. Send large texts as files."
        return Refusal(INVALID_REQUEST, sentence, readable_id(self.head + self.tail))


class LineReader:
    """Reads lines in a daemon thread; each is processed before the next one is read."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        max_bytes: int,
        take: Callable[[bytes | LineTooLong], Awaitable[None]],
        at_end: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._max_bytes = max_bytes
        self._take = take
        self._at_end = at_end

    def start(self) -> None:
        """Start to read; `take` gets each line, or what is known of one that is too long."""
        threading.Thread(target=self._run, name="stdin", daemon=True).start()

    def _run(self) -> None:
        # Not sys.stdin: at exit the interpreter would wait for its lock, which a blocked read holds.
        lines = open(STDIN, "rb", closefd=False)  # noqa: SIM115 - lives as long as the process
        try:
            while line := lines.readline(self._max_bytes + 1):
                if len(line) > self._max_bytes and not line.endswith(b"\n"):
                    self._hand_over(LineTooLong(line[:SCANNED_BYTES], _skipped(lines, line)))
                elif line.strip():
                    self._hand_over(line)
        except (OSError, ValueError, RuntimeError):
            pass  # the client, stdin or the loop is gone: the same as the end of stdin
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._at_end)

    def _hand_over(self, line: bytes | LineTooLong) -> None:
        async def take() -> None:
            await self._take(line)

        asyncio.run_coroutine_threadsafe(take(), self._loop).result()


def _skipped(lines: BinaryIO, begun: bytes) -> bytes:
    """Read a line to its end, and return its last bytes."""
    tail = begun[-SCANNED_BYTES:]
    while rest := lines.readline(2**20):
        tail = (tail + rest)[-SCANNED_BYTES:]
        if rest.endswith(b"\n"):
            break
    return tail
