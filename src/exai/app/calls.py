"""Builds what runs calls: the dispatcher, and the calls that run under idempotency keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.app.duties import call_duties
from exai.app.faults.tracking import FaultTracking
from exai.app.storage import Storage
from exai.app.watching.auditor import auditor_purses
from exai.app.watching.investigator_models import investigator_purses
from exai.config import Settings
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.idempotent_calls import IdempotentCalls
from exai.dispatch.long_answers import LongAnswers
from exai.dispatch.oversight import Oversight
from exai.files.store.shelf import Shelf
from exai.monitoring.metrics import Metrics
from exai.routing.request import Asking
from exai.runtime.periodic import Scheduler
from exai.tools.listing.profiles import Profiles
from exai.tools.registry import Registry

__all__ = ["open_dispatcher"]


@asynccontextmanager
async def open_dispatcher(
    settings: Settings,
    storage: Storage,
    metrics: Metrics,
    asking: Asking,
    scheduler: Scheduler,
    shelf: Shelf,
    registry: Registry,
    faults: FaultTracking,
) -> AsyncIterator[Dispatcher]:
    """Make the tools callable; leaving ends calls that nobody waits for any more, and writes their ends."""
    idempotent_calls = IdempotentCalls(
        storage.idempotent_calls, settings.idempotency, clock=asking.clock, publish=asking.bus.publish
    )
    metrics.read_samples(idempotent_calls.samples)
    purses = {**auditor_purses(settings.auditor), **investigator_purses(settings.investigation)}
    oversight = Oversight.on(
        storage.database,
        settings.guards,
        asking.clock,
        faults.notices,
        purses,
        groups=faults.known,
        targets=storage.targets,
    )
    try:
        async with scheduler.running(*call_duties(oversight, storage.baselines)):
            yield Dispatcher(
                registry=registry,
                profiles=Profiles(settings.tools),
                asking=asking,
                journal=storage.journal,
                oversight=oversight,
                long_answers=LongAnswers(shelf),
                idempotent_calls=idempotent_calls,
                call_timeout_s=settings.timeouts.call_s,
            )
    finally:
        await idempotent_calls.close()
        oversight.use.write_soon()
