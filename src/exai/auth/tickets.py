"""Tickets for the dashboard: what carries a sign-in from a terminal into a browser.

A browser cannot send a bearer token by itself, and a token in an address would stay in its history and in logs. So a
ticket goes there instead, in the part of the address that browsers keep to themselves: good once and for 30 seconds.
"""

import hashlib
import re
import secrets
from datetime import UTC, datetime, timedelta

from exai.auth.scopes import DASHBOARD, ERRORS, OPERATE
from exai.callers import Caller, Credential, Door
from exai.config.auth import OWN_ISSUER
from exai.runtime.clock import Clock
from exai.storage.identity.tickets import TicketRow, TicketTable

__all__ = ["BROWSER_SCOPES", "SESSION_S", "TICKET_S", "Tickets"]

TICKET_S = 30.0
SESSION_S = 12 * 3600.0
"""How long a browser stays signed in at most; never longer than the token with which the ticket was asked for."""

BROWSER_SCOPES = frozenset({DASHBOARD, ERRORS, OPERATE})
"""What pages of the dashboard need. A browser is never given more, whatever its token allows."""

_FORM = re.compile(r"ext_[A-Za-z0-9_-]{43}")


class Tickets:
    """Issues and redeems tickets. They are in the database, so the command line needs no daemon."""

    def __init__(self, table: TicketTable, clock: Clock) -> None:
        self._table = table
        self._clock = clock

    async def issue(
        self,
        subject: str,
        credential: Credential | None = None,
        scopes: frozenset[str] = frozenset({DASHBOARD}),
    ) -> str:
        """Issue a ticket for a principal; without a credential, for somebody who administers the database.

        Args:
            scopes: what the browser may do, as far as the dashboard's pages do it at all.

        Raises:
            StoreFailed: it was not kept.
        """
        now = self._clock.utc()
        ticket = f"ext_{secrets.token_urlsafe(32)}"
        until = now + timedelta(seconds=SESSION_S)
        if credential is None:
            credential = Credential(OWN_ISSUER, secrets.token_hex(8), now.timestamp(), None)
        elif credential.expires_at is not None:
            until = min(until, datetime.fromtimestamp(credential.expires_at, UTC))
        row = TicketRow(
            ticket_sha256=_digest(ticket),
            subject=subject,
            issuer=credential.issuer,
            token_id=credential.token_id,
            issued_at=datetime.fromtimestamp(credential.issued_at, UTC),
            session_until=until,
            kid=credential.kid,
            expires_at=now + timedelta(seconds=TICKET_S),
            scopes=" ".join(sorted(scopes & BROWSER_SCOPES)),
        )
        await self._table.add(row, now)
        return ticket

    async def take(self, ticket: str) -> Caller | None:
        """Redeem a ticket for its caller; `None` where it is unknown, was used, or has expired.

        Raises:
            StoreFailed: the database is out of reach.
        """
        if _FORM.fullmatch(ticket) is None:
            return None
        row = await self._table.take(_digest(ticket), self._clock.utc())
        if row is None:
            return None
        credential = Credential(
            issuer=row.issuer,
            token_id=row.token_id,
            issued_at=row.issued_at.timestamp(),
            expires_at=row.session_until.timestamp(),
            kid=row.kid,
        )
        scopes = frozenset(row.scopes.split()) & BROWSER_SCOPES
        return Caller(subject=row.subject, door=Door.DASHBOARD, scopes=scopes, credential=credential)


def _digest(ticket: str) -> str:
    """What the database keeps. A ticket is random, so that a slow hash would add nothing."""
    return hashlib.sha256(ticket.encode("ascii")).hexdigest()
