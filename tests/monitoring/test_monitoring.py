"""Metrics, provider health and loop lag, from the events on the bus."""

import asyncio
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exai.app.monitoring import count_events
from exai.callers import Caller, Door
from exai.costs import Usage
from exai.events.bus import EventBus
from exai.events.events import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbed,
    BreakerRefused,
    CallEnded,
    CallerRefused,
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
from exai.monitoring import breaker_log
from exai.monitoring.loop_lag import HELD_S, INTERVAL_S, LoopLag
from exai.monitoring.metrics import Metrics
from exai.monitoring.provider_health import ProviderHealth
from exai.runtime.clock import ManualClock, SystemClock
from exai.runtime.periodic import Duty, Scheduler
from exai.runtime.samples import Sample
from support.request_records import record

CALLER = Caller.local(Door.WEBSOCKET)


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


def told(*events: Event) -> Metrics:
    metrics, bus = Metrics(version="1"), EventBus()
    count_events(bus, metrics)
    for event in events:
        bus.publish(event)
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics)[name, frozenset(labels.items())]


def test_a_call_is_counted_with_its_stages_tokens_and_cost() -> None:
    metrics = told(
        CallStarted("call_1", "chat", CALLER),
        CallEnded(
            call_id="call_1",
            tool="chat",
            caller=CALLER,
            outcome="ok",
            error_code=None,
            provider="glm",
            model="glm-5.3",
            timings={"store_ms": 2.0, "generation_ms": 100.0, "connect_ms": 0.0, "latency_ms": 150.0},
            requests=(
                record("glm-5.3", Usage(input=100, cached=40, output=20, cache_write=7), cost_usd=0.5),
                record("kimi-k3", Usage(input=9, output=3), provider="kimi", cost_usd=0.25),
                record("web-search", provider="kimi", cost_usd=0.125),
            ),
        ),
    )
    assert value(metrics, "exai_calls_total", tool="chat", outcome="ok", error="") == 1
    assert value(metrics, "exai_calls_running") == 0
    assert value(metrics, "exai_call_seconds_sum", tool="chat", door="websocket") == 0.15
    assert value(metrics, "exai_call_stage_seconds_sum", stage="generation") == 0.1
    assert ("exai_call_stage_seconds_sum", frozenset({("stage", "connect")})) not in samples(metrics)
    assert value(metrics, "exai_tokens_total", provider="glm", model="glm-5.3", kind="cached") == 40
    assert value(metrics, "exai_tokens_total", provider="glm", model="glm-5.3", kind="cache_write") == 7
    assert value(metrics, "exai_tokens_total", provider="kimi", model="kimi-k3", kind="input") == 9
    assert value(metrics, "exai_cost_usd_total", provider="glm", model="glm-5.3") == 0.5
    assert value(metrics, "exai_cost_usd_total", provider="kimi", model="kimi-k3") == 0.25
    assert value(metrics, "exai_cost_usd_total", provider="kimi", model="web-search") == 0.125
    assert value(metrics, "exai_caller_tokens_total", caller="local", kind="input") == 109
    assert value(metrics, "exai_caller_cost_usd_total", caller="local") == 0.875


def test_a_call_of_unknown_cost_is_counted_as_such_and_a_free_one_is_not() -> None:
    def ended(cost_usd: float | None) -> CallEnded:
        return CallEnded(
            call_id="call_1",
            tool="chat",
            caller=CALLER,
            outcome="ok",
            error_code=None,
            provider="glm",
            model="glm-4.6v",
            timings={"latency_ms": 1.0},
            requests=(record("glm-4.6v", Usage(input=100, output=20), cost_usd=cost_usd),),
        )

    metrics = told(ended(None), ended(0.0), ended(None))
    assert value(metrics, "exai_requests_without_price_total", provider="glm", model="glm-4.6v") == 2
    assert ("exai_cost_usd_total", frozenset({("provider", "glm"), ("model", "glm-4.6v")})) not in samples(
        metrics
    )


