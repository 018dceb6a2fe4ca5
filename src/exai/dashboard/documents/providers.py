"""The document `providers`: of each model its breaker, health, gate and last hour; and how breakers changed."""

from dataclasses import dataclass
from typing import Any

from exai.dashboard.documents.moments import ago, first, iso
from exai.errors import QuotaExhausted
from exai.monitoring.provider_health import Health, ProviderHealth
from exai.monitoring.recent.activity import ModelMinute, RecentActivity, Transition
from exai.routing.admission import Admission
from exai.routing.breaker import Breaker, Breakers
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock
from exai.runtime.gate import Gate

__all__ = ["Providers", "breaker_of"]

MOST_MODELS = 200
MOST_TRANSITIONS = 100


@dataclass(frozen=True)
class Providers:
    """Makes the document."""

    clock: Clock
    router: ModelRouter
    breakers: Breakers
    health: ProviderHealth
    admission: Admission
    activity: RecentActivity

    async def make(self, share: float) -> dict[str, Any]:
        """Make it, with this share of what its lists may hold."""
        wall, hours = self.clock.wall(), self.activity.models()
        transitions = first(self.activity.transitions(), MOST_TRANSITIONS, share)
        return {
            "providers": [self._provider(name, wall, hours, share) for name in self.router.providers],
            "transitions": [_transition(each) for each in transitions],
            "since": iso(self.activity.since),
        }

    def _provider(
        self, name: str, wall: float, hours: dict[tuple[str, str], ModelMinute], share: float
    ) -> dict[str, Any]:
        provider, gate = self.router.providers[name], self.admission.by_provider.get(name)
        of_provider = [breaker for breaker in self.breakers if breaker.provider == name]
        asked = [key[1] for key in hours if key[0] == name]
        names = list(dict.fromkeys([*(each.model for each in of_provider), *asked, *provider.models]))
        return {
            "name": name,
            "configured": provider.configured,
            "gate": None if gate is None else gate_figures(gate),
            "quota": _quota(of_provider, wall),
            "models": [
                self._model(name, model, wall, hours.get((name, model)))
                for model in first(names, MOST_MODELS, share)
            ],
        }

    def _model(self, provider: str, model: str, wall: float, hour: ModelMinute | None) -> dict[str, Any]:
        gate = self.admission.by_model.get((provider, model))
        health = self.health.of(provider, model)
        counts = hour or ModelMinute()
        return {
            "model": model,
            "breaker": breaker_of(self.breakers.find(provider, model), wall) | {"refused": counts.refused},
            "health": None if health is None else _health(health, wall),
            "gate": None if gate is None else gate_figures(gate),
            "hour": {
                "requests": counts.requests,
                "failed": counts.failed,
                "retries": counts.retries,
                "throttled": counts.throttled,
                "fallbacks": counts.fallbacks,
            },
        }


def breaker_of(breaker: Breaker | None, wall: float) -> dict[str, Any]:
    """Describe a breaker; one that was never used is closed."""
    if breaker is None:
        return {"state": "closed", "cause": None, "since": None, "until": None}
    is_open = breaker.state == "open"
    return {
        "state": breaker.state.value,
        "cause": breaker.cause,
        "since": ago(wall, breaker.open_for_s),
        "until": ago(wall, -breaker.retry_after_s) if is_open else None,
    }


def gate_figures(gate: Gate) -> dict[str, int]:
    """Describe how full a gate is."""
    return {
        "in_use": gate.in_use,
        "limit": gate.limit,
        "waiting": gate.waiting,
        "most_in_use": gate.most_in_use,
    }


def _health(health: Health, wall: float) -> dict[str, Any]:
    return {
        "requests": health.requests,
        "failed": health.failed,
        "last_error": health.last_error,
        "last_at": ago(wall, health.seconds_since_last),
        "mean_s": round(health.mean_seconds, 3),
    }


def _quota(breakers: list[Breaker], wall: float) -> dict[str, Any] | None:
    spent = [each for each in breakers if each.cause == QuotaExhausted.code]
    if not spent:
        return None
    resets = [each.resets_in_s for each in spent if each.resets_in_s is not None]
    models = ", ".join(sorted(each.model for each in spent))
    return {
        "resets_at": ago(wall, -max(resets)) if resets else None,
        "told": f"The account's quota is used up for {models}.",
    }


def _transition(each: Transition) -> dict[str, Any]:
    return {
        "at": iso(each.at),
        "provider": each.provider,
        "model": each.model,
        "to": each.to,
        "cause": each.cause,
        "for_s": each.for_s,
        "open_s": each.open_s,
    }
