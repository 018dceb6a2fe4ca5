"""How tools were used: counts by day, and what callers asked next."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
from sqlalchemy import func, select

from exai.runtime.clock import Clock
from exai.storage.calls.schema import use_counts
from exai.storage.calls.use import NameKind
from exai.storage.database import Database
from exai.storage.schema import calls

__all__ = ["CallerUse", "ToolUse", "ToolUseReader"]

NEXT = timedelta(minutes=2)
MOST_FOLLOWED = 100_000
"""Of the latest calls, those of which is looked at what came next."""


class ToolUse(msgspec.Struct):
    """How a tool was used."""

    tool: str
    calls: int = 0
    failures: int = 0
    callers: int = 0
    clients: int = 0
    outcomes: dict[str, int] = {}
    older_names: dict[str, int] = {}
    """Calls by older names."""
    cost_usd: float = 0.0
    last_day: str | None = None


class CallerUse(msgspec.Struct, frozen=True):
    """What a caller used of a model by a tool."""

    caller: str
    model: str
    tool: str
    calls: int
    failures: int
    cost_usd: float


class ToolUseReader:
    """Reads how tools were used."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def tools(self, days: float) -> Mapping[str, ToolUse]:
        """Sum up the use of the last days by tool.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = use_counts.c
        query = (
            select(
                row.kind,
                row.tool,
                row.name,
                func.sum(row.calls),
                func.sum(row.failures),
                func.sum(row.cost_usd),
                func.max(row.day),
                func.count(row.owner.distinct()),
            )
            .where(row.day >= self._since(days), row.kind.in_(_KINDS))
            .group_by(row.kind, row.tool, row.name)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        found: dict[str, ToolUse] = {}
        for kind, tool, name, called, failures, usd, day, owners in rows:
            use = found.setdefault(tool, ToolUse(tool))
            match NameKind(kind):
                case NameKind.TOOL:
                    use.calls, use.failures, use.cost_usd = int(called), int(failures), float(usd)
                    use.last_day, use.callers = day, int(owners)
                case NameKind.CLIENT:
                    use.clients += 1
                case NameKind.OUTCOME:
                    use.outcomes = {**use.outcomes, name: int(called)}
                case _:
                    use.older_names = {**use.older_names, name: int(called)}
        return found

    async def active_callers(self, days: float) -> int:
        """Count who called anything.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = use_counts.c
        query = select(func.count(row.owner.distinct())).where(
            row.day >= self._since(days), row.kind != NameKind.LIST.value
        )
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def lists_sent(self, days: float) -> Mapping[str, int]:
        """Count how often the list of each profile was sent.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = use_counts.c
        query = (
            select(row.name, func.sum(row.calls))
            .where(row.day >= self._since(days), row.kind == NameKind.LIST.value)
            .group_by(row.name)
        )
        return await self._database.read(
            lambda connection: {name: int(times) for name, times in connection.execute(query)}
        )

    async def by_caller(self, days: float, most: int) -> Sequence[CallerUse]:
        """Sum up the use of models by caller and tool, the most expensive first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = use_counts.c
        cost = func.sum(row.cost_usd)
        query = (
            select(row.owner, row.name, row.tool, func.sum(row.calls), func.sum(row.failures), cost)
            .where(row.day >= self._since(days), row.kind == NameKind.MODEL.value)
            .group_by(row.owner, row.name, row.tool)
            .order_by(cost.desc(), row.owner, row.name, row.tool)
            .limit(most)
        )
        return await self._database.read(
            lambda connection: [CallerUse(*each) for each in connection.execute(query)]
        )

    async def followed(self, days: float) -> Mapping[str, Mapping[str, int]]:
        """Count, by tool, which tools the same caller asked within two minutes afterwards, each once a call.

        Raises:
            StoreFailed: the database is out of reach.
        """
        row = calls.c
        latest = (
            select(row.owner, row.began_at, row.tool)
            .where(row.began_at >= self._clock.utc() - timedelta(days=days))
            .order_by(row.began_at.desc())
            .limit(MOST_FOLLOWED)
        )
        rows = await self._database.read(lambda connection: connection.execute(latest).all())
        found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        later: dict[str, tuple[str, datetime]] = {}
        for owner, at, tool in rows:
            following = later.get(owner)
            if following is not None and following[1] - at <= NEXT:
                found[tool][following[0]] += 1
            later[owner] = (tool, at)
        return {tool: dict(counts) for tool, counts in found.items()}

    def _since(self, days: float) -> str:
        return f"{self._clock.utc() - timedelta(days=days):%Y-%m-%d}"


_KINDS = [kind.value for kind in (NameKind.TOOL, NameKind.CLIENT, NameKind.OUTCOME, NameKind.OLDER_NAME)]
