"""Writes down that a breaker opened, for webhooks that want to know."""

from exai.events.bus import EventBus
from exai.events.events import BreakerOpened
from exai.runtime.clock import Clock
from exai.storage.notices.writing import Notice, NoticeWriter

__all__ = ["announce_breakers"]


def announce_breakers(bus: EventBus, writer: NoticeWriter, clock: Clock) -> None:
    """Tell from now on when a breaker opens. A probe that fails is not told."""

    def on_opened(event: BreakerOpened) -> None:
        if event.again:
            return
        model = f"{event.provider}/{event.model}"
        title = f"{model} is not asked for {event.seconds:g} s after {event.cause}"
        notice = Notice("breaker.opened", model, title, {"seconds": event.seconds})
        writer.write_soon(notice, clock.utc())

    bus.watch(on_opened, BreakerOpened)
