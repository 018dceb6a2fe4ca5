"""Log lines of circuit breakers: since when a model is not asked, and since when it is again."""

import structlog

from exai.events.bus import EventBus
from exai.events.events import BreakerClosed, BreakerOpened

__all__ = ["log_breakers"]

_log = structlog.get_logger(__name__)


def log_breakers(bus: EventBus) -> None:
    """Log from now on when a breaker opens or closes. A probe that fails is not logged."""
    bus.watch(_log_opened, BreakerOpened)
    bus.watch(_log_closed, BreakerClosed)


def _log_opened(event: BreakerOpened) -> None:
    if not event.again:
        _log.warning(
            "breaker opened",
            provider=event.provider,
            model=event.model,
            cause=event.cause,
            seconds=event.seconds,
        )


def _log_closed(event: BreakerClosed) -> None:
    _log.info("breaker closed", provider=event.provider, model=event.model, open_s=event.open_s)
