"""Counters, gauges and histograms render as those of Prometheus's own library do."""

import prometheus_client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.exposition import generate_latest

from exai.monitoring.metrics import Metrics

BOUNDS = (0.0001, 0.5, 1, 30)
VALUES = st.lists(st.floats(0, 100) | st.sampled_from(BOUNDS))
NAMES = st.sampled_from(["chat", 'a "quoted" one', "back\\slash", "line\nend"])


def page_of(metrics: Metrics, name: str) -> list[str]:
    return [line for line in metrics.exposition().decode().splitlines() if f"exai_{name}" in line]


def library_page(registry: prometheus_client.CollectorRegistry) -> list[str]:
    """Without the times at which its series were made, which nobody reads."""
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


@given(st.dictionaries(NAMES, VALUES))
def test_a_histogram_is_rendered_as_the_library_renders_it(observed: dict[str, list[float]]) -> None:
    metrics, registry = Metrics(version="1"), prometheus_client.CollectorRegistry()
    ours = metrics.histogram("seconds", "Time.", "tool", buckets=BOUNDS)
    theirs = prometheus_client.Histogram("exai_seconds", "Time.", ["tool"], registry=registry, buckets=BOUNDS)
    for tool, values in observed.items():
        ours[tool,], theirs.labels(tool)
        for value in values:
            ours[tool,].observe(value)
            theirs.labels(tool).observe(value)
    assert page_of(metrics, "seconds") == library_page(registry)


@given(st.dictionaries(NAMES, VALUES))
def test_a_counter_is_rendered_as_the_library_renders_it(added: dict[str, list[float]]) -> None:
    metrics, registry = Metrics(version="1"), prometheus_client.CollectorRegistry()
    ours = metrics.counter("cost", "Money.", "tool")
    theirs = prometheus_client.Counter("exai_cost", "Money.", ["tool"], registry=registry)
    for tool, values in added.items():
        ours[tool,], theirs.labels(tool)
        for value in values:
            ours[tool,].inc(value)
            theirs.labels(tool).inc(value)
    assert page_of(metrics, "cost") == library_page(registry)


def test_a_gauge_goes_up_and_down_and_can_be_set() -> None:
    metrics = Metrics(version="1")
    gauge = metrics.gauge("open", "Open.", "door")
    gauge["http",].inc()
    gauge["http",].inc()
    gauge["http",].dec()
    gauge["stdio",].set(7)
    assert page_of(metrics, "open")[2:] == ['exai_open{door="http"} 1.0', 'exai_open{door="stdio"} 7.0']


def test_a_metric_without_labels_is_on_the_page_from_the_start() -> None:
    metrics = Metrics(version="1")
    metrics.counter("sessions", "Sessions.")[()]
    assert page_of(metrics, "sessions")[-1] == "exai_sessions_total 0.0"
