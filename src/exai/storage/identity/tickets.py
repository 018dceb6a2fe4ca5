"""Rows of tickets: each lets one browser sign in to the dashboard, once and within moments."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select

from exai.storage.database import Database
from exai.storage.schema import dashboard_tickets as tickets
from exai.storage.write_operations import LockGroup, all_at_once, row_by_row

__all__ = ["TicketRow", "TicketTable"]


class TicketRow(msgspec.Struct, frozen=True):
    """A ticket that has not been used yet."""

    ticket_sha256: str
    subject: str
    issuer: str
    token_id: str
    issued_at: datetime
    """Of what the principal proved itself with; what was revoked since ends the browser's session too."""
    session_until: datetime
    kid: str | None
    expires_at: datetime
    scopes: str
    """What its browser may do, with spaces."""


class TicketTable:
    """Adds tickets, and redeems each once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: TicketRow, now: datetime) -> None:
        """Add a ticket, and delete those that have expired.

        Raises:
            StoreFailed: it was not kept.
        """
        await self._database.write(_add, (row, now))

    async def take(self, ticket_sha256: str, now: datetime) -> TicketRow | None:
        """Delete the ticket and return it; `None` where there is none that is still good.

        Raises:
            StoreFailed: the database is out of reach.
        """
        there = select(tickets.c.ticket_sha256).where(tickets.c.ticket_sha256 == ticket_sha256)
        if await self._database.read(lambda connection: connection.scalar(there)) is None:
            return None  # a guess must not take the write lock
        return await self._database.write(_take, (ticket_sha256, now))


_INSERT = insert(tickets)
_DROP = delete(tickets).where(tickets.c.expires_at <= bindparam("now"))
_TAKE = delete(tickets).where(tickets.c.ticket_sha256 == bindparam("of_ticket")).returning(*tickets.c)


@all_at_once(LockGroup.TICKETS)
def _add(connection: Connection, many: list[tuple[TicketRow, datetime]]) -> None:
    connection.execute(_DROP, {"now": min(now for _, now in many)})
    connection.execute(_INSERT, [msgspec.structs.asdict(row) for row, _ in many])


@row_by_row(LockGroup.TICKETS)
def _take(connection: Connection, parameters: tuple[str, datetime]) -> TicketRow | None:
    ticket_sha256, now = parameters
    found = connection.execute(_TAKE, {"of_ticket": ticket_sha256}).one_or_none()
    if found is None:
        return None
    row = TicketRow(**found._mapping)  # noqa: SLF001 - SQLAlchemy's public face of a row by name
    return row if now < row.expires_at else None
