"""The document `system`: memory, loop, tasks, database, duties and jobs of this process."""

import asyncio
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from msgspec import to_builtins

from exai.dashboard.documents.moments import iso
from exai.errors import ExaiError
from exai.monitoring.loop_lag import LoopLag
from exai.monitoring.recent.seconds import RecentSeconds
from exai.monitoring.resident_memory import resident_mib
from exai.runtime.clock import Clock
from exai.storage.dashboard.sums import DashboardSums
from exai.storage.database import Database
from exai.tools.system_report import SystemReport

__all__ = ["Held", "System"]

MEASURE_S = 60.0
MIB = 2**20


@dataclass(frozen=True)
class Held:
    """Something that is held in memory."""

    name: str
    unit: str
    """`bytes`, or what is counted."""
    read: Callable[[], float]


@dataclass
class System:
    """Makes the document."""

    clock: Clock
    report: SystemReport
    database: Database
    sums: DashboardSums
    loop_lag: LoopLag
    seconds: RecentSeconds
    held: Iterable[Held]
    began: float
    """Seconds since 1970."""
    _bytes: int | None = None
    _due: float = field(default=0.0)

    async def make(self, _share: float) -> dict[str, Any]:
        """Make it."""
        memory = resident_mib()
        return {
            "resident_bytes": None if memory is None else round(memory * MIB),
            "loop_lag_ms": round(self.loop_lag.last_s * 1000, 1),
            "tasks": len(asyncio.all_tasks()),
            "pending_writes": self.database.pending_durable_writes,
            "dropped_writes": self.database.dropped_writes,
            "database": {"kind": self.database.kind, "bytes": await self._database_bytes()},
            "began_at": iso(self.began),
            "python": platform.python_version(),
            "platform": platform.system(),
            "memory": [{"name": each.name, "unit": each.unit, "value": each.read()} for each in self.held],
            "duties": [
                {**to_builtins(state), "removed": record.removed if record.duty.removes else None}
                for state, record in zip(self.report.duty_states(), self.report.duties, strict=True)
            ],
            "jobs": to_builtins(self.report.jobs_by_state()),
            "series": self.seconds.names,
        }

    async def _database_bytes(self) -> int | None:
        if self.clock.monotonic() >= self._due:
            self._due = self.clock.monotonic() + MEASURE_S
            try:
                self._bytes = await self.sums.bytes()
            except ExaiError:
                self._bytes = None
        return self._bytes
