"""Receives the body of a request: forms to disk, everything else into memory, and no more than the service takes."""

import asyncio
import contextlib
from dataclasses import dataclass

from aiohttp import web

from exai_emulator.faults import Fault
from exai_emulator.forms import Form, FormReader
from exai_emulator.log import RequestLog, RequestRecord
from exai_emulator.uploads import UploadFolder
from exai_emulator.wire import Wire

__all__ = ["Receiver", "Receiving"]

_MOST_FORGOTTEN = 1024**3
_TRICKLE_S = 1.0
_LOOK_S = 0.05
"""How often a stall looks whether the client is still there."""


@dataclass(frozen=True, slots=True)
class Receiving:
    """What receiving needs to know, whatever the request."""

    folder: UploadFolder
    log: RequestLog
    most_bytes: int

    def begin(self, request: web.BaseRequest, record: RequestRecord) -> "Receiver":
        """The receiver of one request's body."""
        return Receiver(request, record, self)


@dataclass(slots=True)
class Receiver:
    """Receives one body. `discard` belongs after the answer."""

    request: web.BaseRequest
    record: RequestRecord
    _with: Receiving
    content: bytes = b""
    form: Form | None = None
    too_large: bool = False
    broken: bool = False
    """The body did not come whole, and no further request can come on this connection."""
    interrupted: bool = False
    """A fault cut the connection, or wants an answer before the body is whole."""
    _struck: bool = False
    _reader: FormReader | None = None

    async def receive(self, wire: Wire, fault: Fault | None = None) -> None:
        """Read the body to its end, or to the end that a fault makes. Of one that is too large the rest is forgotten.

        Raises:
            ConnectionResetError: the client left while the reading stalled.
        """
        content_type = self.request.headers.get("Content-Type", "")
        if content_type.lower().startswith("multipart/"):
            self._reader = FormReader(content_type, self._with.folder)
        pieces: list[bytes] = []
        try:
            if fault is not None and not fault.after_bytes and await self._interrupt(wire, fault):
                return
            async for data in self.request.content.iter_any():
                self._with.log.received(self.record, len(data))
                self._take(data, pieces)
                if fault is not None and self._is_due(fault) and await self._interrupt(wire, fault):
                    return
                if self.record.body_bytes > self._with.most_bytes + _MOST_FORGOTTEN:
                    self.broken = True
                    break
        except web.RequestPayloadError:
            self.broken = True
            return
        if fault is not None and not self._struck and await self._interrupt(wire, fault):
            return
        self.content = b"".join(pieces)
        if self._reader is not None and not self.too_large:
            self.form = self._reader.finish()

    def _take(self, data: bytes, pieces: list[bytes]) -> None:
        if self.record.body_bytes > self._with.most_bytes:
            self.too_large = True
            pieces.clear()
        elif self._reader is not None:
            self._reader.feed(data)
        else:
            pieces.append(data)

    def _is_due(self, fault: Fault) -> bool:
        """Whether a fault strikes after this piece; one that trickles strikes after each."""
        due = self.record.body_bytes >= fault.after_bytes
        return due and (not self._struck or fault.cut == "trickle")

    async def _interrupt(self, wire: Wire, fault: Fault) -> bool:
        """Do what the fault does; return whether that ends the receiving."""
        self._struck = True
        self._with.log.struck(self.record, fault.described())
        if fault.cut == "reset":
            wire.reset()
        elif fault.cut == "close":
            wire.close()
        elif fault.cut == "trickle":
            await asyncio.sleep(_TRICKLE_S if fault.stall_ms is None else fault.stall_ms / 1000)
        elif fault.cut == "stall":
            await self._stall(wire, fault.stall_ms)
        self.interrupted = fault.cut not in {"trickle", "stall"}
        return self.interrupted

    async def _stall(self, wire: Wire, stall_ms: float | None) -> None:
        """Read nothing for so long, or until the client's end arrives, which comes after all that it has sent."""
        loop = asyncio.get_running_loop()
        until = float("inf") if stall_ms is None else loop.time() + stall_ms / 1000
        while (left := until - loop.time()) > 0:
            if wire.has_left:
                raise ConnectionResetError
            await asyncio.sleep(min(left, _LOOK_S))

    async def forget_rest(self) -> None:
        """Read what the client still sends, so that it gets an answer that came early."""
        with contextlib.suppress(web.RequestPayloadError):
            async for data in self.request.content.iter_any():
                self._with.log.received(self.record, len(data))

    def discard(self) -> None:
        """Delete the files of the form that nobody keeps."""
        if self._reader is not None:
            self._reader.discard()
