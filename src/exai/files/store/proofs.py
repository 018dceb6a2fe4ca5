"""What an owner is shown of where a content is: its copies at providers, and when and how each of them went."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from exai.files.store.entries import Entry, entry_of
from exai.storage.files.copy_rows import CopyRow
from exai.storage.files.removals import Deletion, FileHistory, Reference
from exai.storage.files.tables import FileRow

__all__ = ["CopyEntry", "Details", "Proof", "details_of", "proof_of", "with_deleted_bytes"]


class CopyEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A copy at a provider."""

    copy: str
    provider: str
    purpose: str
    method: str
    status: str
    sent_at: str
    verified_at: str | None = None
    expires_at: str | None = None
    ended_at: str | None = None
    """When it was gone, or known to be missing."""
    confirmed_by: str | None = None
    """How its deletion was confirmed: the provider `deleted` it, or has it not (`not_found`)."""
    error: str | None = None


class Details(Entry, frozen=True, kw_only=True):
    """Describes a file with all that is known of it."""

    copies: tuple[CopyEntry, ...]
    references: tuple[Reference, ...]


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the content of a file was."""

    id: str
    sha256: str
    created_at: str
    removed_at: str | None = None
    still_needed: bool = False
    """Whether another file of the same owner has the content."""
    copies: tuple[CopyEntry, ...] = ()
    bytes_deleted_at: str | None = None
    bytes_confirmed_by: str | None = None


def details_of(file: FileRow, copies: Sequence[CopyRow], references: Sequence[Reference]) -> Details:
    """Describe a file with its copies and references."""
    return Details(
        *msgspec.structs.astuple(entry_of(file)),
        copies=tuple(_copy(copy, None) for copy in copies),
        references=tuple(references),
    )


def proof_of(history: FileHistory, copies: Sequence[CopyRow], deletions: Mapping[str, Deletion]) -> Proof:
    """Tell what became of a file and of its copies."""
    return Proof(
        id=history.file_id,
        sha256=history.sha256,
        created_at=_moment(history.created_at) or "",
        removed_at=_moment(history.removed_at),
        still_needed=history.is_needed,
        copies=tuple(_copy(copy, deletions.get(copy.copy_id)) for copy in copies),
    )


def with_deleted_bytes(proof: Proof, deletion: Deletion | None) -> Proof:
    """Add when the bytes went, if they did."""
    if deletion is None:
        return proof
    return msgspec.structs.replace(
        proof, bytes_deleted_at=_moment(deletion.confirmed_at), bytes_confirmed_by=deletion.confirmed_by
    )


def _copy(row: CopyRow, deletion: Deletion | None) -> CopyEntry:
    return CopyEntry(
        copy=row.copy_id,
        provider=row.provider,
        purpose=row.purpose,
        method=row.upload_method,
        status=row.status,
        sent_at=_moment(row.uploaded_at) or "",
        verified_at=_moment(row.verified_at),
        expires_at=_moment(row.expires_at),
        ended_at=_moment(row.ended_at),
        confirmed_by=None if deletion is None else deletion.confirmed_by,
        error=row.error_code,
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds")
