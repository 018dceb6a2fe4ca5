"""Series that are counted on the path of a call, and handed to Prometheus's library at a scrape.

The library's own counters lock and check at every step, which costs a call more than all else that it counts. These
are plain numbers: they belong to the event loop's thread, where events are published and the page is rendered.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["Counter", "Family", "FamilyCollector", "Gauge", "Histogram", "counters", "gauges", "histograms"]

S = TypeVar("S")


class Counter:
    """A sum that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add to the sum."""
        self.value += amount


class Gauge:
    """A value that goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self) -> None:
        """Count one more."""
        self.value += 1

    def dec(self) -> None:
        """Count one less."""
        self.value -= 1

    def set(self, value: float) -> None:
        """Replace the value."""
        self.value = value


class Histogram:
    """How many observations were at most as large as each upper bound, and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Observations by the first bound that holds them; the last one holds all."""
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Family(dict[tuple[str, ...], S]):
    """The series of one metric by their label values; one that is missing is made."""

    def __init__(
        self, make: Callable[[], S], render: Callable[[Mapping[tuple[str, ...], S]], Metric]
    ) -> None:
        super().__init__()
        self._make = make
        self._render = render

    def __missing__(self, labels: tuple[str, ...]) -> S:
        series = self[labels] = self._make()
        return series

    def rendered(self) -> Metric:
        """Render the series for a scrape."""
        return self._render(self)


class FamilyCollector(Collector):
    """Hands a family to Prometheus's registry."""

    def __init__(self, rendered: Callable[[], Metric]) -> None:
        self._rendered = rendered

    def collect(self) -> Iterator[Metric]:
        """Render the family for a scrape."""
        yield self._rendered()


def counters(name: str, help_text: str, labels: tuple[str, ...]) -> Family[Counter]:
    """Make a family whose series end in `_total`."""

    def render(series: Mapping[tuple[str, ...], Counter]) -> Metric:
        family = CounterMetricFamily(name, help_text, labels=labels)
        for values, counter in series.items():
            family.add_metric(values, counter.value)
        return family

    return Family(Counter, render)


def gauges(name: str, help_text: str, labels: tuple[str, ...]) -> Family[Gauge]:
    """Make a family of values that go up and down."""

    def render(series: Mapping[tuple[str, ...], Gauge]) -> Metric:
        family = GaugeMetricFamily(name, help_text, labels=labels)
        for values, gauge in series.items():
            family.add_metric(values, gauge.value)
        return family

    return Family(Gauge, render)


def histograms(
    name: str, help_text: str, labels: tuple[str, ...], bounds: tuple[float, ...]
) -> Family[Histogram]:
    """Make a family of distributions with these upper bounds, ascending."""
    names = [*(repr(float(bound)) for bound in bounds), "+Inf"]

    def render(series: Mapping[tuple[str, ...], Histogram]) -> Metric:
        family = HistogramMetricFamily(name, help_text, labels=labels)
        for values, histogram in series.items():
            buckets = list(zip(names, accumulate(histogram.counts), strict=True))
            family.add_metric(values, buckets, histogram.total)
        return family

    return Family(lambda: Histogram(bounds), render)
