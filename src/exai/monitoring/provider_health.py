"""How requests to each model went lately, for `models` and `status`."""

from collections import deque
from dataclasses import dataclass

from exai.events.bus import EventBus
from exai.events.events import ProviderCallEnded
from exai.runtime.clock import Clock

__all__ = ["Health", "ProviderHealth"]

REMEMBERED = 50
"""Requests per model. Old ones are dropped by number, not by age, so a model that is rarely asked keeps its latest."""


@dataclass(frozen=True, slots=True)
class Health:
    """A summary of the latest requests to one model."""

    requests: int
    failed: int
    last_error: str | None
    """Code of the latest failure, `None` when the latest request went well."""
    seconds_since_last: float
    mean_seconds: float


class ProviderHealth:
    """Watches the bus and remembers the latest requests to each model."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str], deque[tuple[float, str, float]]] = {}

    def watch(self, bus: EventBus) -> None:
        """Remember requests from now on."""
        bus.watch(self._request_ended, ProviderCallEnded)

    def _request_ended(self, event: ProviderCallEnded) -> None:
        if event.counts_for_health:
            seen = self._seen.setdefault((event.provider, event.model), deque(maxlen=REMEMBERED))
            seen.append((self._clock.monotonic(), event.outcome, event.seconds))

    def of(self, provider: str, model: str) -> Health | None:
        """Return the health of a model; `None` while it was not asked."""
        seen = self._seen.get((provider, model))
        if not seen:
            return None
        at, outcome, _ = seen[-1]
        return Health(
            requests=len(seen),
            failed=sum(1 for _, each, _ in seen if each != "ok"),
            last_error=None if outcome == "ok" else outcome,
            seconds_since_last=self._clock.monotonic() - at,
            mean_seconds=sum(seconds for _, _, seconds in seen) / len(seen),
        )
