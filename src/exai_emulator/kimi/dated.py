"""The dated interface of Kimi's files, which a header selects: other fields, ISO dates, other statuses."""

import mimetypes
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from exai_emulator.files import StoredFile

__all__ = ["HEADER", "VERSION", "dated_entry", "dated_page", "is_dated", "media_type"]

HEADER = "kimi-api-version"
VERSION = "2026-09-01-beta"


def is_dated(headers: Mapping[str, str]) -> bool:
    """Whether the request selects the dated interface."""
    return headers.get(HEADER) == VERSION


def media_type(filename: str) -> str:
    """The media type that a name stands for."""
    return mimetypes.guess_type(filename)[0] or "application/octet-stream"


def dated_entry(file: StoredFile, status: str) -> dict[str, Any]:
    """A file's entry."""
    at = datetime.fromtimestamp(file.created, UTC).isoformat().replace("+00:00", "Z")
    return {
        "id": file.id,
        "filename": file.filename,
        "purpose": file.purpose,
        "mime_type": media_type(file.filename),
        "size_bytes": file.size,
        "created_at": at,
        "extract_status": status if file.purpose == "file-extract" else None,
    }


def dated_page(entries: Sequence[dict[str, Any]], next_token: str | None) -> dict[str, Any]:
    """One page of the list."""
    return {"items": list(entries), "next_page_token": next_token}
