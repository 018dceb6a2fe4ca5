"""Builds the investigator: what it asks models by, what it gathers, and what looks patches up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from exai.app.faults.tracking import FaultTracking
from exai.app.monitoring import Monitoring
from exai.app.storage import Storage
from exai.app.watching.evidence import build_gatherer
from exai.app.watching.investigator_models import InvestigatorModels
from exai.app.watching.patch_checks import CommitPatches
from exai.config import Settings
from exai.dispatch.dispatcher import Dispatcher
from exai.error_tracking.investigation.investigator import Investigator
from exai.jobs.job import Jobs
from exai.routing.request import Asking
from exai.runtime.periodic import Scheduler

__all__ = ["open_investigations"]


@asynccontextmanager
async def open_investigations(
    settings: Settings,
    storage: Storage,
    monitoring: Monitoring,
    asking: Asking,
    faults: FaultTracking,
    dispatcher: Dispatcher,
    scheduler: Scheduler,
    jobs: Jobs | None,
) -> AsyncIterator[None]:
    """Run investigations within this scope, in a process that runs jobs."""
    if jobs is None:
        yield
        return
    investigator = Investigator(
        build_gatherer(settings, storage.database, monitoring, asking.clock),
        InvestigatorModels(dispatcher, asking, settings.investigation, monitoring.bus),
        CommitPatches(),
        asking.clock,
        settings.investigation.usd,
    )
    monitoring.metrics.read_samples(faults.investigations.samples)
    async with faults.investigations.running(investigator, jobs, scheduler, settings.errors.keep_days):
        yield
