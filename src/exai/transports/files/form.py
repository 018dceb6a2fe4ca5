"""Reads the one file of a `multipart/form-data` body as it comes (RFC 7578)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from exai.web.faults import BodyRefused, MediaTypeRefused

__all__ = ["FORM_BYTES", "FileForm"]

FORM_BYTES = 65_536
"""What a form may have around its file."""

LONGEST_HEADERS = 8_192


@dataclass
class _Parsed:
    """What the parser has found in the pieces so far."""

    header: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    disposition: bytes | None = None
    parts: int = 0
    in_data: bool = False
    ended: bool = False
    data: list[bytes] = field(default_factory=list)


class FileForm:
    """A form on its way: `name` is known once `open` has returned, then `content` yields the file."""

    def __init__(self, content_type: bytes, pieces: AsyncIterator[bytes]) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise MediaTypeRefused(
                "Send the file as a form (`curl -F file=@NAME`), or its bytes by PUT /files/sha256/<sha256>."
            )
        self._pieces = pieces
        self._found = _Parsed()
        try:
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError:
            raise BodyRefused(
                "The form's boundary is longer than one may be (70 characters, RFC 2046)."
            ) from None
        self.name = ""

    async def open(self) -> None:
        """Read up to the beginning of the file.

        Raises:
            BodyRefused: the body is no such form.
        """
        async for piece in self._pieces:
            self._feed(piece)
            if self._found.in_data or self._found.data:
                break
        disposition, options = parse_options_header(self._found.disposition)
        if disposition != b"form-data" or options.get(b"name") != b"file":
            raise BodyRefused("The form needs one part, a file with the name `file`: `curl -F file=@NAME`.")
        self.name = options.get(b"filename", b"").replace(b"%22", b'"').decode(errors="replace")

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the file.

        Raises:
            BodyRefused: the form has further parts, or no end.
        """
        for data in self._taken():
            yield data
        async for piece in self._pieces:
            self._feed(piece)
            for data in self._taken():
                yield data
        if not self._found.ended:
            raise BodyRefused("The form ends before its last boundary; send all of it again.")

    def _taken(self) -> list[bytes]:
        taken, self._found.data = self._found.data, []
        return taken

    def _feed(self, piece: bytes) -> None:
        try:
            self._parser.write(piece)
        except FormParserError:
            raise BodyRefused("The body is no form that can be read.") from None
        if self._found.parts > 1:
            raise BodyRefused("The form has several parts; send one file at a time.")

    def _callbacks(self) -> dict[str, object]:
        found = self._found

        def begin_part() -> None:
            found.parts += 1

        def header_field(data: bytes, start: int, end: int) -> None:
            _append(found.header, data[start:end])

        def header_value(data: bytes, start: int, end: int) -> None:
            _append(found.value, data[start:end])

        def end_header() -> None:
            if bytes(found.header).lower() == b"content-disposition":
                found.disposition = bytes(found.value)
            found.header.clear()
            found.value.clear()

        def begin_data() -> None:
            found.in_data = True

        def part_data(data: bytes, start: int, end: int) -> None:
            found.data.append(data[start:end])

        def end() -> None:
            found.ended = True

        return {
            "on_part_begin": begin_part,
            "on_header_field": header_field,
            "on_header_value": header_value,
            "on_header_end": end_header,
            "on_headers_finished": begin_data,
            "on_part_data": part_data,
            "on_end": end,
        }


def _append(text: bytearray, more: bytes) -> None:
    text += more
    if len(text) > LONGEST_HEADERS:
        raise BodyRefused("A header of the form's part is too long.")
