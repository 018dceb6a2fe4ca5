"""The document `status`, which every page shows: whether the daemon serves, open errors, the auditor, today's spend."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exai.dashboard.documents.moments import iso, whole
from exai.dashboard.documents.providers import breaker_of
from exai.dashboard.documents.spend import SpendOfToday
from exai.dashboard.readiness import Check, readiness_of
from exai.errors import ExaiError
from exai.monitoring.running_calls import RunningCalls
from exai.routing.admission import Admission
from exai.routing.breaker import Breakers, State
from exai.runtime.clock import Clock
from exai.storage.auditor.observations import Observation
from exai.storage.dashboard.sums import DashboardSums
from exai.storage.fleet.replicas import Replicas

__all__ = ["RunFacts", "Status"]

COUNTS_S = 2.0
MOST_REPLICAS = 20


@dataclass(frozen=True)
class RunFacts:
    """What stays the same as long as the process lives."""

    version: str
    release: str
    demo: bool
    auth_mode: str
    run_id: str
    host: str
    began: float
    """Seconds since 1970."""

    def as_document(self) -> dict[str, Any]:
        """Describe the process."""
        return {
            "version": self.version,
            "release": self.release,
            "demo": self.demo,
            "auth_mode": self.auth_mode,
            "run_id": self.run_id,
            "host": self.host,
            "began_at": iso(self.began),
        }


@dataclass
class Status:
    """Makes the document; what needs the database or a provider is looked at every two seconds."""

    facts: RunFacts
    clock: Clock
    checks: Mapping[str, Check]
    sums: DashboardSums
    runs: Replicas
    spend: SpendOfToday
    auditor_mode: str
    observations: Callable[[], Awaitable[list[Observation]]]
    running: RunningCalls
    admission: Admission
    breakers: Breakers
    _slow: dict[str, Any] = field(default_factory=dict)
    _due: float = 0.0

    async def make(self, _share: float) -> dict[str, Any]:
        """Make it."""
        now = self.clock.monotonic()
        if now >= self._due:
            self._slow = await self._looked_at()
            self._due = self.clock.monotonic() + COUNTS_S
        since, spent = await self.spend.now()
        wall = self.clock.wall()
        return {
            **self.facts.as_document(),
            **self._slow,
            "spend_today_usd": None if spent is None else round(spent.usd, 6),
            "spend_emulated_usd": None if spent is None else round(spent.emulated_usd, 6),
            "unpriced_requests": None if spent is None else spent.without_price,
            "spend_since": whole(since),
            "calls_running": len(self.running),
            "calls_waiting": self.admission.waiting,
            "breakers": [
                {"provider": each.provider, "model": each.model, **breaker_of(each, wall)}
                for each in self.breakers
                if each.state is not State.CLOSED
            ],
        }

    async def _looked_at(self) -> dict[str, Any]:
        readiness = await readiness_of(self.checks)
        return {
            "state": readiness.state.word,
            "checks": readiness.verdicts,
            "check_states": readiness.states,
            "auditor": await self._auditor(),
            "errors_open": await self._open_groups(),
            "replicas": await self._replicas(),
        }

    async def _open_groups(self) -> int | None:
        try:
            return (await self.sums.groups_by_state()).get("open", 0)
        except ExaiError:
            return None

    async def _replicas(self) -> list[dict[str, str]] | None:
        """The other processes on this database, which have calls, sessions and breakers of their own."""
        try:
            others = await self.runs.others()
        except ExaiError:
            return None
        return [
            {"run_id": each.run_id, "host": each.host, "release": each.release}
            for each in others[:MOST_REPLICAS]
        ]

    async def _auditor(self) -> dict[str, Any]:
        try:
            seen = await self.observations()
        except ExaiError:
            return {"mode": self.auditor_mode, "open": None, "critical": None}
        lasting = [each for each in seen if each.state == "open"]
        return {
            "mode": self.auditor_mode,
            "open": len(lasting),
            "critical": sum(each.severity == "critical" for each in lasting),
        }
