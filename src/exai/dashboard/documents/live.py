"""The document `live`: what runs, who waits at which gate, rates of the hour, the latest calls that ended."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from exai.dashboard.documents.moments import ago, cut, first, iso
from exai.dispatch.running.under_way import CallState, CallsUnderWay
from exai.events.events import CallEnded
from exai.monitoring.recent.activity import Minute, RecentActivity
from exai.monitoring.running_calls import RunningCall, RunningCalls
from exai.monitoring.statistics.histogram import Histogram
from exai.routing.admission import Admission
from exai.runtime.clock import Clock
from exai.runtime.gate import Gate

__all__ = ["Live", "ending_of", "gates_of", "hour_of"]

MOST_RUNNING = 100
MOST_WAITERS = 10
MOST_GATES = 60
MOST_ENDINGS = 50


@dataclass(frozen=True)
class Live:
    """Makes the document."""

    clock: Clock
    running: RunningCalls
    under_way: CallsUnderWay
    admission: Admission
    activity: RecentActivity

    async def make(self, share: float) -> dict[str, Any]:
        """Make it, with this share of what its lists may hold."""
        wall, calls = self.clock.wall(), list(self.running)
        states = dict(self.under_way.states())
        minutes = self.activity.minutes()
        return {
            "running": [
                running_row(call, states.get(call.call_id), wall)
                for call in first(calls, MOST_RUNNING, share)
            ],
            "running_total": len(calls),
            "gates": list(first(list(gates_of(self.admission)), MOST_GATES, share)),
            "callers": {"waiting": self.admission.waiting_for_own},
            "hour": hour_of(self.activity),
            "minutes": [_minute_row(minute) for minute in minutes],
            "endings": [
                ending_of(at, each) for at, each in first(self.activity.endings(), MOST_ENDINGS, share)
            ],
        }

    def row(self, call_id: str) -> dict[str, Any] | None:
        """Make the row of one call; `None` when it does not run here."""
        state = self.under_way.state_of(call_id)
        call = self.running.find(call_id)
        return None if call is None else running_row(call, state, self.clock.wall())


def running_row(call: RunningCall, state: CallState | None, wall: float) -> dict[str, Any]:
    """Make the row of a call that runs."""
    return {
        "call_id": call.call_id,
        "tool": call.tool,
        "caller": cut(call.caller.subject),
        "client": cut(call.caller.client),
        "door": call.caller.door,
        "began_at": ago(wall, call.seconds),
        "stage": None if state is None else state.stage,
        "stage_since": None if state is None else ago(wall, state.stage_s),
        "request": 0 if state is None else state.request,
        "attempt": 0 if state is None else state.attempt,
        "provider": None if state is None else state.provider,
        "model": None if state is None else state.model,
        "model_requested": None
        if state is None or state.model_requested is None
        else cut(state.model_requested),
    }


def gates_of(admission: Admission) -> Iterator[dict[str, Any]]:
    """Yield how each gate stands, and who waits there."""
    yield _gate("all calls", admission.total)
    for name, gate in admission.by_provider.items():
        yield _gate(name, gate)
    for (provider, model), gate in admission.by_model.items():
        yield _gate(f"{provider}/{model}", gate)


def _gate(name: str, gate: Gate) -> dict[str, Any]:
    waiters = [{"caller": cut(caller), "calls": calls} for caller, calls in gate.waiters()[:MOST_WAITERS]]
    return {
        "name": name,
        "in_use": gate.in_use,
        "limit": gate.limit,
        "most_in_use": gate.most_in_use,
        "waiting": gate.waiting,
        "waiters": waiters,
    }


def hour_of(activity: RecentActivity) -> dict[str, Any]:
    """Sum up the last hour, or what this process saw of it."""
    minutes = activity.minutes()
    latencies = Histogram.sum_of(minute.latencies for minute in minutes)
    first_tokens = Histogram.sum_of(minute.first_tokens for minute in minutes)
    return {
        "since": iso(activity.since),
        "calls": sum(minute.calls for minute in minutes),
        "failed": sum(minute.failed for minute in minutes),
        "cancelled": sum(minute.cancelled for minute in minutes),
        "timed": latencies.count,
        "p50_ms": _quantile(latencies, 0.5),
        "p95_ms": _quantile(latencies, 0.95),
        "first_token_p50_ms": _quantile(first_tokens, 0.5),
        "first_token_p95_ms": _quantile(first_tokens, 0.95),
        "per_s": round(activity.per_s(), 3),
    }


def _minute_row(minute: Minute) -> list[float | None]:
    return [
        minute.number * 60,
        minute.calls,
        minute.failed,
        _quantile(minute.latencies, 0.5),
        _quantile(minute.latencies, 0.95),
        _quantile(minute.first_tokens, 0.5),
    ]


def _quantile(milliseconds: Histogram, share: float) -> float | None:
    value = milliseconds.quantile(share)
    return None if value is None else round(value, 1)


def ending_of(at: float, event: CallEnded) -> dict[str, Any]:
    """Make the row of a call that ended."""
    costs = [each.cost_usd for each in event.requests if each.cost_usd is not None]
    return {
        "call_id": event.call_id,
        "tool": event.tool,
        "caller": cut(event.caller.subject),
        "client": cut(event.caller.client),
        "provider": event.provider,
        "model": event.model,
        "outcome": event.outcome,
        "error": event.error_code,
        "latency_ms": event.timings.get("latency_ms"),
        "first_token_ms": event.timings.get("first_token_ms"),
        "cost_usd": round(sum(costs), 9) if costs else None,
        "without_price": sum(each.without_price for each in event.requests),
        "emulated": any(each.emulated for each in event.requests),
        "ended_at": iso(at),
    }
