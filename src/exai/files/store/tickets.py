"""Tickets for one upload each: for an agent that can run `curl`, and has no token in its hands.

A ticket is 256 random bits that only its holder knows; the database has their hash. It is good once, for ten minutes,
for a file of one owner, and of the size and the content for which it was asked. It is spent when its upload begins: a
second request at the same time gets nothing, and whoever breaks off asks for another ticket.
"""

import hashlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from exai import config
from exai.files.faults import LengthWrong, UnknownTicket
from exai.files.store.shelf import Shelf, too_large
from exai.runtime.clock import Clock
from exai.storage.files.tables import FileRow
from exai.storage.files.tickets import UploadTicketRow, UploadTicketTable

__all__ = ["Ticket", "UploadTickets"]

LIFE = timedelta(minutes=10)
RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class Ticket:
    """What its holder needs."""

    path: str
    """Where the file is sent, by POST as a form with one part `file`; the ticket is its end."""
    expires_at: datetime


class UploadTickets:
    """Issues tickets, and takes the files that are sent with them."""

    def __init__(self, table: UploadTicketTable, shelf: Shelf, settings: config.Files, clock: Clock) -> None:
        self._table = table
        self._shelf = shelf
        self._settings = settings
        self._clock = clock

    async def issue(
        self, owner: str, name: str | None = None, size: int | None = None, sha256: str | None = None
    ) -> Ticket:
        """Let whoever holds the ticket store one file of this owner.

        Args:
            name: of the file; else the one that is sent with it.
            size: how many bytes it must have.
            sha256: what it must be, in lower case.

        Raises:
            FileTooLarge: one file may not have so many bytes.
            StoreFailed: it was not kept.
        """
        if size is not None and size > self._settings.max_upload_bytes:
            raise too_large(self._settings.max_upload_bytes)
        secret, now = secrets.token_urlsafe(RANDOM_BYTES), self._clock.utc()
        row = UploadTicketRow(_hash(secret), owner, name, size, sha256, now + LIFE)
        await self._table.add(row, now)
        return Ticket(f"/files/tickets/{secret}", row.expires_at)

    async def find(self, secret: str) -> UploadTicketRow:
        """Look what a ticket is good for, without spending it.

        Raises:
            UnknownTicket: it was never issued, is spent, or has expired.
        """
        row = await self._table.find(_hash(secret), self._clock.utc())
        if row is None:
            raise _unknown()
        return row

    async def redeem(
        self, ticket: UploadTicketRow, name: str, declared: int, pieces: AsyncIterable[bytes]
    ) -> FileRow:
        """Spend a ticket, and store what comes.

        Args:
            name: that was sent with it, for a ticket without one.
            declared: how many bytes come at most.

        Raises:
            UnknownTicket: somebody else was faster.
            ExaiError: as `Shelf.put` does; the ticket is spent all the same.
        """
        if not await self._table.take(ticket.ticket_sha256):
            raise _unknown()
        most = declared if ticket.bytes is None else ticket.bytes
        content = pieces if ticket.bytes is None else _exactly(ticket.bytes, pieces)
        return await self._shelf.put(ticket.owner, ticket.name or name, most, content, expected=ticket.sha256)


async def _exactly(size: int, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    received = 0
    async for piece in pieces:
        received += len(piece)
        if received > size:
            break
        yield piece
    if received != size:
        raise LengthWrong(
            f"The ticket is for a file of {size} bytes. Ask for another one, and send that file."
        )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _unknown() -> UnknownTicket:
    return UnknownTicket(
        "This ticket is not good: it was used, or ten minutes have passed. Ask for another one."
    )
