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
from exai.protocol.standard_streams import STDIN

__all__ = ["LineReader", "LineTooLong", "LineWriter"]


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
        self.read(open(STDIN, "rb", closefd=False), b"")  # noqa: SIM115 - lives as long as the process

    def read(self, lines: BinaryIO, begun: bytes) -> None:
        """Read to the end, in the calling thread; `begun` was read before: a line, or the beginning of one."""
        try:
            while line := begun if begun.endswith(b"\n") else begun + lines.readline(self._left_after(begun)):
                begun = b""
                if len(line.rstrip(b"\r\n")) > self._max_bytes:
                    end = line[-SCANNED_BYTES:] if line.endswith(b"\n") else _skipped(lines, line)
                    self._hand_over(LineTooLong(line[:SCANNED_BYTES], end))
                elif line.strip():
                    self._hand_over(line)
        except (OSError, ValueError, RuntimeError):
            pass  # the client, stdin or the loop is gone: the same as the end of stdin
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._at_end)

    def _left_after(self, begun: bytes) -> int:
        """Return how many bytes may be read of a line before it is known to be too long."""
        return max(1, self._max_bytes + 1 - len(begun))

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
