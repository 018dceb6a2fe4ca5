"""The registry of Prometheus metrics, and the page that Prometheus reads.

Whoever counts something registers it: what is counted from events, in the modules `*_metrics.py` beside this one; what
its owner is asked for at a scrape, by a function that returns samples (`exai.runtime.samples`).

Label values come from closed sets (tools, catalogue models, doors, error codes) or from a bounded one (callers), so no
caller can make the number of series grow.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from prometheus_client import CollectorRegistry, Info
from prometheus_client import Gauge as ScrapedGauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from exai.monitoring.series import (
    Counter,
    Family,
    FamilyCollector,
    Gauge,
    Histogram,
    counters,
    gauges,
    histograms,
)
from exai.runtime.samples import ReadSamples

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "exai_"

S = TypeVar("S")


class Metrics:
    """Registers metrics under the prefix `exai_`, and renders them."""

    def __init__(self, *, version: str) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        Info(f"{PREFIX}build", "Version of this daemon.", registry=registry).info({"version": version})

    def counter(self, name: str, help_text: str, *labels: str) -> Family[Counter]:
        """Register a counter; its series end in `_total`."""
        return self._register(counters(PREFIX + name, help_text, labels))

    def gauge(self, name: str, help_text: str, *labels: str) -> Family[Gauge]:
        """Register a gauge that is set."""
        return self._register(gauges(PREFIX + name, help_text, labels))

    def histogram(
        self, name: str, help_text: str, *labels: str, buckets: tuple[float, ...]
    ) -> Family[Histogram]:
        """Register a histogram with these upper bounds, ascending."""
        return self._register(histograms(PREFIX + name, help_text, labels, buckets))

    def read_value(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Register a gauge whose value `read` returns at every scrape."""
        ScrapedGauge(PREFIX + name, help_text, registry=self._registry).set_function(read)

    def read_samples(self, read: ReadSamples) -> None:
        """Register the samples that `read` returns at every scrape."""
        self._registry.register(_Samples(read))

    def exposition(self) -> bytes:
        """Render all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def _register(self, family: Family[S]) -> Family[S]:
        self._registry.register(FamilyCollector(family.rendered))
        return family


class _Samples(Collector):
    def __init__(self, read: ReadSamples) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for sample in self._read():
            family = families.get(sample.name)
            if family is None:
                kind = CounterMetricFamily if sample.is_total else GaugeMetricFamily
                label_names = [name for name, _ in sample.labels]
                family = families[sample.name] = kind(PREFIX + sample.name, sample.help, labels=label_names)
            family.add_metric([value for _, value in sample.labels], sample.value)
        yield from families.values()
