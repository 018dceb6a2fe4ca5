"""Tables of files at providers: what was uploaded, by whom, under which id, and what is to be deleted.

Each owner has uploads of his own. Were they shared, a picture that need not be uploaded would tell that somebody
else had sent it.

A file is in one of two tables: in use, or condemned. It moves from the first to the second in one transaction, and
never back: what is condemned is not found any more, so it can be deleted at the provider whenever that succeeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, tuple_, update

from exai.storage.database import Database
from exai.storage.dialects import insert_if_absent, upsert
from exai.storage.schema import provider_file_deletions as deletions
from exai.storage.schema import provider_file_uploads as uploads
from exai.storage.write_operations import LockGroup, all_at_once, row_by_row

__all__ = ["CondemnedFile", "Store", "UploadRow", "UploadTable"]

USE_IS_KNOWN_WITHIN = timedelta(hours=1)
"""A use is written down unless one this recent is."""


@dataclass(frozen=True, slots=True)
class Store:
    """One account's files of one purpose at one provider."""

    provider: str
    account: str
    """A fingerprint; it says nothing of the key."""
    purpose: str


class UploadRow(msgspec.Struct, frozen=True):
    """A file at the provider."""

    sha256: str
    remote_id: str
    bytes: int
    at: datetime


class CondemnedFile(msgspec.Struct, frozen=True):
    """A file that is to be deleted at the provider."""

    provider: str
    account: str
    remote_id: str
    owner: str


