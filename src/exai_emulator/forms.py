"""`multipart/form-data`, read strictly as it comes: a form is well-formed to its last byte, or it is none."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from exai_emulator.uploads import Upload, UploadFolder

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["Form", "FormFile", "FormReader"]

MAX_PARTS = 32
MAX_FIELD_BYTES = 64 * 1024
"""Largest value of a field that is no file."""
MAX_HEADER_BYTES = 8 * 1024
"""All headers of one part together."""


@dataclass(frozen=True, slots=True)
class FormFile:
    """A file of a form."""

    filename: str
    upload: Upload
    media_type: str


@dataclass(slots=True)
class Form:
    """Fields and files by name; of two with one name the last counts."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, FormFile] = field(default_factory=dict)


class _NotAFormError(ValueError):
    """The body is no form within the limits."""


class FormReader:
    """Takes a body piece by piece; its files go to disk."""

    def __init__(self, content_type: str, folder: UploadFolder) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        self._parts = _Parts(folder)
        self._parser: MultipartParser | None = None
        if kind == b"multipart/form-data" and 1 <= len(boundary) <= 70:
            self._parser = MultipartParser(boundary, self._parts.callbacks())

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        if self._parser is None:
            return
        try:
            if self._parser.write(data) != len(data):
                self._parser = None
        except (FormParserError, _NotAFormError, UnicodeDecodeError):
            self._parser = None

    def finish(self) -> Form | None:
        """Return the form; None for what is not a whole, well-formed one."""
        if self._parser is None:
            return None
        try:
            self._parser.finalize()
        except FormParserError:
            return None
        return self._parts.form if self._parts.ended else None

    def discard(self) -> None:
        """Delete the files that nobody keeps."""
        for upload in self._parts.uploads:
            if not upload.kept:
                upload.delete()


class _Parts:
    """Gathers what the parser finds."""

    def __init__(self, folder: UploadFolder) -> None:
        self.form = Form()
        self.ended = False
        self.uploads: list[Upload] = []
        self._folder = folder
        self._count = 0
        self._header = b""
        self._value = b""
        self._header_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._text = b""
        self._filename: str | None = None

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def _part_begin(self) -> None:
        self._count += 1
        if self._count > MAX_PARTS:
            raise _NotAFormError
        self._headers, self._text, self._header_bytes = {}, b"", 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += self._bounded(data, start, end)

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._bounded(data, start, end)

    def _bounded(self, data: bytes, start: int, end: int) -> bytes:
        self._header_bytes += end - start
        if self._header_bytes > MAX_HEADER_BYTES:
            raise _NotAFormError
        return data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        disposition, options = parse_options_header(self._headers.get(b"content-disposition"))
        name, filename = options.get(b"name"), options.get(b"filename")
        if disposition != b"form-data" or not name:
            raise _NotAFormError
        self._name = name.decode()
        self._filename = None if filename is None else filename.decode()
        if self._filename is not None:
            self.uploads.append(self._folder.begin())

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._filename is not None:
            return self.uploads[-1].write(data[start:end])
        self._text += data[start:end]
        if len(self._text) > MAX_FIELD_BYTES:
            raise _NotAFormError
        return None

    def _part_end(self) -> None:
        if self._filename is None:
            self.form.fields[self._name] = self._text.decode()
            return
        self.uploads[-1].close()
        kind, _ = parse_options_header(self._headers.get(b"content-type"))
        self.form.files[self._name] = FormFile(self._filename, self.uploads[-1], kind.decode("latin-1"))

    def _end(self) -> None:
        self.ended = True
