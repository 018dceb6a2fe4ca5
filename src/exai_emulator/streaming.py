"""Server-sent event streams: the frames of an answer, and their pace."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import msgspec

from exai_emulator.log import RequestLog, RequestRecord
from exai_emulator.personas import Answer
from exai_emulator.tokens import pieces_of
from exai_emulator.wire import LAST_CHUNK, Wire, chunk

__all__ = ["DONE", "StreamFrames", "data_frame", "has_usage", "send_stream"]

DONE = b"data: [DONE]\n\n"

_WRITES_BETWEEN_YIELDS = 32

_encode = msgspec.json.Encoder().encode


def data_frame(data: object) -> bytes:
    """`data` as one event."""
    return b"data: " + _encode(data) + b"\n\n"


def has_usage(sent: bytes) -> bool:
    """Whether a frame, or a body, holds a usage that can be read."""
    if b'"usage":{' not in sent:
        return False
    data = next((line[6:] for line in sent.splitlines() if line.startswith(b"data: ")), sent)
    try:
        decoded = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return False
    choices = decoded.get("choices") or ()
    return any(isinstance(part.get("usage"), dict) for part in (decoded, *choices))


@dataclass(slots=True)
class StreamFrames:
    """The frames of one answer.

    The frames of text differ only in the text: they are given as what stands
    before and after it, so that a long stream costs little.
    """

    opening: tuple[bytes, ...]
    reasoning: tuple[bytes, bytes]
    content: tuple[bytes, bytes]
    closing: tuple[bytes, ...]
    calls: tuple[bytes, ...] = ()
    """The pieces of tool calls, which follow the content."""

    def of_text(self, answer: Answer) -> Iterator[bytes]:
        """One frame per piece of thinking, then one per piece of content, then those of tool calls."""
        before, after = self.reasoning
        for piece in pieces_of(answer.reasoning, answer.characters_per_frame):
            yield before + _encode(piece) + after
        before, after = self.content
        for piece in pieces_of(answer.content, answer.characters_per_frame):
            yield before + _encode(piece) + after
        yield from self.calls


async def send_stream(
    wire: Wire, frames: StreamFrames, answer: Answer, log: RequestLog, record: RequestRecord
) -> None:
    """Send a whole stream after its headers. Raises ConnectionResetError when the client leaves."""
    if answer.delay_per_token:
        _send_now(wire, frames.opening, log, record)
        await _send_paced(wire, frames.of_text(answer), answer.delay_per_token, log, record)
        _send_now(wire, frames.closing, log, record)
    else:
        everything = chain(frames.opening, frames.of_text(answer), frames.closing)
        await _send_fast(wire, everything, answer.frames_per_write, log, record)
    record.usage_sent = any(map(has_usage, frames.closing))
    wire.send(LAST_CHUNK)
    await wire.drain()


def _send_now(wire: Wire, frames: tuple[bytes, ...], log: RequestLog, record: RequestRecord) -> None:
    if frames:
        wire.send(b"".join([chunk(frame) for frame in frames]))
        log.streamed(record, len(frames))


async def _send_paced(
    wire: Wire, frames: Iterable[bytes], delay: float, log: RequestLog, record: RequestRecord
) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    for frame in frames:
        due += delay
        if (wait := due - loop.time()) > 0:
            await asyncio.sleep(wait)
        wire.send(chunk(frame))
        log.streamed(record, 1)
        await wire.drain()


async def _send_fast(
    wire: Wire, frames: Iterable[bytes], per_write: int, log: RequestLog, record: RequestRecord
) -> None:
    batch: list[bytes] = []
    writes = 0
    for frame in frames:
        batch.append(chunk(frame))
        if len(batch) < per_write:
            continue
        wire.send(batch[0] if per_write == 1 else b"".join(batch))
        log.streamed(record, len(batch))
        batch.clear()
        writes += 1
        if writes % _WRITES_BETWEEN_YIELDS == 0:
            await wire.drain()
            await asyncio.sleep(0)
    if batch:
        wire.send(b"".join(batch))
        log.streamed(record, len(batch))
