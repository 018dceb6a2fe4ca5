"""How a stored file is named: its id, or its URI, which may name lines of it."""

import re
from dataclasses import dataclass

from exai.errors import BadArguments

__all__ = [
    "FILE_URIS",
    "LINES_URIS",
    "FileUri",
    "file_id_of",
    "is_handle",
    "is_stored",
    "named_by",
    "uri_of",
    "uri_parts",
    "whole_file_of",
]

_ID = re.compile(r"file_[0-9a-f]{32}")
_STORED = re.compile(r"(file|tree)_[0-9A-Za-z]{1,64}")
_PREFIX = "exai://files/"
FILE_URIS = f"{_PREFIX}{{id}}"
LINES_URIS = f"{_PREFIX}{{id}}/lines/{{from}}-{{to}}"
_URI = re.compile(
    r"exai://files/(?P<id>[^/?#\s]{1,200})(/lines/(?P<first>[0-9]{1,12})-(?P<last>[0-9]{1,12}))?/?"
)


@dataclass(frozen=True, slots=True)
class FileUri:
    """What a URI names."""

    file_id: str
    lines: tuple[int, int] | None
    """The first and the last one; `None`: all of the file."""


def uri_of(file_id: str) -> str:
    """Return the URI of a file."""
    return f"{_PREFIX}{file_id}"


def uri_parts(uri: str) -> FileUri | None:
    """Return what a URI names; `None` if it is none of a stored file."""
    found = _URI.fullmatch(uri.strip())
    if found is None:
        return None
    lines = None if found["first"] is None else (int(found["first"]), int(found["last"]))
    return FileUri(found["id"], lines)


def is_handle(given: str) -> bool:
    """Whether this is written as the id of a stored file."""
    return _ID.fullmatch(given) is not None


def is_stored(given: str) -> bool:
    """Whether this names what is in the store: a file, lines of one, or a snapshot."""
    return _STORED.fullmatch(given.strip()) is not None or uri_parts(given) is not None


def file_id_of(given: str) -> str:
    """Return the id that is given by itself or as a URI; whether there is such a file, the store knows."""
    return named_by(given).file_id


def named_by(given: str) -> FileUri:
    """Return what an id or a URI names."""
    return uri_parts(given) or FileUri(given.strip(), None)


def whole_file_of(given: str) -> str:
    """Return the id that is given, for what is about a whole file.

    Raises:
        BadArguments: lines of it are named.
    """
    named = named_by(given)
    if named.lines is not None:
        raise BadArguments(
            f"This names lines of a file, and is about the whole of it: give {uri_of(named.file_id)}."
        )
    return named.file_id
