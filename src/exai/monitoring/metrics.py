"""Prometheus metrics, fed by the bus.

Label values come from closed sets (tools, catalogue models, doors, error codes) or
from a bounded one (callers), so nobody can make the number of series grow.
"""

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from exai.events.events import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbed,
    BreakerRefused,
    CallEnded,
    CallerRefused,
    CallRecalled,
    CallRefused,
    CallStarted,
    ConnectionClosed,
    ConnectionOpened,
    Event,
    FellBack,
    IncidentRecorded,
    ProviderCallEnded,
    RetryPlanned,
    RetryRefused,
    SessionEnded,
    SessionOpened,
    SessionResumed,
)
from exai.monitoring.caller_labels import CallerLabels
from exai.monitoring.loop_lag import LoopLag
from exai.runtime.samples import ReadSamples

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900)
SHORT_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 30, 120)

M = TypeVar("M", Counter, Gauge, Histogram)


class _Children(Generic[M]):
    """A labelled metric whose children are looked up once: `labels()` validates on every call."""

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._known: dict[tuple[str, ...], M] = {}

    def __getitem__(self, labels: tuple[str, ...]) -> M:
        child = self._known.get(labels)
        if child is None:
            child = self._known[labels] = self._metric.labels(*labels) if labels else self._metric
        return child


class _Samples(Collector):
    """Reads samples from their owner at every scrape."""

    def __init__(self, read: ReadSamples) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for sample in self._read():
            family = families.get(sample.name)
            if family is None:
                kind = CounterMetricFamily if sample.is_total else GaugeMetricFamily
                label_names = [name for name, _ in sample.labels]
                family = families[sample.name] = kind(f"exai_{sample.name}", sample.help, labels=label_names)
            family.add_metric([value for _, value in sample.labels], sample.value)
        yield from families.values()


