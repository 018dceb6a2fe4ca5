"""What the daemon needs to serve, as `/readyz` and the dashboard ask for it."""

from exai.app.services import Services
from exai.dashboard.readiness import Check, Finding, State
from exai.errors import StoreFailed
from exai.routing.reachability import Reachability

__all__ = ["ReadinessChecks"]

HELD_FOR_S = 60.0
"""How long a hold-up of the event loop is reported."""


class ReadinessChecks:
    """The checks of a daemon."""

    def __init__(self, services: Services, reachability: Reachability) -> None:
        self._services = services
        self._reachability = reachability
        self._stopping = False
        self.all: dict[str, Check] = {
            "admitting": self._admitting,
            "database": self._database,
            "providers": self._providers,
            "event_loop": self._event_loop,
        }

    def stop(self) -> None:
        """Report not ready from now on, here and in the row of this process, and begin no job."""
        self._stopping = True
        self._services.faults.replicas.drain_soon()
        if self._services.jobs is not None:
            self._services.jobs.stop()

    async def _admitting(self) -> Finding | None:
        if self._stopping:
            return Finding(State.UNREADY, "stopping")
        beats = self._services.storage.database.beats
        return Finding(State.UNREADY, "draining") if beats is not None and beats.is_draining else None

    async def _database(self) -> Finding | None:
        try:
            await self._services.storage.database.check()
        except StoreFailed as fault:
            return Finding(State.UNREADY, str(fault))
        return None

    async def _providers(self) -> Finding | None:
        configured = self._services.configured_providers
        if not configured:
            return Finding(State.UNREADY, "no provider has a key")
        troubles = await self._reachability.troubles()
        if not troubles:
            return None
        answering = set(configured) - {each.provider for each in troubles if not each.can_answer}
        reasons = "; ".join(each.reason for each in troubles)
        return Finding(State.DEGRADED if answering else State.UNREADY, reasons)

    async def _event_loop(self) -> Finding | None:
        hold = self._services.monitoring.loop_lag.latest_hold()
        if hold is None or hold.seconds_ago > HELD_FOR_S:
            return None
        return Finding(State.DEGRADED, f"it was held for {hold.seconds:.1f} s, {hold.seconds_ago:.0f} s ago")
