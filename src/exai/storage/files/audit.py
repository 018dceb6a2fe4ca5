"""Rows of contents, for comparing them with the bytes that are kept."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from exai.storage.database import Database
from exai.storage.dialects import insert_if_absent
from exai.storage.files.rows import CONDEMNED, DAMAGED, LIVE
from exai.storage.schema import blobs
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["AuditTables", "KeptContent"]

PAGE = 1_000


class KeptContent(msgspec.Struct, frozen=True):
    """A content whose bytes should be at their place."""

    sha256: str
    bytes: int
    is_damaged: bool


class AuditTables:
    """Lists contents, and takes unknown ones in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, after: str = "") -> list[KeptContent]:
        """List contents in the order of their digests, a page behind `after`.

        Condemned ones are not among them: whoever puts one again writes its bytes again.
        """
        query = (
            select(blobs.c.sha256, blobs.c.bytes, blobs.c.state)
            .where(blobs.c.state.in_((LIVE, DAMAGED)), blobs.c.sha256 > after)
            .order_by(blobs.c.sha256)
            .limit(PAGE)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [KeptContent(row.sha256, row.bytes, row.state == DAMAGED) for row in rows]

    async def condemn_unknown(self, digests: Sequence[str], at: datetime) -> int:
        """Give contents without a row one, so that they are deleted after the grace; how many there were.

        Raises:
            StoreFailed: none was given a row.
        """
        return await self._database.write(_condemn_unknown, (list(digests), at))


_ADD = insert_if_absent(blobs)


@row_by_row(LockGroup.FILES)
def _condemn_unknown(connection: Connection, write: tuple[list[str], datetime]) -> int:
    digests, at = write
    count = 0
    for sha256 in digests:
        row = {"sha256": sha256, "bytes": 0, "kind": "binary", "media_type": "application/octet-stream"}
        count += _ADD.execute(connection, {**row, "state": CONDEMNED, "last_referenced_at": at}).rowcount
    return count
