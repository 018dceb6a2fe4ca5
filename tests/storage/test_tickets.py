"""Tickets between processes on one database."""

import asyncio
from pathlib import Path

from exai import config
from exai.auth.tickets import Tickets
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.identity.tickets import TicketTable


async def test_of_many_who_show_one_ticket_at_once_one_gets_in(
    database_settings: config.Database, tmp_path: Path
) -> None:
    databases = [await Database.open(database_settings, tmp_path) for _ in range(2)]
    clock = ManualClock()
    replicas = [Tickets(TicketTable(database), clock) for database in databases]
    for _ in range(10):
        ticket = await replicas[0].issue("local")
        taken = await asyncio.gather(*(replicas[number % 2].take(ticket) for number in range(8)))
        assert len([caller for caller in taken if caller is not None]) == 1
    for database in databases:
        await database.close()
