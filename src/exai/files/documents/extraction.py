"""Extracts text in a process of its own, which is ended and reaped however the extraction ends.

It has no environment, and bounds of memory, time and text (see `child`). What it does not survive is a document
that cannot be read, and no failure of ours.
"""

import asyncio
import signal
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from exai.errors import ToolFault
from exai.files.documents.verdict import MOST_BYTES, WALL_S, Verdict
from exai.files.faults import DocumentUnreadable, FileTooLarge, NoText
from exai.runtime.tasks import spawn

__all__ = ["FAILED", "MOST_TEXT_BYTES", "PROGRAMS", "REFUSALS", "Extraction", "extracting", "refusal"]

BLOCK_BYTES = 2**18
MOST_TEXT_BYTES = 100 * 2**20
"""More than the most characters take; a process that writes more is ended."""
VERDICT_BYTES = 4_096
FAILED = "failed"
"""The word for a document that its reader did not survive; that may have been the machine's fault too."""
STOPPED = "stopped"
STOPS = frozenset({-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP})
"""How a process ends that somebody stopped, whatever its document."""
PROGRAMS = {
    "pdfium": "exai.files.documents.pdf",
    "ooxml": "exai.files.documents.office",
    "wide": "exai.files.documents.wide_text",
    "parts": "exai.files.documents.parts",
}
"""By method."""

REFUSALS = {
    "no_text": "It has no text: its pages are pictures, as of a scan.",
    "encrypted": "It is encrypted. Store it without a password.",
    "damaged": "It is broken, or not what its first bytes say.",
    "bomb": "It unpacks to more than a document may. Save it anew, or store it as text or PDF.",
    "too_large": "Reading it takes more memory than a document may. Split it.",
    "archive": "It is an archive, and no Office document. Store the files in it one by one.",
    FAILED: f"Its reader failed, or took over {WALL_S} s or its memory. Save it anew, split it, or store its text.",
    STOPPED: "Its reader was stopped. Try again.",
}
"""Sentences by the word of a verdict."""


class Extraction:
    """The text of one document as it comes, and the verdict at its end."""

    def __init__(
        self, process: Process, sending: asyncio.Task[ToolFault | None], telling: asyncio.Task[bytes]
    ) -> None:
        self._process = process
        self._sending = sending
        self._telling = telling

    async def text(self) -> AsyncGenerator[bytes, None]:
        """Yield the text in UTF-8, as far as the process writes it.

        Raises:
            DocumentUnreadable: it writes more than it may.
        """
        size = 0
        stdout = cast("StreamReader", self._process.stdout)
        while block := await stdout.read(BLOCK_BYTES):
            size += len(block)
            if size > MOST_TEXT_BYTES:
                raise refusal(FAILED)
            yield block

    async def verdict(self) -> Verdict:
        """Wait for the end of the process, and say what became of the document.

        Raises:
            DocumentUnreadable: the process failed.
            ToolFault: what reading the document raises.
        """
        code = await self._process.wait()
        fault = await self._sending
        if fault is not None:
            raise fault
        verdict = Verdict.decoded(await self._telling) if code == 0 else None
        if verdict is None:
            raise refusal(STOPPED if code in STOPS else FAILED)
        return verdict


@asynccontextmanager
async def extracting(method: str, size: int, document: AsyncIterator[bytes]) -> AsyncIterator[Extraction]:
    """Begin to extract a document of `size` bytes; leaving the scope ends the process.

    Raises:
        FileTooLarge: it is larger than a document may be.
        DocumentUnreadable: it took longer than it may.
    """
    if size > MOST_BYTES:
        raise FileTooLarge(
            f"A document of {size:,} bytes is not read; {MOST_BYTES:,} bytes are the most. Split it, or store its text."
        )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", PROGRAMS[method], str(size)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={},
    )
    sending = spawn(_send(process, document), name="send a document")
    telling = spawn(_tail(process), name="read a verdict")
    try:
        async with asyncio.timeout(WALL_S + 5) as limit:
            yield Extraction(process, sending, telling)
    except TimeoutError:
        if not limit.expired():
            raise
        raise refusal(FAILED) from None
    finally:
        await asyncio.shield(_end(process, sending, telling))


async def _end(process: Process, *tasks: asyncio.Task[Any]) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await process.wait()


async def _send(process: Process, document: AsyncIterator[bytes]) -> ToolFault | None:
    """Send the document; return what is wrong with reading it."""
    stdin = cast("StreamWriter", process.stdin)
    try:
        async for block in document:
            stdin.write(block)
            await stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        return None  # the process has ended, and says why
    except ToolFault as fault:
        return fault
    finally:
        stdin.close()
    return None


async def _tail(process: Process) -> bytes:
    """Read the end of what a process says."""
    tail = b""
    stderr = cast("StreamReader", process.stderr)
    while block := await stderr.read(BLOCK_BYTES):
        tail = (tail + block)[-VERDICT_BYTES:]
    return tail


def refusal(word: str) -> NoText | DocumentUnreadable:
    """Return the fault of a document that was refused, by the word of its verdict."""
    if word in {"no_text", "archive"}:
        return NoText(f"This file has no text that can be read. {REFUSALS[word]}", word)
    known = word if word in REFUSALS else "damaged"
    return DocumentUnreadable(f"This document cannot be read. {REFUSALS[known]}", known)