def test_the_rest_is_counted_too() -> None:
    metrics = told(
        ConnectionOpened(Door.WEBSOCKET, CALLER),
        ConnectionOpened(Door.WEBSOCKET, CALLER),
        ConnectionClosed(Door.WEBSOCKET, CALLER, "client"),
        CallRefused("chat", CALLER, "overloaded"),
        CallerRefused(Door.HTTP, "unauthenticated"),
        ProviderCallEnded("kimi", "kimi-k3", "provider_timeout", 3.0),
        IncidentRecorded("inc_1", "chat", KeyError()),
    )
    metrics.read_value("answers", "A value of its owner.", lambda: 42)
    assert value(metrics, "exai_connections", door="websocket") == 1
    assert value(metrics, "exai_callers_refused_total", door="http", error="unauthenticated") == 1
    assert value(metrics, "exai_calls_refused_total", tool="chat", error="overloaded") == 1
    assert (
        value(
            metrics, "exai_provider_calls_total", provider="kimi", model="kimi-k3", outcome="provider_timeout"
        )
        == 1
    )
    assert value(metrics, "exai_incidents_total", kind="KeyError") == 1
    assert value(metrics, "exai_answers") == 42


def test_retries_fallbacks_and_breakers_are_counted() -> None:
    of = ("glm", "glm-5.3")
    opened = [BreakerOpened(*of, "provider_failed", 10.0, again) for again in (False, True)]
    told_so_far: list[Event] = [
        RetryPlanned(*of, "provider_failed", 0.2),
        RetryRefused(*of, "provider_failed", "budget"),
        FellBack(*of, "kimi", "kimi-k3", "circuit_open"),
        BreakerRefused(*of),
        *opened,
    ]
    model = {"provider": "glm", "model": "glm-5.3"}
    metrics = told(*told_so_far)
    assert value(metrics, "exai_retries_total", **model, cause="provider_failed") == 1
    assert value(metrics, "exai_retries_refused_total", **model, reason="budget") == 1
    models = {"from_model": "glm-5.3", "to_model": "kimi-k3"}
    assert value(metrics, "exai_fallbacks_total", **models, cause="circuit_open") == 1
    assert value(metrics, "exai_breaker_refusals_total", **model) == 1
    assert value(metrics, "exai_breaker_openings_total", **model, cause="provider_failed") == 1
    assert value(metrics, "exai_breaker_state", **model) == 2
    told_so_far.append(BreakerProbed(*of))
    assert value(told(*told_so_far), "exai_breaker_state", **model) == 1
    told_so_far.append(BreakerClosed(*of, 12.0))
    assert value(told(*told_so_far), "exai_breaker_state", **model) == 0


def test_samples_are_asked_for_at_every_scrape_and_grouped_by_their_name() -> None:
    metrics, counts = Metrics(version="1"), {"a": 1.0, "b": 2.0}
    metrics.read_samples(
        lambda: [
            *(Sample("visits", "Visits.", n, (("who", who),), is_total=True) for who, n in counts.items()),
            Sample("open", "Open.", len(counts)),
        ]
    )
    assert value(metrics, "exai_visits_total", who="a") == 1
    counts["a"], counts["c"] = 5.0, 3.0
    assert value(metrics, "exai_visits_total", who="a") == 5
    assert value(metrics, "exai_open") == 3
    assert metrics.exposition().count(b"# TYPE exai_visits_total counter") == 1


async def test_a_loop_that_was_held_is_remembered_and_an_ordinary_lag_is_not() -> None:
    clock = ManualClock()
    lag = LoopLag(clock)
    for seconds in (INTERVAL_S, INTERVAL_S, HELD_S):
        await lag.tick()
        clock.advance(seconds)
    await lag.tick()
    assert lag.latest_hold() is None
    clock.advance(HELD_S + 1.0 + INTERVAL_S)
    await lag.tick()
    clock.advance(INTERVAL_S)
    await lag.tick()
    hold = lag.latest_hold()
    assert hold is not None
    assert (round(hold.seconds, 3), round(hold.seconds_ago, 3)) == (HELD_S + 1.0, INTERVAL_S)


def test_reading_the_loop_lag_begins_a_new_worst() -> None:
    lag = LoopLag(ManualClock())
    lag.worst_s, lag.worst_blocked_s = 0.5, 0.25
    assert [sample.value for _ in range(2) for sample in lag.samples()] == [0.5, 0.25, 0.0, 0.0]


