"""Statements on rows of stored files that several write operations are made of."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, delete, exists, func, insert, or_, select, update

from exai.storage.schema import blobs, file_references, file_uploads, files, snapshots

__all__ = [
    "BY_FILE",
    "BY_SNAPSHOT",
    "BY_UPLOAD",
    "CONDEMNED",
    "DAMAGED",
    "DELETING",
    "FILES",
    "LIVE",
    "OPEN",
    "UPLOADING",
    "FileRow",
    "NewFile",
    "Quota",
    "Usage",
    "claims_of",
    "condemn_unless_referred_to",
    "file_row",
    "has_space",
    "is_referred_to",
    "make_file",
    "refer",
    "release_claims",
    "set_state",
    "space_used",
]

BY_UPLOAD, BY_FILE, BY_SNAPSHOT = "upload", "file", "snapshot"
UPLOADING, LIVE, CONDEMNED, DELETING, DAMAGED = "uploading", "live", "condemned", "deleting", "damaged"
OPEN = "open"
"""The state of a resumable upload whose bytes are to come, so that their space stays reserved."""


class Quota(msgspec.Struct, frozen=True):
    """What one owner may have."""

    bytes: int
    files: int


class Usage(msgspec.Struct, frozen=True):
    """What one owner has, and has reserved."""

    bytes: int
    files: int


class NewFile(msgspec.Struct, frozen=True):
    """A file that is to be there once its content is."""

    file_id: str
    owner: str
    sha256: str
    name: str
    at: datetime


class FileRow(msgspec.Struct, frozen=True):
    """A file as its owner sees it."""

    file_id: str
    name: str
    sha256: str
    bytes: int
    kind: str
    media_type: str
    created_at: datetime
    is_damaged: bool


FILES = (
    select(
        files.c.file_id,
        files.c.name,
        files.c.sha256,
        blobs.c.bytes,
        blobs.c.kind,
        blobs.c.media_type,
        files.c.created_at,
        blobs.c.state,
    )
    .join(blobs, blobs.c.sha256 == files.c.sha256)
    .where(files.c.removed_at.is_(None))
)
is_referred_to = exists().where(file_references.c.sha256 == blobs.c.sha256)


def file_row(row: Any) -> FileRow:
    """Make a file of a row of `FILES`."""
    file_id, name, sha256, size, kind, media_type, created_at, state = row
    return FileRow(file_id, name, sha256, size, kind, media_type, created_at, state == DAMAGED)


def space_used(connection: Connection, owner: str) -> Usage:
    """Add up what an owner has, and has reserved."""
    kept = connection.execute(
        select(func.coalesce(func.sum(blobs.c.bytes), 0), func.count())
        .select_from(files.join(blobs, blobs.c.sha256 == files.c.sha256))
        .where(files.c.owner == owner, files.c.removed_at.is_(None))
    ).one()
    coming = connection.execute(
        select(func.coalesce(func.sum(file_uploads.c.length), 0), func.count()).where(
            file_uploads.c.owner == owner, or_(file_uploads.c.state.is_(None), file_uploads.c.state == OPEN)
        )
    ).one()
    pictured = connection.execute(_in_snapshots_alone(owner)).scalar_one()
    trees = connection.execute(
        select(func.count()).select_from(snapshots).where(snapshots.c.owner == owner)
    ).scalar_one()
    return Usage(int(kept[0] + coming[0] + pictured), int(kept[1] + coming[1] + trees))


def _in_snapshots_alone(owner: str) -> Select[tuple[Any]]:
    """Add up what an owner's snapshots keep that none of his files has, each content once."""
    of_snapshots = select(file_references.c.sha256).where(
        file_references.c.owner == owner, file_references.c.reason == BY_SNAPSHOT
    )
    of_files = select(files.c.sha256).where(files.c.owner == owner, files.c.removed_at.is_(None))
    return select(func.coalesce(func.sum(blobs.c.bytes), 0)).where(
        blobs.c.sha256.in_(of_snapshots), blobs.c.sha256.not_in(of_files)
    )


def has_space(used: Usage, size: int, quota: Quota) -> bool:
    """Whether one more file of a size is within the quota."""
    return used.bytes + size <= quota.bytes and used.files < quota.files


def set_state(connection: Connection, sha256: str, state: str, at: datetime) -> None:
    """Set the state of a content that is needed at this time, unless it is being deleted."""
    connection.execute(
        update(blobs)
        .where(blobs.c.sha256 == sha256, blobs.c.state != DELETING)
        .values(state=state, last_referenced_at=at)
    )


def refer(connection: Connection, sha256: str, owner: str, reason: str, subject: str, at: datetime) -> None:
    """Note that somebody needs a content, and why."""
    connection.execute(
        insert(file_references).values(sha256=sha256, owner=owner, reason=reason, subject=subject, at=at)
    )


def make_file(connection: Connection, file: NewFile) -> FileRow:
    """Make a file, which refers to its content; the file that its owner has with this content and name is the same."""
    known = connection.execute(
        FILES.where(files.c.owner == file.owner, files.c.sha256 == file.sha256, files.c.name == file.name)
    ).first()
    if known is not None:
        return file_row(known)
    connection.execute(
        insert(files).values(
            file_id=file.file_id, owner=file.owner, sha256=file.sha256, name=file.name, created_at=file.at
        )
    )
    refer(connection, file.sha256, file.owner, BY_FILE, file.file_id, file.at)
    return file_row(connection.execute(FILES.where(files.c.file_id == file.file_id)).one())


def claims_of(connection: Connection, upload_id: str) -> Sequence[str]:
    """Return the contents that an upload refers to."""
    return connection.scalars(select(file_references.c.sha256).where(*_is_claim(upload_id))).all()


def release_claims(connection: Connection, upload_id: str, at: datetime, *, but: str = "") -> None:
    """Let an upload refer to no content any more, `but` for one."""
    for sha256 in claims_of(connection, upload_id):
        if sha256 != but:
            connection.execute(
                delete(file_references).where(*_is_claim(upload_id), file_references.c.sha256 == sha256)
            )
            condemn_unless_referred_to(connection, sha256, at)


def _is_claim(upload_id: str) -> tuple[ColumnElement[bool], ...]:
    return file_references.c.reason == BY_UPLOAD, file_references.c.subject == upload_id


def condemn_unless_referred_to(connection: Connection, sha256: str, at: datetime) -> None:
    """Let a content be deleted after the grace, where nobody needs it any more."""
    connection.execute(
        update(blobs)
        .where(
            blobs.c.sha256 == sha256,
            blobs.c.state.in_((UPLOADING, LIVE, DAMAGED)),
            ~is_referred_to,
        )
        .values(state=CONDEMNED, last_referenced_at=at)
    )
