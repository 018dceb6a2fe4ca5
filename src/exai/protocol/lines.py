"""Lines over stdin and stdout, read and written in threads, so that they cannot block the event loop."""

import asyncio
import os
import queue
import select
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import structlog

from exai.protocol.jsonrpc import INVALID_REQUEST, Refusal
from exai.protocol.request_ids import SCANNED_BYTES, readable_id
from exai.protocol.standard_streams import STDIN

__all__ = ["LineReader", "LineTooLong", "LineWriter"]

_log = structlog.get_logger(__name__)

LOOK_S = 5.0
"""How often the end of stdin is looked for while a line waits for a client that does not read."""


class LineWriter:
    """Writes lines in order in a daemon thread: a client that does not read blocks neither the loop nor the exit.

    A line waits as long as the client lives, which may sleep for hours with its machine; one that is gone has closed
    its end. What waits is bounded by what is written: each `send` returns when its line was.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, at_fault: Callable[[], None]
    ) -> None:
        """Take over a descriptor; `at_fault` is called once the client has closed its end."""
        self._loop = loop
        self._descriptor = descriptor
        self._at_fault = at_fault
        self._lines: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        self.broken = False
        """Whether a line could not be written; then no further one is."""
        threading.Thread(target=self._run, name="stdout", daemon=True).start()

    async def send(self, text: str) -> None:
        """Write one line.

        Raises:
            ConnectionError: the client is gone.
        """
        if self.broken:
            raise ConnectionResetError("the client is gone")
        written: asyncio.Future[None] = self._loop.create_future()
        self._lines.put((text.encode() + b"\n", written))
        try:
            await written
        except ConnectionError:
            if not self.broken:
                self.broken = True
                _log.warning(
                    "the client has closed the end at which it read: nothing more can be written to it"
                )
                self._at_fault()
            raise

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
        except (OSError, ValueError, RuntimeError, CancelledError):
            pass  # the client, stdin or the loop is gone: the same as the end of stdin
        _log.info("the client has closed stdin: nothing more comes from it")
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._at_end)

    def _left_after(self, begun: bytes) -> int:
        """Return how many bytes may be read of a line before it is known to be too long."""
        return max(1, self._max_bytes + 1 - len(begun))

    def _hand_over(self, line: bytes | LineTooLong) -> None:
        async def take() -> None:
            await self._take(line)

        handed = asyncio.run_coroutine_threadsafe(take(), self._loop)
        while not wait([handed], timeout=LOOK_S).done:
            if _is_hung_up(STDIN):
                raise BrokenPipeError("stdin has ended")  # and the client never read the answer to this line
        handed.result()


def _is_hung_up(descriptor: int) -> bool:
    """Check whether the other end was closed, without reading; where the system cannot tell, `False`."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def _skipped(lines: BinaryIO, begun: bytes) -> bytes:
    """Read a line to its end, and return its last bytes."""
    tail = begun[-SCANNED_BYTES:]
    while rest := lines.readline(2**20):
        tail = (tail + rest)[-SCANNED_BYTES:]
        if rest.endswith(b"\n"):
            break
    return tail