async def test_a_loop_whose_thread_waited_for_a_core_is_late_and_not_blocked() -> None:
    clock, waited = ManualClock(), [0.0]
    lag = LoopLag(clock, lambda: waited[0])
    await lag.tick()
    for seconds, wait in ((0.5, 0.4), (0.3, 0.0), (0.1, 0.05)):
        clock.advance(seconds)
        waited[0] += wait
        await lag.tick()
    found = {sample.name: round(sample.value, 3) for sample in lag.samples()}
    assert found == {"loop_lag_seconds": 0.4, "loop_blocked_seconds": 0.2}


async def test_a_tick_that_comes_late_is_lag() -> None:
    clock = ManualClock()
    lag = LoopLag(clock)
    await lag.tick()
    assert lag.last_s == 0
    for pause_s in (0.1, 0.4, 0.1):
        clock.advance(pause_s)
        await lag.tick()
    assert lag.last_s == pytest.approx(0)
    assert lag.take_worst() == pytest.approx(0.3)
    assert lag.take_worst() == pytest.approx(0)


async def test_a_blocked_loop_shows() -> None:
    lag, ticked = LoopLag(SystemClock()), asyncio.Event()

    async def tick() -> None:
        await lag.tick()
        ticked.set()

    duty = Duty(name="measure_loop_lag", run=tick, every_s=INTERVAL_S, jitter=0.0)
    async with Scheduler(SystemClock()).running(duty):
        await ticked.wait()
        time.sleep(0.3)  # noqa: ASYNC251 - the very thing that is to be seen
        ticked.clear()
        await ticked.wait()
    assert lag.take_worst() > 0.1


def test_health_is_of_the_latest_requests_and_of_the_providers_doing_only() -> None:
    clock = ManualClock()
    health, bus = ProviderHealth(clock), EventBus()
    health.watch(bus)
    assert health.of("glm", "glm-5.3") is None
    for outcome, counts in (
        ("provider_timeout", True),
        ("ok", True),
        ("cancelled", False),
        ("refused", False),
    ):
        bus.publish(ProviderCallEnded("glm", "glm-5.3", outcome, 2.0, counts))
        clock.advance(1)
    summary = health.of("glm", "glm-5.3")
    assert summary is not None
    assert (summary.requests, summary.failed, summary.last_error) == (2, 1, None)
    assert (summary.seconds_since_last, summary.mean_seconds) == (3.0, 2.0)
    for _ in range(100):
        bus.publish(ProviderCallEnded("glm", "glm-5.3", "provider_failed", 1.0))
    summary = health.of("glm", "glm-5.3")
    assert summary is not None
    assert (summary.requests, summary.failed, summary.last_error) == (50, 50, "provider_failed")


def test_sessions_are_counted_with_their_resumptions_gaps_and_ends() -> None:
    metrics = told(
        SessionOpened(CALLER),
        SessionOpened(CALLER),
        SessionResumed(CALLER, gap=False),
        SessionResumed(CALLER, gap=True),
        SessionEnded(CALLER, "expired"),
    )
    assert value(metrics, "exai_sessions_opened_total") == 2
    assert value(metrics, "exai_sessions_resumed_total", gap="false") == 1
    assert value(metrics, "exai_sessions_resumed_total", gap="true") == 1
    assert value(metrics, "exai_sessions_ended_total", reason="expired") == 1


def test_a_breaker_is_logged_when_it_opens_and_when_it_closes_but_not_at_each_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines: list[str] = []

    class Log:
        def warning(self, line: str, **facts: object) -> None:
            lines.append(f"{line} {facts['model']}")

        info = warning

    monkeypatch.setattr(breaker_log, "_log", Log())
    bus = EventBus()
    breaker_log.log_breakers(bus)
    for event in (
        BreakerOpened("glm", "glm-5.3", "provider_overloaded", 10.0, again=False),
        BreakerOpened("glm", "glm-5.3", "provider_overloaded", 10.0, again=True),
        BreakerClosed("glm", "glm-5.3", 25.0),
    ):
        bus.publish(event)
    assert lines == ["breaker opened glm-5.3", "breaker closed glm-5.3"]
