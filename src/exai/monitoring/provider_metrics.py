"""Metrics of requests to providers: outcomes, repetitions, other models that took over, and circuit breakers."""

from exai.events.bus import EventBus
from exai.events.events import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbed,
    BreakerRefused,
    FellBack,
    ProviderCallEnded,
    RetryPlanned,
    RetryRefused,
)
from exai.monitoring.metrics import Metrics

__all__ = ["BreakerMetrics", "ProviderMetrics"]

SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900)
CLOSED, PROBED, OPEN = 0, 1, 2
"""Values of `exai_breaker_state`."""


class ProviderMetrics:
    """Counts requests, and what was done about those that failed."""

    def __init__(self, metrics: Metrics) -> None:
        self._ended = metrics.counter(
            "provider_calls", "Requests to providers that ended.", "provider", "model", "outcome"
        )
        self._latency = metrics.histogram(
            "provider_call_seconds", "Requests to providers.", "provider", "model", buckets=SECONDS
        )
        self._retries = metrics.counter(
            "retries", "Requests to providers that are made again.", "provider", "model", "cause"
        )
        self._retries_refused = metrics.counter(
            "retries_refused",
            "Passing failures after which no further request is made.",
            "provider",
            "model",
            "reason",
        )
        self._fallbacks = metrics.counter(
            "fallbacks", "Calls that went on to another model.", "from_model", "to_model", "cause"
        )

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(self._request_ended, ProviderCallEnded)
        bus.watch(lambda event: self._retries[event.provider, event.model, event.cause].inc(), RetryPlanned)
        bus.watch(
            lambda event: self._retries_refused[event.provider, event.model, event.reason].inc(), RetryRefused
        )
        bus.watch(
            lambda event: self._fallbacks[event.from_model, event.to_model, event.cause].inc(), FellBack
        )

    def _request_ended(self, event: ProviderCallEnded) -> None:
        self._ended[event.provider, event.model, event.outcome].value += 1
        self._latency[event.provider, event.model].observe(event.seconds)


class BreakerMetrics:
    """Shows the state of each model's breaker, and counts what it refused."""

    def __init__(self, metrics: Metrics) -> None:
        self._states = metrics.gauge(
            "breaker_state",
            "0: closed, 1: a probe is under way, 2: open. A model that never failed has none.",
            "provider",
            "model",
        )
        self._openings = metrics.counter(
            "breaker_openings", "Times a breaker opened after being closed.", "provider", "model", "cause"
        )
        self._refusals = metrics.counter(
            "breaker_refusals", "Requests not sent because a breaker was open.", "provider", "model"
        )

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        bus.watch(self._opened, BreakerOpened)
        bus.watch(lambda event: self._states[event.provider, event.model].set(PROBED), BreakerProbed)
        bus.watch(lambda event: self._states[event.provider, event.model].set(CLOSED), BreakerClosed)
        bus.watch(lambda event: self._refusals[event.provider, event.model].inc(), BreakerRefused)

    def _opened(self, event: BreakerOpened) -> None:
        self._states[event.provider, event.model].set(OPEN)
        if not event.again:
            self._openings[event.provider, event.model, event.cause].value += 1
