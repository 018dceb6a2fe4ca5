"""The log lines of circuit breakers: an operator wants to know when a model is spared, and since when it is not."""

import structlog

from exai.events.events import BreakerClosed, BreakerOpened, Event

__all__ = ["log_breakers"]

_log = structlog.get_logger(__name__)


def log_breakers(event: Event) -> None:
    """A watcher of the bus. A probe that fails is no news."""
    if isinstance(event, BreakerOpened) and not event.again:
        _log.warning(
            "breaker opened",
            provider=event.provider,
            model=event.model,
            cause=event.cause,
            seconds=event.seconds,
        )
    elif isinstance(event, BreakerClosed):
        _log.info("breaker closed", provider=event.provider, model=event.model, open_s=event.open_s)
