"""Builds what decides who a caller is, and what makes and revokes tokens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority
from exai.auth.tickets import Tickets
from exai.config import Settings
from exai.dashboard.operations import Identity
from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from exai.storage.identity.tickets import TicketTable
from exai.web.browser_sessions import BrowserSessions

__all__ = ["open_identity"]


@asynccontextmanager
async def open_identity(settings: Settings, database: Database, clock: Clock) -> AsyncIterator[Identity]:
    """Read keys and revocations; leaving ends what is being fetched from other issuers.

    Raises:
        StartFault: an issuer is to give scopes that do not exist.
        StoreFailed: the database is out of reach.
    """
    tables = IdentityTables(database)
    authenticator = await Authenticator.open(settings.auth, tables, clock)
    try:
        authority = Authority(settings.auth, tables, settings.data_dir, clock, changed=authenticator.refresh)
        tickets = Tickets(TicketTable(database), clock)
        yield Identity(authenticator, authority, tickets, BrowserSessions(clock, authenticator.end_of))
    finally:
        await authenticator.close()
