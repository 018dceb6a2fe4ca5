"""Carrying out a fault on the wire: silences, cuts, malformed frames and bodies."""

import asyncio
import gzip
import json
import re
from typing import Any, NoReturn

import msgspec

from exai_emulator.faults import Fault
from exai_emulator.log import RequestLog, RequestRecord
from exai_emulator.personas import Answer
from exai_emulator.streaming import DONE, StreamFrames, data_frame, has_usage
from exai_emulator.wire import LAST_CHUNK, Wire, chunk

__all__ = ["FaultyDelivery", "broken_body", "header_lines"]

_HEARTBEAT = b": keep-alive\n\n"
_NOT_JSON = b"<html><body>Bad gateway</body></html>"
_MISSING_BYTES = 64
_TRICKLE_SECONDS = 1.0
_GZIP = "Content-Encoding: gzip\r\n"
_BAD_CHUNK = b"not-a-size\r\n"
_DEEP = b'{"choices":' + b"[" * 200_000
_HALVES = ("\ud83d", "\ude00")
_COUNT = re.compile(rb'("\w+_tokens":)\d+')
_COUNTS = {"infinite": b"1e400", "long": b"9" * 4_999}
_ENDLESS = "and so on " * 20_000


def header_lines(headers: dict[str, str]) -> str:
    """Headers as they stand in a response."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def broken_body(body: dict[str, Any], fault: Fault, error_body: Any) -> bytes:
    """The body of an answer that does not stream, malformed as `fault.frame` says."""
    kind = fault.frame
    if kind == "error":
        return msgspec.json.encode(error_body)
    if kind == "not_json":
        return _NOT_JSON
    if kind == "deep":
        return _DEEP
    whole = _miscounted(json.dumps(_misshapen(body, kind), separators=(",", ":")).encode(), fault)
    return whole[: len(whole) // 2] if kind == "truncated_json" else whole


def _misshapen(body: dict[str, Any], kind: str | None) -> dict[str, Any]:
    changed = dict(body)
    first = (body.get("choices") or [{}])[0]
    if kind == "missing_choices":
        changed.pop("choices", None)
    elif kind == "empty_choices":
        changed["choices"] = []
    elif kind == "missing_id":
        changed.pop("id", None)
    elif kind == "wrong_index":
        changed["choices"] = [{**first, "index": 7}]
    elif kind == "null_delta":
        changed["choices"] = [{**first, "delta" if "delta" in first else "message": None}]
    elif kind == "half_surrogate":
        changed["choices"] = [_with_text(first, _HALVES[0])]
    elif kind == "split_surrogate":
        changed["choices"] = [_with_text(first, "".join(_HALVES))]
    elif kind == "odd_types":
        changed |= {"created": "now", "choices": [_oddly_typed(first)]}
    elif kind == "extra_fields":
        changed |= {"x_unknown": {"nested": [1, None]}, "choices": [{**first, "x_unknown": True}]}
    return changed


def _with_text(choice: dict[str, Any], further: str) -> dict[str, Any]:
    """The choice with more of content."""
    place = "delta" if "delta" in choice else "message"
    said = choice.get(place) or {}
    return {**choice, place: {**said, "content": (said.get("content") or "") + further}}


def _oddly_typed(choice: dict[str, Any]) -> dict[str, Any]:
    """The choice with its index as a text, and its content as a list of parts."""
    place = "delta" if "delta" in choice else "message"
    said = dict(choice.get(place) or {})
    if "content" in said:
        said["content"] = [{"type": "text", "text": said["content"]}]
    return {**choice, "index": "0", place: said}


def _miscounted(content: bytes, fault: Fault) -> bytes:
    """The content with the token counts that the fault wants."""
    if fault.counts is None:
        return content
    return _COUNT.sub(rb"\g<1>" + _COUNTS[fault.counts], content)


def _broken_frames(frame: bytes, fault: Fault, error_body: Any) -> list[bytes]:
    """What stands in the place of `frame`."""
    kind = fault.frame
    data = frame.removeprefix(b"data: ").rstrip(b"\n")
    if kind == "truncated_json":
        return [b"data: " + data[: len(data) // 2] + b"\n\n"]
    if kind == "deep":
        return [b"data: " + _DEEP + b"\n\n"]
    simple = {
        "not_json": [b"data: " + _NOT_JSON + b"\n\n", frame],
        "duplicate": [frame, frame],
        "error": [data_frame(error_body)],
        "comment": [_HEARTBEAT, frame],
        "bad_sse": [b"daat " + data + b"\n\n", frame],
        "event_lines": [b"event: message\nid: 1\nretry: 10\n" + frame],
    }
    if kind in simple:
        return simple[kind]
    try:
        decoded = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return [frame]
    if kind in {"half_surrogate", "split_surrogate"}:
        halves = _HALVES[:1] if kind == "half_surrogate" else _HALVES
        choice = {"index": 0, "delta": {}, "finish_reason": None}
        inserted = [{**decoded, "choices": [_with_text(choice, half)]} for half in halves]
        return [*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in inserted), frame]
    return [data_frame(_misshapen(decoded, kind))]


def _compressed(body: bytes, fault: Fault) -> bytes:
    """`body` as gzip, or the first half of that."""
    whole = gzip.compress(body, mtime=0)
    return whole[: len(whole) // 2] if fault.gzip == "cut" else whole


def _restyled(frames: list[bytes], fault: Fault) -> list[bytes]:
    """The frames with `role` and `finish_reason` where the fault wants them."""
    restyled = []
    first = True
    for frame in frames:
        try:
            data = msgspec.json.decode(frame.removeprefix(b"data: "))
        except msgspec.DecodeError:
            restyled.append(frame)
            continue
        for choice in data.get("choices") or ():
            _restyle(choice, fault, first=first)
            first = False
        restyled.append(data_frame(data))
    return restyled


def _restyle(choice: dict[str, Any], fault: Fault, *, first: bool) -> None:
    if fault.role is not None and "delta" in choice:
        delta = choice["delta"]
        delta.pop("role", None)
        if fault.role == "every" or (fault.role == "first" and first):
            choice["delta"] = {"role": "assistant", **delta}
    if fault.unfinished is not None and choice.get("finish_reason") is None:
        choice.pop("finish_reason", None)
        if fault.unfinished == "null":
            choice["finish_reason"] = None


class FaultyDelivery:
    """Delivers one reply with a fault."""

    def __init__(self, wire: Wire, fault: Fault, log: RequestLog, record: RequestRecord) -> None:
        self._wire = wire
        self._fault = fault
        self._log = log
        self._record = record

    async def before_headers(self) -> bool:
        """The silence and the cut before the status line. True when the connection is at its end."""
        await asyncio.sleep(self._fault.before_headers_ms / 1000)
        return await self._cut("before_headers")

    async def reply(self, status: int, headers: str, body: bytes) -> None:
        """A reply that does not stream."""
        fault, wire = self._fault, self._wire
        missing = _MISSING_BYTES if fault.cut == "truncate" else 0
        self._record.status = status
        plain = body
        if fault.gzip is not None:
            headers, body = headers + _GZIP, _compressed(body, fault)
        if fault.cut == "bad_chunk":
            wire.send(wire.head(status, headers, length=None) + chunk(body[: len(body) // 2]) + _BAD_CHUNK)
            return wire.close()
        if fault.endless:
            wire.send(wire.head(status, headers, length=None) + chunk(body[: len(body) // 2]))
            await self._go_on(_ENDLESS.encode())
        wire.send(wire.head(status, headers, length=len(body) + missing))
        await asyncio.sleep(fault.before_first_byte_ms / 1000)
        if await self._cut("after_headers"):
            return None
        if fault.cut == "trickle":
            await self._trickle(body)
        elif fault.cut == "truncate":
            wire.send(body)
            wire.close()
        elif fault.cut is not None and fault.at in {"mid_body", "mid_frame"}:
            half = len(body) // 2
            wire.send(body[:half])
            if not await self._cut(fault.at):
                wire.send(body[half:])
        else:
            wire.send(body)
            self._record.usage_sent = fault.gzip != "cut" and has_usage(plain)
        return await wire.drain()

    async def stream(self, headers: str, frames: StreamFrames, answer: Answer, error_body: Any) -> None:
        """A stream."""
        fault, wire = self._fault, self._wire
        self._record.status = 200
        if fault.gzip is not None:
            planned = self._planned(frames, answer, error_body)
            whole = b"".join(planned)
            self._record.usage_sent = fault.gzip == "whole" and any(map(has_usage, planned))
            wire.send(wire.head(200, headers + _GZIP, length=None))
            return wire.send(chunk(_compressed(whole, fault)) + LAST_CHUNK)
        wire.send(wire.head(200, headers, length=None))
        await self._silence(fault.before_first_byte_ms / 1000)
        if await self._cut("after_headers"):
            return None
        sent = self._planned(frames, answer, error_body)
        for number, frame in enumerate(sent):
            if number == fault.after_frames and await self._cut_in_stream(frame, sent[number:]):
                return None
            if number == fault.after_frames and fault.endless:
                before, after = frames.content
                await self._go_on(before + json.dumps(_ENDLESS).encode() + after)
            if fault.done == "withheld" and frame == DONE:
                await self._silence(float("inf"))
            await self._silence(answer.delay_per_token)
            await self._send_frame(frame)
        if len(sent) <= fault.after_frames and await self._cut("mid_body"):
            return None
        if fault.cut == "truncate":
            return wire.close()
        wire.send(LAST_CHUNK)
        return await wire.drain()

    def _planned(self, frames: StreamFrames, answer: Answer, error_body: Any) -> list[bytes]:
        """Every frame that will be sent, in order, the malformed ones in their place."""
        fault = self._fault
        whole = [*frames.opening, *frames.of_text(answer), *frames.closing]
        if fault.role is not None or fault.unfinished is not None:
            whole = _restyled(whole, fault)
        if fault.done == "missing":
            whole.remove(DONE)
        elif fault.done == "twice":
            whole.append(DONE)
        elif fault.done == "data_after":
            whole.append(whole[0])
        elif fault.done == "unterminated":
            whole[-1] = DONE.rstrip(b"\n")
        if fault.frame is not None:
            place = min(fault.after_frames, len(whole) - 1)
            rest = [] if fault.frame == "error" else whole[place + 1 :]
            whole = [*whole[:place], *_broken_frames(whole[place], fault, error_body), *rest]
        if fault.counts is not None:
            whole = [_miscounted(frame, fault) for frame in whole]
        if fault.crlf:
            whole = [frame.replace(b"\n", b"\r\n") for frame in whole]
        return whole

    async def _cut_in_stream(self, frame: bytes, rest: list[bytes]) -> bool:
        if self._fault.cut == "end":
            self._wire.send(LAST_CHUNK)
            return True
        if self._fault.cut == "bad_chunk":
            self._wire.send(_BAD_CHUNK)
            self._wire.close()
            return True
        if self._fault.cut == "trickle":
            await self._trickle(b"".join([chunk(one) for one in rest]) + LAST_CHUNK)
            return True
        if self._fault.at == "mid_frame" and self._fault.cut in {"reset", "close", "stall"}:
            self._wire.send(chunk(frame[: len(frame) // 2]))
            await self._wire.drain()
        return await self._cut(self._fault.at if self._fault.at.startswith("mid") else "nowhere")

    async def _cut(self, place: str) -> bool:
        """Do what happens at `place`. True when the connection is at its end."""
        fault = self._fault
        if fault.at != place:
            return False
        if fault.cut == "reset":
            self._wire.reset()
        elif fault.cut == "close":
            self._wire.close()
        elif fault.cut == "stall":
            await self._silence(float("inf") if fault.stall_ms is None else fault.stall_ms / 1000)
        return fault.cut in {"reset", "close"}

    async def _send_frame(self, frame: bytes) -> None:
        size = self._fault.bytes_per_write
        data = chunk(frame)
        for start in range(0, len(data), size or len(data)):
            self._wire.send(data[start : start + (size or len(data))])
            if size:
                await asyncio.sleep(0)
        self._record.usage_sent |= has_usage(frame)
        self._log.streamed(self._record, 1)
        await self._wire.drain()

    async def _go_on(self, data: bytes) -> NoReturn:
        """Send the same again and again, until the client has left.

        Raises:
            ConnectionResetError: it has.
        """
        while True:
            self._wire.send(chunk(data))
            await self._wire.drain()

    async def _trickle(self, data: bytes) -> None:
        pause = _TRICKLE_SECONDS if self._fault.stall_ms is None else self._fault.stall_ms / 1000
        for position in range(len(data)):
            self._wire.send(data[position : position + 1])
            await asyncio.sleep(pause)

    async def _silence(self, seconds: float) -> None:
        """Say nothing for so long, except the fault's heartbeats once the headers of a stream are out."""
        if seconds <= 0:
            return
        beat = self._fault.heartbeat_ms / 1000
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if not beat or self._record.status != 200:
            await (asyncio.Event().wait() if seconds == float("inf") else asyncio.sleep(seconds))
            return
        while (left := until - loop.time()) > 0:
            await asyncio.sleep(min(beat, left))
            if until > loop.time():
                self._wire.send(chunk(_HEARTBEAT))
