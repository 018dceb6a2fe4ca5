"""Builds the services in dependency order, and closes them in reverse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from exai.app.calls import open_dispatcher
from exai.app.duties import run_duties
from exai.app.faults.sampling import open_sampling
from exai.app.faults.tracking import FaultTracking, open_fault_tracking
from exai.app.files import StoredFiles, ToolFiles, open_files, remote_files
from exai.app.identity import open_identity
from exai.app.jobs import open_jobs
from exai.app.models import open_models
from exai.app.monitoring import Monitoring, build_monitoring
from exai.app.storage import Storage, open_storage
from exai.app.tools import Tools, open_tools
from exai.app.watching.auditor import open_auditor
from exai.app.watching.investigator import open_investigations
from exai.config import Settings
from exai.dashboard.operations import Identity
from exai.dispatch.dispatcher import Dispatcher
from exai.files.heavy_work import HeavyWork
from exai.jobs.durable import DurableJobs
from exai.monitoring.auditor.auditor import Auditor
from exai.monitoring.notification.breaker_notices import announce_breakers
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.routing.request import Asking
from exai.runtime.clock import Clock, SystemClock
from exai.runtime.periodic import Scheduler
from exai.storage.notices.writing import NoticeWriter
from exai.tools.system_report import SystemReport
from exai.tools.watching.error_handlers import ErrorHandlers

__all__ = ["Services", "build"]


@dataclass(frozen=True)
class Services:
    """What the ports need."""

    clock: Clock
    monitoring: Monitoring
    storage: Storage
    identity: Identity
    asking: Asking
    dispatcher: Dispatcher
    scheduler: Scheduler
    tools: Tools
    files: StoredFiles
    remote: RemoteFiles
    faults: FaultTracking
    jobs: DurableJobs | None
    """`None`: this process runs none."""

    @property
    def report(self) -> SystemReport:
        """What `status` and the dashboard show."""
        return self.tools.report

    @property
    def errors(self) -> ErrorHandlers:
        """What the tools of the port of errors do."""
        return self.tools.errors

    @property
    def auditor(self) -> Auditor:
        """What observes this process."""
        return self.tools.auditor

    @property
    def configured_providers(self) -> list[str]:
        """The names of the providers that have a key."""
        return [name for name, provider in self.asking.router.providers.items() if provider.configured]


@asynccontextmanager
async def build(
    settings: Settings,
    *,
    version: str,
    demo: bool = False,
    runs_jobs: bool = True,
    clock: Clock | None = None,
) -> AsyncIterator[Services]:
    """Build everything below the ports; leaving the scope closes it, the journal's last rows at the end.

    Args:
        runs_jobs: whether jobs are begun and run here, and the auditor watches, if the settings allow it.

    Raises:
        StartFault: the database or a setting makes it impossible to start.
    """
    clock = clock or SystemClock()
    monitoring = build_monitoring(clock, version=version)
    with closing(HeavyWork(settings.files)) as work:
        async with (
            open_storage(settings, monitoring.metrics, clock) as storage,
            open_identity(settings, storage.database, clock) as identity,
            run_duties(settings, storage, monitoring, identity, clock) as scheduler,
            open_fault_tracking(settings, storage, monitoring, clock, scheduler, demo=demo) as faults,
            open_files(settings, storage, clock, scheduler, work, monitoring) as files,
            open_models(settings, storage, monitoring, clock, work, demo=demo) as asking,
            open_sampling(storage.database, monitoring, asking, scheduler),
            remote_files(settings, storage, asking.router, clock) as remote,
            open_jobs(settings, storage, monitoring, remote, clock, scheduler, faults, run=runs_jobs) as jobs,
            open_tools(
                settings, storage, monitoring, asking, jobs, scheduler, ToolFiles(files, remote), faults
            ) as tools,
            open_dispatcher(
                settings, storage, monitoring.metrics, asking, scheduler, files.shelf, tools.registry, faults
            ) as dispatcher,
            open_auditor(
                settings, storage, monitoring, asking, tools.auditor, dispatcher, scheduler, wanted=runs_jobs
            ),
            open_investigations(settings, storage, monitoring, asking, faults, dispatcher, scheduler, jobs),
        ):
            announce_breakers(monitoring.bus, NoticeWriter(storage.database, storage.targets), clock)
            yield Services(
                clock,
                monitoring,
                storage,
                identity,
                asking,
                dispatcher,
                scheduler,
                tools,
                files,
                remote,
                faults,
                jobs,
            )
