"""Rows of resumable uploads: rows of `file_uploads` that outlive the process that began them.

    none     begin    open
    open     note     open      more of it is on the disk
    open     finish   done      its file is there; the row tells whoever lost the answer
    open     expire   expired   nothing came for too long
    any      end      none      its client ended it, or its content is not what was announced
    done, expired   forget   none   a while later

An open one reserves the space of its owner. `received` is never more than what is on the disk.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, or_, select, update

from exai.storage.database import Database
from exai.storage.files.rows import (
    LIVE,
    OPEN,
    NewFile,
    Quota,
    Usage,
    claims_of,
    make_file,
    release_claims,
    set_state,
)
from exai.storage.files.tables import Upload, reserve_space
from exai.storage.schema import file_uploads, files
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["NewUpload", "ResumableUpload", "ResumableUploadTable"]

DONE, EXPIRED = "done", "expired"


class NewUpload(msgspec.Struct, frozen=True):
    """What a client announces."""

    name: str
    length: int
    expected_sha256: str | None
    metadata: str | None
    """As it was sent, for whoever asks about the upload."""
    expires_at: datetime


class ResumableUpload(msgspec.Struct, frozen=True):
    """An upload as its owner sees it."""

    upload_id: str
    owner: str
    run_id: str
    began_at: datetime
    length: int
    received: int
    name: str
    expected_sha256: str | None
    metadata: str | None
    state: str
    expires_at: datetime
    file_id: str | None
    sha256: str | None
    """Of the file that it became."""
    claimed: str | None
    """The content that it refers to, once all of it has come."""

    @property
    def is_done(self) -> bool:
        """Whether its file is there."""
        return self.state == DONE

    @property
    def is_whole(self) -> bool:
        """Whether all bytes have come and the file is not there yet."""
        return self.state == OPEN and self.received == self.length

    def has_expired(self, at: datetime) -> bool:
        """Whether nothing can be sent to it any more because nothing was for too long."""
        return self.state == EXPIRED or (self.state == OPEN and self.expires_at <= at)

    @property
    def as_claimant(self) -> Upload:
        """The upload as it refers to a content."""
        return Upload(self.upload_id, self.owner, self.length, self.run_id, self.began_at)


class ResumableUploadTable:
    """Finds and changes rows. An owner sees and changes only what is his."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, upload: Upload, announced: NewUpload, quota: Quota) -> Usage | None:
        """Reserve space for an upload; `None`, or what the owner has if that leaves too little.

        Raises:
            StoreFailed: it was not reserved.
        """
        return await self._database.write(_begin, (upload, announced, quota))

    async def find(self, owner: str, upload_id: str) -> ResumableUpload | None:
        """Find an upload of this owner."""
        return await self._database.read(lambda connection: _find(connection, owner, upload_id))

    async def open_among(self, upload_ids: Sequence[str]) -> dict[str, int]:
        """Return the lengths of those of the uploads that are open."""
        query = select(file_uploads.c.upload_id, file_uploads.c.length).where(
            file_uploads.c.upload_id.in_(upload_ids), file_uploads.c.state == OPEN
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.upload_id: row.length for row in rows}

    async def note(self, upload_id: str, received: int, expires_at: datetime) -> None:
        """Note how much of an upload is on the disk.

        Raises:
            StoreFailed: it was not noted.
        """
        await self._database.write(_note, (upload_id, received, expires_at))

    async def finish(self, upload: ResumableUpload, file: NewFile, expires_at: datetime) -> None:
        """Make the file of an upload whose content is at its place, unless it is done or was ended meanwhile.

        Raises:
            StoreFailed: that is not sure.
        """
        await self._database.write(_finish, (upload.upload_id, file, expires_at))

    async def end(self, upload_id: str, at: datetime) -> None:
        """Forget an upload and its claim; a file that it became stays.

        Raises:
            StoreFailed: it was not forgotten.
        """
        await self._database.write(_end, (upload_id, at))

    async def expire(self, at: datetime, forget_before: datetime) -> int:
        """Give back the space of uploads that have expired, and forget those that were over before; how many expired.

        Raises:
            StoreFailed: some are left for the next time.
        """
        return await self._database.write(_expire, (at, forget_before))


_UPLOADS = select(
    file_uploads.c.upload_id,
    file_uploads.c.owner,
    file_uploads.c.run_id,
    file_uploads.c.began_at,
    file_uploads.c.length,
    file_uploads.c.received,
    file_uploads.c.name,
    file_uploads.c.expected_sha256,
    file_uploads.c.metadata,
    file_uploads.c.state,
    file_uploads.c.expires_at,
    file_uploads.c.file_id,
    files.c.sha256,
).select_from(file_uploads.outerjoin(files, files.c.file_id == file_uploads.c.file_id))


def _find(connection: Connection, owner: str, upload_id: str) -> ResumableUpload | None:
    row = connection.execute(
        _UPLOADS.where(
            file_uploads.c.owner == owner,
            file_uploads.c.upload_id == upload_id,
            file_uploads.c.state.is_not(None),
        )
    ).first()
    if row is None:
        return None
    claims = claims_of(connection, upload_id)
    values: tuple[Any, ...] = (*row, claims[0] if claims else None)
    return ResumableUpload(*values)


@row_by_row(LockGroup.FILES)
def _begin(connection: Connection, write: tuple[Upload, NewUpload, Quota]) -> Usage | None:
    upload, announced, quota = write
    return reserve_space(
        connection,
        upload,
        quota,
        state=OPEN,
        received=0,
        name=announced.name,
        expected_sha256=announced.expected_sha256,
        metadata=announced.metadata,
        expires_at=announced.expires_at,
    )


@row_by_row(LockGroup.FILES)
def _note(connection: Connection, write: tuple[str, int, datetime]) -> None:
    upload_id, received, expires_at = write
    connection.execute(
        update(file_uploads)
        .where(file_uploads.c.upload_id == upload_id, file_uploads.c.state == OPEN)
        .values(received=received, expires_at=expires_at)
    )


@row_by_row(LockGroup.FILES)
def _finish(connection: Connection, write: tuple[str, NewFile, datetime]) -> None:
    upload_id, file, expires_at = write
    is_open = (file_uploads.c.upload_id == upload_id) & (file_uploads.c.state == OPEN)
    if not connection.execute(update(file_uploads).where(is_open).values(state=OPEN)).rowcount:
        return
    set_state(connection, file.sha256, LIVE, file.at)
    made = make_file(connection, file)
    connection.execute(
        update(file_uploads).where(is_open).values(state=DONE, file_id=made.file_id, expires_at=expires_at)
    )
    release_claims(connection, upload_id, file.at)


@row_by_row(LockGroup.FILES)
def _end(connection: Connection, write: tuple[str, datetime]) -> None:
    upload_id, at = write
    release_claims(connection, upload_id, at)
    connection.execute(delete(file_uploads).where(file_uploads.c.upload_id == upload_id))


@row_by_row(LockGroup.FILES)
def _expire(connection: Connection, write: tuple[datetime, datetime]) -> int:
    at, forget_before = write
    is_over = (file_uploads.c.state == OPEN) & (file_uploads.c.expires_at <= at)
    expired = connection.scalars(select(file_uploads.c.upload_id).where(is_over)).all()
    for upload_id in expired:
        release_claims(connection, upload_id, at)
    connection.execute(update(file_uploads).where(is_over).values(state=EXPIRED))
    connection.execute(
        delete(file_uploads).where(
            or_(file_uploads.c.state == DONE, file_uploads.c.state == EXPIRED),
            file_uploads.c.expires_at <= forget_before,
        )
    )
    return len(expired)
