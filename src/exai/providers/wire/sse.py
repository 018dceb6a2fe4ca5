"""Server-sent events from bytes: a parser without I/O (WHATWG HTML, "Parsing an event stream").

Only `data` matters to chat completions; `event`, `id`, `retry` and comments are
ignored. One deviation: an event that the stream's end cuts off before its blank
line is delivered, because providers end streams without one.
"""

__all__ = ["EventTooLargeError", "SseParser"]

_BOM = b"\xef\xbb\xbf"


class EventTooLargeError(Exception):
    """An event is longer than the parser's bound."""


class SseParser:
    """Takes the stream in pieces of any size, and returns the data of each complete event."""

    __slots__ = ("_after_cr", "_at_start", "_data", "_data_bytes", "_held", "_max_event_bytes", "_partial")

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._partial: list[bytes] = []
        """Pieces of an incomplete line."""
        self._data: list[bytes] = []
        """The lines of the incomplete event's data."""
        self._data_bytes = 0
        self._held = 0
        """Bytes in `_partial` and `_data`."""
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of the events that `chunk` completes, in order.

        Raises:
            EventTooLargeError: an event exceeds the bound; the stream is unusable then.
        """
        if b"\r" in chunk or self._after_cr:
            chunk = self._with_line_feeds(chunk)
        if b"\n" not in chunk:
            self._partial.append(chunk)
            self._held += len(chunk)
            self._check_bound()
            return []
        if self._partial:
            self._partial.append(chunk)
            chunk = b"".join(self._partial)
        lines = chunk.split(b"\n")
        rest = lines.pop()
        self._partial = [rest] if rest else []
        events = self._read(lines)
        self._held = len(rest) + self._data_bytes
        self._check_bound()
        return events

    def finish(self) -> list[bytes]:
        """Return the data of an event that the end of the stream completes."""
        events = self._read([*b"".join(self._partial).split(b"\n"), b""])
        self._partial = []
        return events

    def _check_bound(self) -> None:
        if self._held > self._max_event_bytes:
            raise EventTooLargeError

    def _with_line_feeds(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _read(self, lines: list[bytes]) -> list[bytes]:
        if self._at_start and lines:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        events = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._data_bytes += len(line)
            elif not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                    self._data_bytes = 0
            elif line == b"data":
                data.append(b"")
                self._data_bytes += len(line)
        return events
