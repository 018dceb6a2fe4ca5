"""Builds what watches: the bus, the metrics, and everything that follows calls, connections and providers by events."""

import asyncio
from dataclasses import dataclass

from exai.events.bus import EventBus
from exai.monitoring.breaker_log import log_breakers
from exai.monitoring.call_log import log_calls
from exai.monitoring.call_metrics import CallMetrics, EmulatedUsageMetrics, TaskMetrics, UsageMetrics
from exai.monitoring.connection_metrics import ConnectionMetrics, IncidentMetrics
from exai.monitoring.file_metrics import FileMetrics
from exai.monitoring.loop_lag import LoopLag
from exai.monitoring.metrics import Metrics
from exai.monitoring.open_connections import OpenConnections
from exai.monitoring.provider_health import ProviderHealth
from exai.monitoring.provider_metrics import BreakerMetrics, ProviderMetrics
from exai.monitoring.recent.activity import RecentActivity
from exai.monitoring.recent.provider_events import RecentProviderEvents
from exai.monitoring.recent.seconds import RecentSeconds
from exai.monitoring.running_calls import RunningCalls
from exai.runtime.clock import Clock

__all__ = ["Monitoring", "build_monitoring", "count_events"]


@dataclass(frozen=True)
class Monitoring:
    """The bus and its watchers that others read."""

    bus: EventBus
    metrics: Metrics
    loop_lag: LoopLag
    health: ProviderHealth
    running_calls: RunningCalls
    open_connections: OpenConnections
    seconds: RecentSeconds
    provider_events: RecentProviderEvents
    activity: RecentActivity


def build_monitoring(clock: Clock, *, version: str) -> Monitoring:
    """Build a bus with all its watchers."""
    bus, metrics = EventBus(), Metrics(version=version)
    monitoring = Monitoring(
        bus,
        metrics,
        LoopLag(clock),
        ProviderHealth(clock),
        RunningCalls(clock),
        OpenConnections(),
        RecentSeconds(),
        RecentProviderEvents(clock),
        RecentActivity(clock),
    )
    count_events(bus, metrics)
    monitoring.health.watch(bus)
    monitoring.running_calls.watch(bus)
    monitoring.open_connections.watch(bus)
    monitoring.provider_events.watch(bus)
    monitoring.activity.watch(bus)
    log_breakers(bus)
    log_calls(bus)
    metrics.read_samples(monitoring.loop_lag.samples)
    metrics.read_value("tasks", "Tasks of the event loop.", lambda: len(asyncio.all_tasks()))
    return monitoring


def count_events(bus: EventBus, metrics: Metrics) -> None:
    """Register every metric that is counted from events."""
    CallMetrics(metrics).watch(bus)
    TaskMetrics(metrics).watch(bus)
    UsageMetrics(metrics).watch(bus)
    EmulatedUsageMetrics(metrics).watch(bus)
    ProviderMetrics(metrics).watch(bus)
    BreakerMetrics(metrics).watch(bus)
    ConnectionMetrics(metrics).watch(bus)
    IncidentMetrics(metrics).watch(bus)
    FileMetrics(metrics).watch(bus)
