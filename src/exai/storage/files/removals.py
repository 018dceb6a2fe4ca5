"""Removing a file of an owner, and what became of its content where that went.

One transaction takes the file and its reference away, condemns the owner's copies of the content at providers unless
another file of his has it, and condemns the content unless somebody refers to it. What is done afterwards follows from
these rows: copies are deleted by jobs, contents by the collection.
"""

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, delete, exists, select, update

from exai.storage.database import Database
from exai.storage.files.copies import CopyTables, condemn_copies
from exai.storage.files.copy_queries import is_made_of
from exai.storage.files.copy_rows import SHARED, CopyRow
from exai.storage.files.deletions import STORE, NewDeletion, What, note_deletion
from exai.storage.files.rows import BY_FILE, condemn_unless_referred_to
from exai.storage.schema import blobs, deletions, file_references, files
from exai.storage.schema import provider_file_uploads as copies
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["Deletion", "FileHistory", "Reference", "RemovalTables"]


class Reference(msgspec.Struct, frozen=True):
    """Why an owner needs a content."""

    reason: str
    subject: str


class Deletion(msgspec.Struct, frozen=True):
    """What was to be deleted, and how that was confirmed."""

    what: str
    """`file`, `copy` or `blob`."""
    subject: str
    asked_at: datetime
    confirmed_at: datetime | None
    confirmed_by: str | None


class FileHistory(msgspec.Struct, frozen=True):
    """A file that is or was there."""

    file_id: str
    sha256: str
    created_at: datetime
    removed_at: datetime | None
    is_needed: bool
    """Whether a file of the same owner has its content."""


class RemovalTables:
    """Removes files, and finds what became of them. An owner sees and changes only what is his."""

    def __init__(self, database: Database, copies: CopyTables) -> None:
        self._database = database
        self._copies = copies

    async def remove(self, owner: str, file_id: str, at: datetime) -> list[CopyRow] | None:
        """Remove a file of this owner; its copies that are to be deleted, or `None` if there was no such file.

        Raises:
            StoreFailed: it was not removed.
        """
        condemned = await self._database.write(_remove, (owner, file_id, at))
        if condemned:
            self._copies.deletions_due.set()
        return condemned

    async def copies(self, owner: str, sha256: str) -> list[CopyRow]:
        """List the owner's and shared copies of a content, or made of it, whatever their status; the newest first."""
        return await self._copies.of_content(owner, sha256)

    async def references(self, owner: str, sha256: str) -> list[Reference]:
        """List why this owner needs a content."""
        query = (
            select(file_references.c.reason, file_references.c.subject)
            .where(file_references.c.owner == owner, file_references.c.sha256 == sha256)
            .order_by(file_references.c.at)
        )
        return await self._database.read(
            lambda connection: [Reference(*row) for row in connection.execute(query)]
        )

    async def history(self, owner: str, file_id: str) -> FileHistory | None:
        """Find a file of this owner, also one that was removed."""
        others = files.alias()
        is_needed = exists().where(
            others.c.owner == owner, others.c.sha256 == files.c.sha256, others.c.removed_at.is_(None)
        )
        query = select(
            files.c.file_id, files.c.sha256, files.c.created_at, files.c.removed_at, is_needed
        ).where(files.c.owner == owner, files.c.file_id == file_id)
        row: Any = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else FileHistory(row[0], row[1], row[2], row[3], bool(row[4]))

    async def deletions(self, subjects: list[str]) -> dict[str, Deletion]:
        """Find what is known of the deletion of files, copies and contents, by their ids."""
        query = select(*(deletions.c[name] for name in Deletion.__struct_fields__)).where(
            deletions.c.subject.in_(subjects)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.subject: Deletion(*row) for row in rows}

    async def is_kept(self, sha256: str) -> bool:
        """Whether the bytes of a content are kept for anybody: nothing that an owner may be told."""
        query = select(blobs.c.sha256).where(blobs.c.sha256 == sha256)
        return await self._database.read(lambda connection: connection.execute(query).first()) is not None


@row_by_row(LockGroup.FILES, frees_space=True)
def _remove(connection: Connection, write: tuple[str, str, datetime]) -> list[CopyRow] | None:
    owner, file_id, at = write
    mine = and_(files.c.owner == owner, files.c.file_id == file_id, files.c.removed_at.is_(None))
    sha256 = connection.scalar(select(files.c.sha256).where(mine))
    if sha256 is None:
        return None
    connection.execute(update(files).where(mine).values(removed_at=at))
    connection.execute(
        delete(file_references).where(
            file_references.c.sha256 == sha256,
            file_references.c.owner == owner,
            file_references.c.reason == BY_FILE,
            file_references.c.subject == file_id,
        )
    )
    note_deletion(connection, NewDeletion(What.FILE, file_id, owner, sha256, STORE, at, at, "row"))
    condemned = _condemn_copies(connection, owner, sha256, at)
    condemn_unless_referred_to(connection, sha256, at)
    return condemned


def _condemn_copies(connection: Connection, owner: str, sha256: str, at: datetime) -> list[CopyRow]:
    """Condemn copies of a content that no file of their owner has any more; shared ones when nobody's has."""
    owners = set(
        connection.scalars(
            select(files.c.owner).where(files.c.sha256 == sha256, files.c.removed_at.is_(None)).distinct()
        ).all()
    )
    unneeded = [owner] * (owner not in owners) + [SHARED] * (not owners)
    if not unneeded:
        return []
    return condemn_copies(connection, and_(copies.c.owner.in_(unneeded), is_made_of(sha256)), at)
