"""Rows of stored files: contents, the files that their owners see, and who refers to a content.

Four things, each with a life of its own:

* a **blob** is a content, by its SHA-256, whoever has it;
* a **file** is an owner's handle to a content, with a name;
* a **reference** says who needs a content, and why; nothing counts them but `count(*)`;
* an **upload** reserves an owner's space while bytes come in.

A blob goes through these states; each change is one statement that names the state before:

    none       claim                 uploading
    uploading  commit                live
    uploading  last reference gone   condemned   the upload was abandoned
    live       last reference gone   condemned
    live       found broken          damaged
    damaged    last reference gone   condemned
    damaged    commit                live        its bytes were written again
    condemned  commit                live        its bytes were written again
    condemned  begin_deleting        deleting    after a grace, while nobody refers to it
    deleting   end_deleting          none        its bytes are gone; until then it cannot be claimed
    deleting   give_back             condemned   its bytes could not be removed

Whoever puts a content refers to it (`upload`) from before its bytes are moved to their place until its file is there,
and nothing with a reference is deleted. A crash leaves the reference of an upload whose process is over: `abandon`
takes it away, and what nobody refers to then is condemned.

All of it is one lock group whose transactions follow one another (`LockGroup.FILES`).
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, insert, or_, select, update

from exai.storage.database import Database
from exai.storage.files.deletions import STORE, NewDeletion, What, note_deletion
from exai.storage.files.extracts import forget_extracts
from exai.storage.files.rows import (
    BY_UPLOAD,
    CONDEMNED,
    DAMAGED,
    DELETING,
    FILES,
    LIVE,
    UPLOADING,
    FileRow,
    NewFile,
    Quota,
    Usage,
    claims_of,
    file_row,
    has_space,
    is_referred_to,
    make_file,
    refer,
    release_claims,
    set_state,
    space_used,
)
from exai.storage.files.scans import forget_scans
from exai.storage.schema import blobs, file_uploads, files
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = [
    "Claim",
    "FileRow",
    "FileTables",
    "NewFile",
    "Quota",
    "Unneeded",
    "Upload",
    "Usage",
    "reserve_space",
]

_AT_ONCE = 500
"""Digests that one statement asks for."""


class Upload(msgspec.Struct, frozen=True):
    """Bytes that are to come."""

    upload_id: str
    owner: str
    length: int
    run_id: str
    at: datetime


class Unneeded(msgspec.Struct, frozen=True):
    """A content that no file has any more."""

    sha256: str
    bytes: int


class Claim(StrEnum):
    """What a put has to do with the bytes that it has received."""

    WRITE = "write"
    """They are to be moved to their place."""
    PRESENT = "present"
    """The content should be at its place."""
    BUSY = "busy"
    """The content is being deleted: ask again in a moment."""


class FileTables:
    """Finds and changes rows. An owner sees and changes only what is his."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def run_id(self) -> str:
        """This process' run."""
        return self._database.run_id

    async def reserve(self, upload: Upload, quota: Quota) -> Usage | None:
        """Reserve space for an upload; `None`, or what the owner has if that leaves too little.

        Raises:
            StoreFailed: it was not reserved.
        """
        return await self._database.write(_reserve, (upload, quota))

    async def claim(self, upload: Upload, sha256: str, size: int, kind: str, media_type: str) -> Claim:
        """Refer to a content from now on, for an upload whose bytes were received.

        Raises:
            StoreFailed: it was not claimed.
        """
        return await self._database.write(_claim, (upload, sha256, size, kind, media_type))

    async def commit(self, upload: Upload, file: NewFile) -> FileRow:
        """Make the file of an upload whose content is at its place.

        Raises:
            StoreFailed: that is not sure.
        """
        return await self._database.write(_commit, (upload, file))

    async def link(self, file: NewFile, quota: Quota) -> FileRow | Usage | None:
        """Make a further file of a content that its owner has; `None` if he has it not, or not whole.

        Raises:
            StoreFailed: it was not made.
        """
        return await self._database.write(_link, (file, quota))

    async def abandon(self, upload_id: str, at: datetime) -> None:
        """Forget an upload and its claim.

        Raises:
            StoreFailed: it was not forgotten.
        """
        await self._database.write(_abandon, (upload_id, at))

    def abandon_later(self, upload_id: str, at: datetime) -> None:
        """Forget an upload and its claim as soon as the database is back."""
        self._database.write_soon(_abandon, (upload_id, at), durable=True)

    async def left_behind(self) -> list[str]:
        """List the uploads of processes that are over; resumable ones outlive theirs."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                select(file_uploads.c.run_id, file_uploads.c.upload_id).where(file_uploads.c.state.is_(None))
            ).all()
        )
        over = {run for run in {row.run_id for row in rows} if await self._database.is_over(run)}
        return [row.upload_id for row in rows if row.run_id in over]

    async def is_over(self, run_id: str) -> bool:
        """Whether the process of a run has gone."""
        return await self._database.is_over(run_id)

    async def find(self, owner: str, file_id: str) -> FileRow | None:
        """Find a file of this owner."""
        return await self._first(FILES.where(files.c.owner == owner, files.c.file_id == file_id))

    async def find_content(self, owner: str, sha256: str, name: str | None = None) -> FileRow | None:
        """Find the newest file of this owner with a whole content, and with a name where one is given."""
        query = FILES.where(files.c.owner == owner, files.c.sha256 == sha256, blobs.c.state == LIVE)
        if name is not None:
            query = query.where(files.c.name == name)
        return await self._first(query.order_by(*_NEWEST_FIRST))

    async def newest(
        self, owner: str, limit: int, *, after: str | None = None, name: str | None = None
    ) -> list[FileRow]:
        """List files of this owner, or those with a name, newest first, behind the one with the id `after`."""
        query = FILES.where(files.c.owner == owner).order_by(*_NEWEST_FIRST).limit(limit)
        if name is not None:
            query = query.where(files.c.name == name)
        if after is not None:
            at = (
                select(files.c.created_at)
                .where(files.c.owner == owner, files.c.file_id == after)
                .scalar_subquery()
            )
            is_older = (files.c.created_at == at) & (files.c.file_id < after)
            query = query.where(or_(files.c.created_at < at, is_older))
        return await self._database.read(
            lambda connection: [file_row(row) for row in connection.execute(query).all()]
        )

    async def usage(self, owner: str) -> Usage:
        """Add up what this owner has, and has reserved."""
        return await self._database.read(lambda connection: space_used(connection, owner))

    async def mark_damaged(self, sha256: str) -> None:
        """Note that the bytes of a content are missing or changed.

        Raises:
            StoreFailed: it was not noted.
        """
        await self._database.write(_mark_damaged, sha256)

    async def deletable(self, before: datetime, most: int) -> list[Unneeded]:
        """List what `begin_deleting` would take now."""
        over = await self._ended_runs()
        return await self._database.read(lambda connection: _deletable(connection, before, most, over))

    async def unneeded(self) -> Usage:
        """Add up the contents that no file has any more and that are not deleted yet."""
        is_unneeded = blobs.c.state.in_((CONDEMNED, DELETING)) & ~is_referred_to
        query = select(func.coalesce(func.sum(blobs.c.bytes), 0), func.count()).where(is_unneeded)
        size, count = await self._database.read(lambda connection: connection.execute(query).one())
        return Usage(int(size), int(count))

    async def begin_deleting(self, before: datetime, most: int) -> list[Unneeded]:
        """Take contents to delete that nobody has referred to since then, the longest unneeded first.

        What a process took that is over is among them. Nobody can claim them until `end_deleting`.

        Raises:
            StoreFailed: none was taken.
        """
        over = await self._ended_runs()
        return await self._database.write(_begin_deleting, (before, most, self._database.run_id, over))

    async def end_deleting(self, digests: Sequence[str], at: datetime) -> None:
        """Forget contents whose bytes are gone, and that text was extracted from them.

        Raises:
            StoreFailed: they were not forgotten.
        """
        await self._database.write(_end_deleting, (list(digests), at))

    async def give_back(self, digests: Sequence[str]) -> None:
        """Let contents be deleted another time, or put again: their bytes could not be removed.

        Raises:
            StoreFailed: they were not given back.
        """
        await self._database.write(_give_back, list(digests))

    async def known(self, digests: Sequence[str]) -> set[str]:
        """Return those of some digests whose content is kept."""
        found: set[str] = set()
        for start in range(0, len(digests), _AT_ONCE):
            asked = digests[start : start + _AT_ONCE]
            found |= set(await self._database.read(partial(_known, asked)))
        return found

    async def _ended_runs(self) -> list[str]:
        """List the runs whose deletions are to be finished: those of processes that are over, and this one."""
        run_ids = await self._database.read(
            lambda connection: connection.scalars(
                select(blobs.c.run_id).where(blobs.c.state == DELETING).distinct()
            ).all()
        )
        return [*[run for run in run_ids if await self._database.is_over(run)], self._database.run_id]

    async def _first(self, query: Any) -> FileRow | None:
        row = await self._database.read(lambda connection: connection.execute(query.limit(1)).first())
        return None if row is None else file_row(row)


_NEWEST_FIRST = (files.c.created_at.desc(), files.c.file_id.desc())


def _known(digests: Sequence[str], connection: Connection) -> Sequence[str]:
    return connection.scalars(select(blobs.c.sha256).where(blobs.c.sha256.in_(digests))).all()


@row_by_row(LockGroup.FILES)
def _reserve(connection: Connection, write: tuple[Upload, Quota]) -> Usage | None:
    return reserve_space(connection, *write)


def reserve_space(connection: Connection, upload: Upload, quota: Quota, **further: Any) -> Usage | None:
    """Insert the row of an upload, with `further` columns, if its owner has room for it; else return what he uses."""
    used = space_used(connection, upload.owner)
    if not has_space(used, upload.length, quota):
        return used
    connection.execute(
        insert(file_uploads).values(
            upload_id=upload.upload_id,
            owner=upload.owner,
            length=upload.length,
            run_id=upload.run_id,
            began_at=upload.at,
            **further,
        )
    )
    return None


@row_by_row(LockGroup.FILES)
def _claim(connection: Connection, write: tuple[Upload, str, int, str, str]) -> Claim:
    upload, sha256, size, kind, media_type = write
    state = connection.scalar(select(blobs.c.state).where(blobs.c.sha256 == sha256))
    if state == DELETING:
        return Claim.BUSY
    if state is None:
        connection.execute(
            insert(blobs).values(
                sha256=sha256,
                bytes=size,
                kind=kind,
                media_type=media_type,
                state=UPLOADING,
                last_referenced_at=upload.at,
            )
        )
    release_claims(connection, upload.upload_id, upload.at, but=sha256)
    if not claims_of(connection, upload.upload_id):
        refer(connection, sha256, upload.owner, BY_UPLOAD, upload.upload_id, upload.at)
    return Claim.PRESENT if state == LIVE else Claim.WRITE


@row_by_row(LockGroup.FILES)
def _commit(connection: Connection, write: tuple[Upload, NewFile]) -> FileRow:
    upload, file = write
    set_state(connection, file.sha256, LIVE, file.at)
    row = make_file(connection, file)
    release_claims(connection, upload.upload_id, file.at)
    connection.execute(delete(file_uploads).where(file_uploads.c.upload_id == upload.upload_id))
    return row


@row_by_row(LockGroup.FILES)
def _link(connection: Connection, write: tuple[NewFile, Quota]) -> FileRow | Usage | None:
    file, quota = write
    own = connection.execute(
        FILES.where(files.c.owner == file.owner, files.c.sha256 == file.sha256, blobs.c.state == LIVE).limit(
            1
        )
    ).first()
    if own is None:
        return None
    used = space_used(connection, file.owner)
    if not has_space(used, own.bytes, quota):
        return used
    set_state(connection, file.sha256, LIVE, file.at)
    return make_file(connection, file)


@row_by_row(LockGroup.FILES, frees_space=True)
def _abandon(connection: Connection, write: tuple[str, datetime]) -> None:
    upload_id, at = write
    release_claims(connection, upload_id, at)
    connection.execute(delete(file_uploads).where(file_uploads.c.upload_id == upload_id))


@row_by_row(LockGroup.FILES)
def _mark_damaged(connection: Connection, sha256: str) -> None:
    connection.execute(
        update(blobs).where(blobs.c.sha256 == sha256, blobs.c.state == LIVE).values(state=DAMAGED)
    )


@row_by_row(LockGroup.FILES, frees_space=True)
def _begin_deleting(connection: Connection, write: tuple[datetime, int, str, list[str]]) -> list[Unneeded]:
    before, most, run_id, over = write
    taken = _deletable(connection, before, most, over)
    if taken:
        digests = [content.sha256 for content in taken]
        connection.execute(
            update(blobs).where(blobs.c.sha256.in_(digests)).values(state=DELETING, run_id=run_id)
        )
    return taken


def _deletable(connection: Connection, before: datetime, most: int, over: list[str]) -> list[Unneeded]:
    is_unneeded = (blobs.c.state == CONDEMNED) & (blobs.c.last_referenced_at < before) & ~is_referred_to
    was_left = (blobs.c.state == DELETING) & blobs.c.run_id.in_(over)
    rows = connection.execute(
        select(blobs.c.sha256, blobs.c.bytes)
        .where(or_(was_left, is_unneeded))
        .order_by(blobs.c.last_referenced_at)
        .limit(most)
    ).all()
    return [Unneeded(sha256, size) for sha256, size in rows]


@row_by_row(LockGroup.FILES, frees_space=True)
def _end_deleting(connection: Connection, write: tuple[list[str], datetime]) -> None:
    digests, at = write
    forget_extracts(connection, digests, at)
    forget_scans(connection, digests)
    gone = (blobs.c.sha256.in_(digests)) & (blobs.c.state == DELETING)
    for row in connection.execute(select(blobs.c.sha256, blobs.c.last_referenced_at).where(gone)).all():
        note_deletion(
            connection,
            NewDeletion(
                What.BLOB, row.sha256, None, row.sha256, STORE, row.last_referenced_at, at, "removed"
            ),
        )
    connection.execute(delete(blobs).where(gone))


@row_by_row(LockGroup.FILES, frees_space=True)
def _give_back(connection: Connection, digests: list[str]) -> None:
    is_left = blobs.c.sha256.in_(digests) & (blobs.c.state == DELETING)
    connection.execute(update(blobs).where(is_left).values(state=CONDEMNED))
