"""Where investigations are asked for, followed and cancelled: one answer for the command line and every door.

It reads and writes rows alone, so it works in any process on the database; whichever runs investigations takes up what
was asked for.
"""

import asyncio
from collections.abc import Callable

from exai.error_tracking.console import UnknownGroup
from exai.error_tracking.investigation.view import InvestigationView, view_of
from exai.errors import ToolFault
from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.error_tracking.groups import GroupTables
from exai.storage.error_tracking.investigations import EvidenceRow, InvestigationTables
from exai.storage.error_tracking.rows import GroupRow

__all__ = ["InvestigationDesk", "InvestigationRefused"]

LOOK_S = 0.25
"""How often somebody who waits looks at the row."""


class InvestigationRefused(ToolFault):
    """A group is not investigated."""

    code = "investigation_refused"
    http_status = 409
    fixable_by = "caller"


class InvestigationDesk:
    """Asks for investigations, tells how they stand, and cancels them."""

    def __init__(self, database: Database, clock: Clock, mode: str) -> None:
        """`mode` is the setting `investigation.mode`."""
        self._tables = InvestigationTables(database, clock)
        self._groups = GroupTables(database, clock)
        self._mode = mode

    async def ask(self, number: int, asked_by: str) -> InvestigationView:
        """Ask for an investigation of a group; one that is under way is that one.

        Raises:
            UnknownGroup: there is none of this number.
            InvestigationRefused: it is the doing of EXAI's own callers, or investigations are off.
            StoreFailed: it was not asked for.
        """
        group = await self._found(number)
        if self._mode == "off":
            raise InvestigationRefused("Investigations are off here (`investigation.mode`).")
        row = await self._tables.ask(group.group_id, "asked", asked_by)
        if row is None:
            raise InvestigationRefused(
                f"E-{number} was met by nobody but callers of EXAI itself, such as its investigator; no model is "
                f"asked about it. `exai errors show E-{number}` has the report that needs none."
            )
        return view_of(row)

    async def look(self, investigation_id: str) -> InvestigationView | None:
        """Find an investigation.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = await self._tables.find(investigation_id)
        return None if row is None else view_of(row)

    async def follow(
        self, investigation_id: str, on_change: Callable[[InvestigationView], None]
    ) -> InvestigationView | None:
        """Wait until an investigation is over; `None`: it is gone with its group.

        Args:
            on_change: is told each change of its state and stage.

        Raises:
            StoreFailed: the database is out of reach.
        """
        before: tuple[str, str] | None = None
        while True:
            view = await self.look(investigation_id)
            if view is None or view.ended_at is not None:
                return view
            if (view.state, view.stage) != before:
                before = (view.state, view.stage)
                on_change(view)
            await asyncio.sleep(LOOK_S)

    async def cancel(self, investigation_id: str, by: str) -> bool:
        """Cancel an investigation, wherever it runs; return whether it was not over yet.

        Raises:
            StoreFailed: it is not cancelled.
        """
        return await self._tables.cancel(investigation_id, f"Cancelled by {by}.")

    async def evidence(self, investigation_id: str) -> list[EvidenceRow]:
        """Read what the models of an investigation were shown.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._tables.evidence_of(investigation_id)

    async def _found(self, number: int) -> GroupRow:
        group = await self._groups.find(number)
        if group is None:
            raise UnknownGroup(f"There is no group E-{number}. `exai errors list` has them.")
        return group