class UploadTable:
    """Finds, keeps, condemns and forgets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, store: Store, owner: str, digests: Sequence[str]) -> dict[str, str]:
        """Find the remote ids of those of the digests that this owner has uploaded."""
        parameters = {**_store(store), "of_owner": owner, "digests": list(digests)}
        return await self._database.read(
            lambda connection: {row[0]: row[1] for row in connection.execute(_FIND, parameters)}
        )

    async def keep(self, store: Store, owner: str, row: UploadRow) -> None:
        """Remember a file; of two uploads of one content by one owner the later is remembered.

        Raises:
            StoreFailed: it was not kept.
        """
        await self._database.write(_keep, _values(store, owner, row))

    async def use(self, store: Store, owner: str, digests: Sequence[str], at: datetime) -> dict[str, str]:
        """Find the remote ids of those of the digests that this owner has uploaded.

        They are not condemned for as long as unused files are kept, counted from `at`.

        Raises:
            StoreFailed: that is not sure.
        """
        parameters = {**_store(store), "of_owner": owner, "digests": list(digests)}
        rows = await self._database.read(lambda connection: connection.execute(_FIND_USES, parameters).all())
        stale = [row.sha256 for row in rows if row.used_at < at - USE_IS_KNOWN_WITHIN]
        found = {row.sha256: row.remote_id for row in rows if row.sha256 not in stale}
        if stale:
            used = await self._database.write(_use, {**parameters, "digests": stale, "at": at})
            found.update(used)
        return found

    async def forget(self, store: Store, remote_id: str) -> None:
        """Forget a file that is no longer there."""
        await self._database.write(_forget, {**_store(store), "of_remote": remote_id})

    async def condemn_unused(self, store: Store, since: datetime, at: datetime, most: int) -> int:
        """Condemn files that have not been used since then, the longest unused first; how many there were."""
        parameters = {**_store(store), "moment": since, "at": at, "most": most}
        return await self._database.write(_condemn, parameters)

    async def condemned(self, most: int, *, after: CondemnedFile | None = None) -> list[CondemnedFile]:
        """Read what is to be deleted, at any provider: a page in the order of the key, behind `after`."""
        page = _CONDEMNED.limit(most)
        if after is not None:
            page = page.where((after.provider, after.account, after.remote_id) < _CONDEMNED_KEY)
        return await self._database.read(
            lambda connection: [CondemnedFile(*row) for row in connection.execute(page).all()]
        )

    async def forget_condemned(self, file: CondemnedFile) -> None:
        """Forget a file that has been deleted at the provider."""
        parameters = {"of_provider": file.provider, "of_account": file.account, "of_remote": file.remote_id}
        await self._database.write(_forget_condemned, parameters)


_in_store = (
    uploads.c.provider == bindparam("of_provider"),
    uploads.c.account == bindparam("of_account"),
    uploads.c.purpose == bindparam("of_purpose"),
)
_of_owner = uploads.c.owner == bindparam("of_owner")
_FIND = select(uploads.c.sha256, uploads.c.remote_id).where(
    *_in_store, _of_owner, uploads.c.sha256.in_(bindparam("digests", expanding=True))
)
_FIND_USES = select(uploads.c.sha256, uploads.c.remote_id, uploads.c.used_at).where(
    *_in_store, _of_owner, uploads.c.sha256.in_(bindparam("digests", expanding=True))
)
_UNUSED = (
    select(uploads.c.owner, uploads.c.remote_id)
    .where(*_in_store, uploads.c.used_at < bindparam("moment"))
    .order_by(uploads.c.used_at)
    .limit(bindparam("most"))
)
_CONDEMNED_KEY = tuple_(deletions.c.provider, deletions.c.account, deletions.c.remote_id)
_CONDEMNED = select(
    deletions.c.provider, deletions.c.account, deletions.c.remote_id, deletions.c.owner
).order_by(deletions.c.provider, deletions.c.account, deletions.c.remote_id)
_FORGET_CONDEMNED = delete(deletions).where(
    deletions.c.provider == bindparam("of_provider"),
    deletions.c.account == bindparam("of_account"),
    deletions.c.remote_id == bindparam("of_remote"),
)
_USE = (
    update(uploads)
    .where(*_in_store, _of_owner, uploads.c.sha256.in_(bindparam("digests", expanding=True)))
    .values(used_at=bindparam("at"))
)
_FORGET = delete(uploads).where(*_in_store, uploads.c.remote_id == bindparam("of_remote"))


_ADD_CONDEMNED = insert_if_absent(deletions)
"""Two rows may name one file, where a provider has one id for equal contents."""
_KEEP = upsert(uploads, ("remote_id", "bytes", "uploaded_at", "used_at"))


@all_at_once(LockGroup.UPLOADS)
def _keep(connection: Connection, many: list[dict[str, Any]]) -> None:
    _KEEP.execute(connection, many)


@row_by_row(LockGroup.UPLOADS)
def _use(connection: Connection, parameters: dict[str, Any]) -> dict[str, str]:
    """Find the rows again after the write: one that was condemned meanwhile is not there."""
    connection.execute(_USE, parameters)
    return {row[0]: row[1] for row in connection.execute(_FIND, parameters)}


@row_by_row(LockGroup.UPLOADS)
def _condemn(connection: Connection, parameters: dict[str, Any]) -> int:
    unused = connection.execute(_UNUSED, parameters).all()
    for row in unused:
        in_store = {name: parameters[name] for name in ("of_provider", "of_account", "of_purpose")}
        connection.execute(_FORGET, {**in_store, "of_remote": row.remote_id})
        _ADD_CONDEMNED.execute(
            connection,
            {
                "provider": parameters["of_provider"],
                "account": parameters["of_account"],
                "remote_id": row.remote_id,
                "owner": row.owner,
                "condemned_at": parameters["at"],
            },
        )
    return len(unused)


@all_at_once(LockGroup.UPLOADS)
def _forget_condemned(connection: Connection, many: list[dict[str, Any]]) -> None:
    connection.execute(_FORGET_CONDEMNED, many)


@all_at_once(LockGroup.UPLOADS)
def _forget(connection: Connection, many: list[dict[str, Any]]) -> None:
    connection.execute(_FORGET, many)


def _store(store: Store) -> dict[str, str]:
    return {"of_provider": store.provider, "of_account": store.account, "of_purpose": store.purpose}


def _values(store: Store, owner: str, row: UploadRow) -> dict[str, Any]:
    return {
        "provider": store.provider,
        "account": store.account,
        "purpose": store.purpose,
        "owner": owner,
        "sha256": row.sha256,
        "remote_id": row.remote_id,
        "bytes": row.bytes,
        "uploaded_at": row.at,
        "used_at": row.at,
    }
