"""Receives the body of a request: forms to disk, everything else into memory, and no more than the service takes."""

from dataclasses import dataclass

from aiohttp import web

from exai_emulator.forms import Form, FormReader
from exai_emulator.log import RequestLog, RequestRecord
from exai_emulator.uploads import UploadFolder

__all__ = ["Receiver", "Receiving"]

_MOST_FORGOTTEN = 1024**3


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
    _reader: FormReader | None = None

    async def receive(self) -> None:
        """Read the body to its end. Of one that is too large the rest is read and forgotten."""
        content_type = self.request.headers.get("Content-Type", "")
        if content_type.lower().startswith("multipart/"):
            self._reader = FormReader(content_type, self._with.folder)
        pieces: list[bytes] = []
        try:
            async for data in self.request.content.iter_any():
                self._with.log.received(self.record, len(data))
                self._take(data, pieces)
                if self.record.body_bytes > self._with.most_bytes + _MOST_FORGOTTEN:
                    self.broken = True
                    break
        except web.RequestPayloadError:
            self.broken = True
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

    def discard(self) -> None:
        """Delete the files of the form that nobody keeps."""
        if self._reader is not None:
            self._reader.discard()
