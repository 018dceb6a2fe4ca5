"""Breakers, retries and fallbacks around a moment, as lines."""

from exai.events.bus import EventBus
from exai.events.events import BreakerClosed, BreakerOpened, FellBack, RetryPlanned, RetryRefused
from exai.monitoring.recent.provider_events import RecentProviderEvents
from exai.runtime.clock import ManualClock


def test_each_kind_is_a_line_and_far_ones_are_left_out() -> None:
    clock = ManualClock(wall=0.0)
    events, bus = RecentProviderEvents(clock), EventBus()
    events.watch(bus)
    bus.publish(RetryPlanned("glm", "glm-5.3", "provider_throttled", 2.0))
    clock.advance(3_600)
    for event in (
        RetryPlanned("glm", "glm-5.3", "provider_throttled", 2.0),
        RetryRefused("glm", "glm-5.3", "provider_throttled", "spent"),
        BreakerOpened("glm", "glm-5.3", "provider_throttled", 30.0, again=False),
        FellBack("glm", "glm-5.3", "kimi", "kimi-k3", "circuit_open"),
        BreakerClosed("glm", "glm-5.3", 31.0),
    ):
        clock.advance(1)
        bus.publish(event)
    assert events.around(3_600.0, 600.0) == [
        "01:00:01 retry of glm/glm-5.3 in 2.0 s: provider_throttled",
        "01:00:02 no retry of glm/glm-5.3 (spent): provider_throttled",
        "01:00:03 breaker of glm/glm-5.3 opened: provider_throttled, for 30 s",
        "01:00:04 kimi/kimi-k3 took over from glm/glm-5.3: circuit_open",
        "01:00:05 breaker of glm/glm-5.3 closed after 31 s",
    ]
    assert len(events.around(3_600.0, 600.0, most=2)) == 2
