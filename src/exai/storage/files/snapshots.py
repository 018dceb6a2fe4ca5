"""Rows of snapshots. Each refers to its contents, and to its manifest, as long as it is there."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, insert, or_, select, update

from exai.storage.database import Database
from exai.storage.files.rows import (
    BY_FILE,
    BY_SNAPSHOT,
    CONDEMNED,
    DAMAGED,
    LIVE,
    FileRow,
    is_referred_to,
    refer,
    release_claims,
    set_state,
)
from exai.storage.files.tables import Upload
from exai.storage.schema import blobs, file_references, file_uploads, snapshots
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["Snapshot", "SnapshotTable"]

_AT_ONCE = 500
"""Digests that one statement asks for."""


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot as its owner sees it."""

    tree_id: str
    owner: str
    manifest_sha256: str
    entries: int
    bytes: int
    """Of its contents, each counted once."""
    created_at: datetime


class SnapshotTable:
    """Finds and changes rows. An owner sees and changes only what is his."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def contents(self, owner: str, digests: Sequence[str]) -> dict[str, int]:
        """Return the sizes of those of the contents that this owner has whole, in a file or a snapshot."""
        return await self._database.read(lambda connection: _contents(connection, owner, digests))

    async def commit(self, upload: Upload, snapshot: Snapshot, digests: Sequence[str]) -> bool:
        """Keep a snapshot whose manifest is at its place; `False` where one of the contents went meanwhile.

        Raises:
            StoreFailed: that is not sure.
        """
        return await self._database.write(_commit, (upload, snapshot, tuple(digests)))

    async def find(self, owner: str, tree_id: str) -> Snapshot | None:
        """Find a snapshot of this owner."""
        return await self._first(snapshots.c.owner == owner, snapshots.c.tree_id == tree_id)

    async def find_manifest(self, owner: str, sha256: str) -> Snapshot | None:
        """Find the snapshot of this owner with a manifest."""
        return await self._first(snapshots.c.owner == owner, snapshots.c.manifest_sha256 == sha256)

    async def newest(self, owner: str, limit: int, *, after: str | None = None) -> list[Snapshot]:
        """List snapshots of this owner, newest first, behind the one with the id `after`."""
        newest_first = (snapshots.c.created_at.desc(), snapshots.c.tree_id.desc())
        query = select(snapshots).where(snapshots.c.owner == owner).order_by(*newest_first).limit(limit)
        if after is not None:
            at = (
                select(snapshots.c.created_at)
                .where(snapshots.c.owner == owner, snapshots.c.tree_id == after)
                .scalar_subquery()
            )
            is_older = (snapshots.c.created_at == at) & (snapshots.c.tree_id < after)
            query = query.where(or_(snapshots.c.created_at < at, is_older))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [Snapshot(*row) for row in rows]

    async def content(self, tree_id: str, name: str, sha256: str, created_at: datetime) -> FileRow | None:
        """Return a content to which a snapshot refers, as a file of a name; `None` where it refers to none such."""
        query = select(blobs.c.bytes, blobs.c.kind, blobs.c.media_type, blobs.c.state).where(
            blobs.c.sha256 == sha256,
            select(file_references)
            .where(
                file_references.c.sha256 == sha256,
                file_references.c.reason == BY_SNAPSHOT,
                file_references.c.subject == tree_id,
            )
            .exists(),
        )
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            return None
        size, kind, media_type, state = row
        return FileRow(tree_id, name, sha256, size, kind, media_type, created_at, state == DAMAGED)

    async def remove(self, owner: str, tree_id: str, at: datetime) -> bool:
        """Remove a snapshot of this owner; whether there was one.

        Raises:
            StoreFailed: it was not removed.
        """
        return await self._database.write(_remove, (owner, tree_id, at))

    async def _first(self, *conditions: object) -> Snapshot | None:
        query = select(snapshots).where(*conditions).limit(1)  # type: ignore[arg-type]
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else Snapshot(*row)


def _contents(connection: Connection, owner: str, digests: Sequence[str]) -> dict[str, int]:
    has = (
        select(file_references)
        .where(
            file_references.c.sha256 == blobs.c.sha256,
            file_references.c.owner == owner,
            file_references.c.reason.in_((BY_FILE, BY_SNAPSHOT)),
        )
        .exists()
    )
    found: dict[str, int] = {}
    for some in _in_groups(digests):
        query = select(blobs.c.sha256, blobs.c.bytes).where(
            blobs.c.sha256.in_(some), blobs.c.state == LIVE, has
        )
        found.update((row.sha256, row.bytes) for row in connection.execute(query))
    return found


@row_by_row(LockGroup.FILES)
def _commit(connection: Connection, write: tuple[Upload, Snapshot, tuple[str, ...]]) -> bool:
    upload, snapshot, digests = write
    if len(_contents(connection, snapshot.owner, digests)) < len(digests):
        return False
    set_state(connection, snapshot.manifest_sha256, LIVE, snapshot.created_at)
    connection.execute(insert(snapshots).values(**msgspec.structs.asdict(snapshot)))
    for sha256 in {*digests, snapshot.manifest_sha256}:
        refer(connection, sha256, snapshot.owner, BY_SNAPSHOT, snapshot.tree_id, snapshot.created_at)
    release_claims(connection, upload.upload_id, snapshot.created_at)
    connection.execute(delete(file_uploads).where(file_uploads.c.upload_id == upload.upload_id))
    return True


@row_by_row(LockGroup.FILES)
def _remove(connection: Connection, write: tuple[str, str, datetime]) -> bool:
    owner, tree_id, at = write
    removed = connection.execute(
        delete(snapshots).where(snapshots.c.owner == owner, snapshots.c.tree_id == tree_id)
    )
    if not removed.rowcount:
        return False
    is_its = (file_references.c.reason == BY_SNAPSHOT) & (file_references.c.subject == tree_id)
    digests = connection.scalars(select(file_references.c.sha256).where(is_its)).all()
    connection.execute(delete(file_references).where(is_its))
    for some in _in_groups(digests):
        connection.execute(
            update(blobs)
            .where(blobs.c.sha256.in_(some), blobs.c.state.in_((LIVE, DAMAGED)), ~is_referred_to)
            .values(state=CONDEMNED, last_referenced_at=at)
        )
    return True


def _in_groups(digests: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(digests), _AT_ONCE):
        yield digests[start : start + _AT_ONCE]
