"""Builds what runs calls: the dispatcher, and the calls that run under idempotency keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.app.storage import Storage
from exai.config import Settings
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.idempotent_calls import IdempotentCalls
from exai.monitoring.metrics import Metrics
from exai.routing.request import Asking
from exai.tools.listing.profiles import Profiles
from exai.tools.registry import Registry

__all__ = ["open_dispatcher"]


@asynccontextmanager
async def open_dispatcher(
    settings: Settings, storage: Storage, metrics: Metrics, asking: Asking, registry: Registry
) -> AsyncIterator[Dispatcher]:
    """Make the tools callable; leaving ends calls that nobody waits for any more, and writes their ends."""
    idempotent_calls = IdempotentCalls(
        storage.idempotent_calls, settings.idempotency, clock=asking.clock, publish=asking.bus.publish
    )
    metrics.read_samples(idempotent_calls.samples)
    try:
        yield Dispatcher(
            registry=registry,
            profiles=Profiles(settings.tools),
            asking=asking,
            journal=storage.journal,
            idempotent_calls=idempotent_calls,
            call_timeout_s=settings.timeouts.call_s,
        )
    finally:
        await idempotent_calls.close()