class Metrics:
    """Counts what the bus tells; `exposition()` is the page that Prometheus reads."""

    def __init__(self, *, version: str, loop_lag: LoopLag) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        Info("exai_build", "Version of this daemon.", registry=registry).info({"version": version})

        def counter(name: str, about: str, *labels: str) -> _Children[Counter]:
            return _Children(Counter(f"exai_{name}", about, labels, registry=registry))

        def histogram(
            name: str, about: str, *labels: str, buckets: tuple[float, ...]
        ) -> _Children[Histogram]:
            return _Children(Histogram(f"exai_{name}", about, labels, registry=registry, buckets=buckets))

        self._connections = _Children(
            Gauge("exai_connections", "Open connections, by door.", ["door"], registry=registry)
        )
        self._connections_closed = counter(
            "connections_closed",
            "Connections that ended; `stuck` was cut because it did not read.",
            "door",
            "reason",
        )
        self._running = Gauge("exai_calls_running", "Tool calls running now.", registry=registry)
        self._calls = counter("calls", "Tool calls that ended.", "tool", "outcome", "error")
        self._refused = counter("calls_refused", "Tool calls turned away before any work.", "tool", "error")
        self._latency = histogram("call_seconds", "Whole tool calls.", "tool", "door", buckets=SECONDS)
        self._stages = histogram(
            "call_stage_seconds", "Stages of calls that ask a provider.", "stage", buckets=SHORT_SECONDS
        )
        self._provider_calls = counter(
            "provider_calls", "Requests to providers that ended.", "provider", "model", "outcome"
        )
        self._provider_latency = histogram(
            "provider_call_seconds", "Requests to providers.", "provider", "model", buckets=SECONDS
        )
        self._retries = counter(
            "retries", "Requests to providers that are made again.", "provider", "model", "cause"
        )
        self._retries_refused = counter(
            "retries_refused",
            "Passing failures after which no further request is made.",
            "provider",
            "model",
            "reason",
        )
        self._recalled = counter(
            "idempotent_calls_recalled", "Calls that came under an idempotency key that was in use.", "how"
        )
        self._fallbacks = counter(
            "fallbacks", "Calls that went on to another model.", "from_model", "to_model", "cause"
        )
        self._breaker_states = _Children(
            Gauge(
                "exai_breaker_state",
                "0: closed, 1: a probe is under way, 2: open. A model that never failed has none.",
                ["provider", "model"],
                registry=registry,
            )
        )
        self._breaker_openings = counter(
            "breaker_openings", "Times a breaker opened after being closed.", "provider", "model", "cause"
        )
        self._breaker_refusals = counter(
            "breaker_refusals", "Requests not sent because a breaker was open.", "provider", "model"
        )
        self._tokens = counter("tokens", "Tokens as the providers count them.", "provider", "model", "kind")
        self._cost = counter(
            "cost_usd", "Cost by the catalogue's prices, in US dollars.", "provider", "model"
        )
        self._without_price = counter(
            "calls_without_price", "Calls whose cost is unknown, so not in the sum.", "provider", "model"
        )
        self._callers = CallerLabels()
        self._caller_calls = counter("caller_calls", "Tool calls that ended, by caller.", "caller", "outcome")
        self._caller_tokens = counter(
            "caller_tokens", "Tokens as the providers count them, by caller.", "caller", "kind"
        )
        self._caller_cost = counter(
            "caller_cost_usd", "Cost by the catalogue's prices, in US dollars, by caller.", "caller"
        )
        self._callers_refused = counter(
            "callers_refused", "Requests that were not let in, for want of a good token.", "door", "error"
        )
        self._incidents = counter("incidents", "Unforeseen failures.", "kind")
        self._sessions_opened = counter("sessions_opened", "Resumable sessions that began.")
        self._sessions_resumed = counter(
            "sessions_resumed", "Sockets that carried a session on; `gap` when messages were lost.", "gap"
        )
        self._sessions_ended = counter("sessions_ended", "Resumable sessions that ended.", "reason")
        worst_lag = Gauge(
            "exai_loop_lag_seconds", "Worst lag of the event loop since the last scrape.", registry=registry
        )
        worst_lag.set_function(loop_lag.take_worst)
        self._noticers: dict[type[Event], Callable[[Any], None]] = {
            ConnectionOpened: lambda event: self._connections[(event.door,)].inc(),
            ConnectionClosed: self._connection_closed,
            CallStarted: lambda _: self._running.inc(),
            CallEnded: self._call_ended,
            CallRefused: lambda event: self._refused[event.tool, event.error_code].inc(),
            CallerRefused: lambda event: self._callers_refused[event.door, event.error_code].inc(),
            ProviderCallEnded: self._provider_call_ended,
            RetryPlanned: lambda event: self._retries[event.provider, event.model, event.cause].inc(),
            RetryRefused: lambda event: self._retries_refused[
                event.provider, event.model, event.reason
            ].inc(),
            CallRecalled: lambda event: self._recalled[event.how,].inc(),
            FellBack: lambda event: self._fallbacks[event.from_model, event.to_model, event.cause].inc(),
            BreakerOpened: self._breaker_opened,
            BreakerProbed: lambda event: self._breaker_states[event.provider, event.model].set(1),
            BreakerClosed: lambda event: self._breaker_states[event.provider, event.model].set(0),
            BreakerRefused: lambda event: self._breaker_refusals[event.provider, event.model].inc(),
            SessionOpened: lambda _: self._sessions_opened[()].inc(),
            SessionResumed: lambda event: self._sessions_resumed[(str(event.gap).lower(),)].inc(),
            SessionEnded: lambda event: self._sessions_ended[(event.reason,)].inc(),
            IncidentRecorded: lambda event: self._incidents[(event.kind,)].inc(),
        }

    def notice(self, event: Event) -> None:
        """A watcher of the bus."""
        noticer = self._noticers.get(type(event))
        if noticer is not None:
            noticer(event)

    def gauge(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Ask `read` for the value at every scrape."""
        Gauge(f"exai_{name}", about, registry=self._registry).set_function(read)

    def read_samples(self, read: ReadSamples) -> None:
        """Ask `read` for its samples at every scrape."""
        self._registry.register(_Samples(read))

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _connection_closed(self, event: ConnectionClosed) -> None:
        self._connections[(event.door,)].dec()
        self._connections_closed[event.door, event.reason].inc()

    def _call_ended(self, event: CallEnded) -> None:
        self._running.dec()
        self._calls[event.tool, event.outcome, event.error_code or ""].inc()
        caller = self._callers.of(event.caller.subject)
        self._caller_calls[caller, event.outcome].inc()
        timings = event.timings
        self._latency[event.tool, event.caller.door].observe(timings["latency_ms"] / 1000)
        if event.provider is None or event.model is None:
            return
        for stage, milliseconds in timings.items():
            if milliseconds and stage != "latency_ms":
                self._stages[(stage.removesuffix("_ms"),)].observe(milliseconds / 1000)
        if event.usage is not None:
            for kind in ("input", "cached", "cache_write", "output", "reasoning"):
                if count := getattr(event.usage, kind):
                    self._tokens[event.provider, event.model, kind].inc(count)
                    self._caller_tokens[caller, kind].inc(count)
            if event.cost_usd is None:
                self._without_price[event.provider, event.model].inc()
        if event.cost_usd:
            self._cost[event.provider, event.model].inc(event.cost_usd)
            self._caller_cost[caller,].inc(event.cost_usd)

    def _provider_call_ended(self, event: ProviderCallEnded) -> None:
        self._provider_calls[event.provider, event.model, event.outcome].inc()
        self._provider_latency[event.provider, event.model].observe(event.seconds)

    def _breaker_opened(self, event: BreakerOpened) -> None:
        self._breaker_states[event.provider, event.model].set(2)
        if not event.again:
            self._breaker_openings[event.provider, event.model, event.cause].inc()
