"""Rows of an older installation's `provider_file_uploads`, out of a dump: CSV with a heading, or JSON lines.

Columns that older versions never had, or that nobody needs, are passed over. `upload_method` was missing for a while: a
row without one came through the store where it has an id there, and directly otherwise.
"""

import csv
import io
import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from exai.providers.file_limits import FileDialect
from exai.storage.files.copy_rows import CopyRow, Method, Status, Store

__all__ = ["OlderCopy", "UnreadableRow", "adopted", "read_dump"]

PROVIDERS = {
    "kimi": "kimi",
    "moonshot": "kimi",
    "glm": "glm",
    "zhipu": "glm",
    "zhipuai": "glm",
    "bigmodel": "glm",
    "zai": "glm",
    "z.ai": "glm",
}
"""Names that older installations had for providers."""
METHODS = {
    "direct": Method.DIRECT,
    "gateway": Method.GATEWAY,
    "supabase_gateway": Method.GATEWAY,
    "supabase_gateway_presigned": Method.GATEWAY,
}
STORAGE_IDS = ("supabase_file_id", "storage_id", "supabase_id")
DIGESTS = ("sha256", "checksum")
SIZES = ("file_size_bytes", "bytes", "size")
MOMENTS = ("created_at", "uploaded_at", "updated_at")
OVER = frozenset({"deleted", "failed", "error", "expired"})
DEFAULT_PURPOSES = {"kimi": "file-extract", "glm": "agent"}
IMPORTED = "imported"
"""The run of copies that no process of this installation sent."""
LONGEST_LINE = 2**20
LARGEST = 2**53
_FILE_ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class UnreadableRow(msgspec.Struct, frozen=True):
    """A row that cannot be taken in."""

    line: int
    reason: str


class OlderCopy(msgspec.Struct, frozen=True):
    """A row that names a file at a provider."""

    line: int
    provider: str
    file_id: str
    sha256: str
    purpose: str | None
    method: Method
    bytes: int
    at: datetime | None


def read_dump(lines: Iterable[str]) -> Iterator[OlderCopy | UnreadableRow]:
    """Read a dump, a line after the other; which of the two forms it has, its first line says."""
    rows = iter(lines)
    first = next((line for line in rows if line.strip()), "")
    if first.lstrip().startswith("{"):
        for number, line in enumerate((first, *rows), 1):
            if line.strip():
                yield _of_json(number, line)
        return
    heading = next(csv.reader(io.StringIO(first)), [])
    names = [name.strip().lstrip("\ufeff").lower() for name in heading]
    if "provider" not in names or "provider_file_id" not in names:
        yield UnreadableRow(
            1, "no row of JSON, and no heading with the columns provider and provider_file_id"
        )
        return
    yield from _of_csv(names, rows)


def adopted(copy: OlderCopy, owner: str, store: Store, dialect: FileDialect, at: datetime) -> CopyRow:
    """Return the row of an older copy. It is `unverified`: the provider is asked before it is relied upon."""
    purpose = copy.purpose if copy.purpose in dialect.purposes else DEFAULT_PURPOSES[copy.provider]
    return CopyRow(
        copy_id=f"copy_{secrets.token_hex(8)}",
        provider=store.provider,
        account=store.account,
        purpose=purpose or DEFAULT_PURPOSES[copy.provider],
        owner=owner,
        sha256=copy.sha256,
        provider_file_id=copy.file_id,
        filename="",
        upload_method=copy.method,
        status=Status.UNVERIFIED,
        bytes=copy.bytes,
        attempts=0,
        error_code=None,
        run_id=IMPORTED,
        uploaded_at=copy.at or at,
        used_at=at,
        verified_at=None,
        expires_at=None,
        ended_at=None,
    )


def _of_json(number: int, line: str) -> OlderCopy | UnreadableRow:
    if len(line) > LONGEST_LINE:
        return UnreadableRow(number, "the line is too long")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return UnreadableRow(number, "no JSON")
    if not isinstance(row, dict):
        return UnreadableRow(number, "no JSON object")
    return _copy(number, {str(name).lower(): value for name, value in row.items()})


def _of_csv(names: list[str], lines: Iterator[str]) -> Iterator[OlderCopy | UnreadableRow]:
    reader = csv.reader(lines)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield UnreadableRow(reader.line_num + 1, "no CSV")
            continue
        if any(cells):
            yield _copy(reader.line_num + 1, dict(zip(names, cells, strict=False)))


def _copy(number: int, row: Mapping[str, Any]) -> OlderCopy | UnreadableRow:
    provider = PROVIDERS.get(_text(row, "provider").lower())
    if provider is None:
        return UnreadableRow(number, "a provider that is not known")
    file_id = _text(row, "provider_file_id")
    if _FILE_ID.fullmatch(file_id) is None:
        return UnreadableRow(number, "no provider_file_id")
    if _text(row, "deleted_at") or _text(row, "upload_status").lower() in OVER:
        return UnreadableRow(number, "the file was deleted, or never arrived")
    sha256 = next((digest for name in DIGESTS if (digest := _text(row, name).lower())), "")
    if _SHA256.fullmatch(sha256) is None:
        return UnreadableRow(number, f"no SHA-256, so the content of {file_id} at {provider} is not known")
    method = METHODS.get(_text(row, "upload_method").lower())
    if method is None:
        is_stored = any(_text(row, name) for name in STORAGE_IDS)
        method = Method.GATEWAY if is_stored else Method.DIRECT
    purpose, size = (
        _text(row, "purpose") or None,
        next((_text(row, name) for name in SIZES if _text(row, name)), ""),
    )
    return OlderCopy(number, provider, file_id, sha256, purpose, method, _count(size), _moment(row))


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None or value == "NULL" else str(value).strip()


def _count(text: str) -> int:
    return min(int(text), LARGEST) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _moment(row: Mapping[str, Any]) -> datetime | None:
    for name in MOMENTS:
        try:
            at = datetime.fromisoformat(_text(row, name))
        except ValueError:
            continue
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return None
