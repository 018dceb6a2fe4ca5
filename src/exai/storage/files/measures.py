"""Sums over the tables of stored files, for the metrics: no owner and no name is among them."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from exai.storage.database import Database
from exai.storage.files.rows import Quota
from exai.storage.schema import blobs, files, provider_file_uploads

__all__ = ["FileSums", "StoreSums"]


class StoreSums(msgspec.Struct, frozen=True):
    """What the store has, all owners together."""

    contents: dict[str, tuple[int, int]]
    """Number and bytes, by state."""
    copies: dict[tuple[str, str], int]
    """Objects at providers, by provider and status."""
    quota_shares: Sequence[float]
    """How much of his quota each owner's files take, from 0 to 1, of bytes or files, whichever is more."""


class FileSums:
    """Reads the sums."""

    def __init__(self, database: Database, quota: Quota) -> None:
        self._database = database
        self._quota = quota

    async def read(self) -> StoreSums:
        """Add everything up.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._database.read(self._sums)

    def _sums(self, connection: Connection) -> StoreSums:
        size = func.coalesce(func.sum(blobs.c.bytes), 0)
        contents = connection.execute(select(blobs.c.state, func.count(), size).group_by(blobs.c.state)).all()
        of_copies = provider_file_uploads.c
        copies = connection.execute(
            select(of_copies.provider, of_copies.status, func.count()).group_by(
                of_copies.provider, of_copies.status
            )
        ).all()
        owners = connection.execute(
            select(func.count(), size)
            .select_from(files.join(blobs, blobs.c.sha256 == files.c.sha256))
            .where(files.c.removed_at.is_(None))
            .group_by(files.c.owner)
        ).all()
        return StoreSums(
            {state: (int(number), int(total)) for state, number, total in contents},
            {(provider, status): int(number) for provider, status, number in copies},
            [self._share(row) for row in owners],
        )

    def _share(self, row: Any) -> float:
        number, total = row
        return max(int(number) / self._quota.files, int(total) / self._quota.bytes)
