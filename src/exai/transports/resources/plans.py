"""Plans as resources: the tree as the tool `plan` shows it."""

import mcp_types as types

from exai.storage.workflows.plans import PlanLine, PlanTables
from exai.tools.workflows.plan import ShownPlan
from exai.transports.resources.kind import id_in, unknown

__all__ = ["PlanResources"]

TEXT = "text/plain"
NAME_CHARACTERS = 80


class PlanResources:
    """Plans."""

    prefix = "exai://plans/"
    templates = (
        types.ResourceTemplate(
            uri_template=f"{prefix}{{id}}",
            name="plan",
            title="A plan",
            description="Its items, and which are done.",
            mime_type=TEXT,
        ),
    )

    def __init__(self, tables: PlanTables) -> None:
        self._tables = tables

    async def page(self, owner: str, most: int, after: str | None) -> list[types.Resource]:
        """List some of an owner's plans, the one that was made last first."""
        return [self._described(each) for each in await self._tables.page(owner, most, after)]

    async def read(self, owner: str, uri: str) -> types.TextResourceContents:
        """Read one of the owner's plans.

        Raises:
            UnknownResource: the owner has none at this address.
        """
        plan = await self._tables.find(owner, id_in(uri, self.prefix))
        if plan is None:
            raise unknown()
        return types.TextResourceContents(uri=uri, mime_type=TEXT, text=ShownPlan.of(plan).text())

    async def ids(self, owner: str, begin: str, most: int) -> list[str]:
        """List the plans of the owner's whose ids begin so, the one that was changed last first."""
        rows = await self._tables.newest(owner, most)
        return [row.plan_id for row in rows if row.plan_id.startswith(begin)]

    def _described(self, row: PlanLine) -> types.Resource:
        return types.Resource(
            uri=f"{self.prefix}{row.plan_id}",
            name=" ".join(row.goal.split())[:NAME_CHARACTERS],
            description="A plan.",
            mime_type=TEXT,
            annotations=types.Annotations(last_modified=row.updated_at.isoformat(timespec="seconds")),
        )
