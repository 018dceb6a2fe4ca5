"""`multipart/form-data`, read strictly: a form is well-formed to its last byte, or it is none."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["Form", "FormFile", "read_form"]

MAX_PARTS = 32
MAX_FIELD_BYTES = 64 * 1024
"""Largest value of a field that is no file."""
MAX_HEADER_BYTES = 8 * 1024
"""All headers of one part together."""


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form."""

    filename: str
    content: bytes = field(repr=False)
    media_type: str


@dataclass(slots=True)
class Form:
    """Fields and files by name; of two with one name the last counts."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, FormFile] = field(default_factory=dict)


class _NotAFormError(ValueError):
    """The body is no form within the limits."""


def read_form(content_type: str, body: bytes) -> Form | None:
    """The form in a body; None for what is not a whole, well-formed one."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 1 <= len(boundary) <= 70:
        return None
    reader = _Reader()
    parser = MultipartParser(boundary, reader.callbacks())
    try:
        read = parser.write(body)
        parser.finalize()
    except (FormParserError, _NotAFormError, UnicodeDecodeError):
        return None
    return reader.form if reader.ended and read == len(body) else None


class _Reader:
    """Gathers what the parser finds."""

    def __init__(self) -> None:
        self.form = Form()
        self.ended = False
        self._parts = 0
        self._name = b""
        self._value = b""
        self._header_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._data: list[bytes] = []

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _NotAFormError
        self._headers, self._data, self._header_bytes = {}, [], 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += self._bounded(data, start, end)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._bounded(data, start, end)

    def _bounded(self, data: bytes, start: int, end: int) -> bytes:
        self._header_bytes += end - start
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _NotAFormError
        return data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _part_end(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name")
        if disposition != b"form-data" or not name:
            raise _NotAFormError
        content = b"".join(self._data)
        filename = options.get(b"filename")
        if filename is None:
            if len(content) > MAX_FIELD_BYTES:
                raise _NotAFormError
            self.form.fields[name.decode()] = content.decode()
            return
        kind, _ = parse_options_header(self._headers.get(b"content-type"))
        self.form.files[name.decode()] = FormFile(filename.decode(), content, kind.decode("latin-1"))

    def _end(self) -> None:
        self.ended = True
