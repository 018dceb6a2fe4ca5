"""The last hour, minute by minute, from events on the bus."""

import pytest

from exai.callers import Caller, Door
from exai.events.bus import EventBus
from exai.events.events import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbed,
    BreakerRefused,
    CallEnded,
    FellBack,
    ProviderCallEnded,
    RetryPlanned,
)
from exai.monitoring.recent.activity import ENDINGS, RecentActivity
from exai.runtime.clock import ManualClock

ALICE = Caller("alice", Door.WEBSOCKET)


def ended(number: int, outcome: str = "ok", milliseconds: float = 100.0) -> CallEnded:
    code = None if outcome == "ok" else "overloaded"
    timings = {"latency_ms": milliseconds, "first_token_ms": milliseconds / 2}
    return CallEnded(f"call_{number}", "chat", ALICE, outcome, code, "glm", "glm-5.3", timings)


@pytest.fixture
def watched() -> tuple[EventBus, RecentActivity, ManualClock]:
    bus, clock = EventBus(), ManualClock()
    activity = RecentActivity(clock)
    activity.watch(bus)
    return bus, activity, clock


def test_calls_are_counted_by_the_minute_and_forgotten_after_an_hour(
    watched: tuple[EventBus, RecentActivity, ManualClock],
) -> None:
    bus, activity, clock = watched
    for minute in range(70):
        for number in range(10):
            bus.publish(ended(minute * 10 + number, "failed" if number == 0 else "ok"))
        bus.publish(ended(-1, "cancelled"))
        activity.fold()
        clock.advance(60)
    minutes = activity.minutes()
    assert len(minutes) == 59
    assert [(each.calls, each.failed, each.cancelled) for each in minutes] == [(11, 1, 1)] * 59
    assert len(activity.endings()) == ENDINGS
    assert activity.per_s() == pytest.approx(11 / 60, abs=0.2)
    clock.advance(7_200)
    assert (activity.minutes(), activity.per_s()) == ([], 0.0)


def test_what_each_model_did_is_counted_and_breakers_are_remembered(
    watched: tuple[EventBus, RecentActivity, ManualClock],
) -> None:
    bus, activity, clock = watched
    for outcome in ("ok", "provider_throttled", "cancelled", "provider_failed"):
        bus.publish(ProviderCallEnded("glm", "glm-5.3", outcome, 1.0))
    bus.publish(RetryPlanned("glm", "glm-5.3", "provider_throttled", 1.0))
    bus.publish(FellBack("glm", "glm-5.3", "kimi", "kimi-k3", "provider_failed"))
    bus.publish(BreakerOpened("glm", "glm-5.3", "provider_failed", 30.0, again=False))
    bus.publish(BreakerRefused("glm", "glm-5.3"))
    clock.advance(30)
    bus.publish(BreakerProbed("glm", "glm-5.3"))
    bus.publish(BreakerClosed("glm", "glm-5.3", 30.0))
    counts = activity.models()["glm", "glm-5.3"]
    shown = (
        counts.requests,
        counts.failed,
        counts.throttled,
        counts.retries,
        counts.fallbacks,
        counts.refused,
    )
    assert shown == (4, 2, 1, 1, 1, 1)
    changes = [(each.to, each.cause, each.open_s) for each in activity.transitions()]
    assert changes == [("closed", None, 30.0), ("half_open", None, None), ("open", "provider_failed", None)]
