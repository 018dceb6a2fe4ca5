"""Rows of the files that lie at a provider: what was uploaded there, by whom, under which id.

Each owner has uploads of his own. Were they shared, a picture that need not be uploaded would tell that somebody
else had sent it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from exai.storage.database import Database
from exai.storage.schema import provider_file_uploads as uploads

__all__ = ["Store", "UploadRow", "UploadTable"]


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


class UploadTable:
    """Finds, keeps and forgets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, store: Store, owner: str, digests: Sequence[str]) -> dict[str, str]:
        """The remote ids of those of the digests that are known of this owner."""
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

    def used_soon(self, store: Store, owner: str, digests: Sequence[str], at: datetime) -> None:
        """Note that files were used; lost at worst."""
        for digest in digests:
            parameters = {**_store(store), "of_owner": owner, "of_digest": digest, "at": at}
            self._database.write_soon(_use, parameters)

    async def forget(self, store: Store, remote_id: str) -> None:
        """Forget a file that is no longer there."""
        await self._database.write(_forget, {**_store(store), "of_remote": remote_id})

    async def unused_since(self, store: Store, moment: datetime, most: int) -> list[str]:
        """Remote ids of files that nobody has used since `moment`, the longest unused first."""
        parameters = {**_store(store), "moment": moment}
        return await self._database.read(
            lambda connection: list(connection.scalars(_UNUSED.limit(most), parameters))
        )


_in_store = (
    uploads.c.provider == bindparam("of_provider"),
    uploads.c.account == bindparam("of_account"),
    uploads.c.purpose == bindparam("of_purpose"),
)
_of_owner = uploads.c.owner == bindparam("of_owner")
_FIND = select(uploads.c.sha256, uploads.c.remote_id).where(
    *_in_store, _of_owner, uploads.c.sha256.in_(bindparam("digests", expanding=True))
)
_UNUSED = (
    select(uploads.c.remote_id)
    .where(*_in_store, uploads.c.used_at < bindparam("moment"))
    .order_by(uploads.c.used_at)
)
_USE = (
    update(uploads)
    .where(*_in_store, _of_owner, uploads.c.sha256 == bindparam("of_digest"))
    .values(used_at=bindparam("at"))
)
_FORGET = delete(uploads).where(*_in_store, uploads.c.remote_id == bindparam("of_remote"))


def _keep(connection: Connection, many: list[dict[str, Any]]) -> list[None]:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(uploads)
    renewed = {name: statement.excluded[name] for name in ("remote_id", "bytes", "uploaded_at", "used_at")}
    keys = list(uploads.primary_key.columns)
    for values in many:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=renewed), values)
    return [None] * len(many)


def _use(connection: Connection, many: list[dict[str, Any]]) -> list[None]:
    connection.execute(_USE, many)
    return [None] * len(many)


def _forget(connection: Connection, many: list[dict[str, Any]]) -> list[None]:
    connection.execute(_FORGET, many)
    return [None] * len(many)


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
