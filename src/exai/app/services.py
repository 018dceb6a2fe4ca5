"""Puts the house together, once, in the order of its floors, and takes it apart in the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from exai.app.duties import service_duties
from exai.app.jobs import open_jobs
from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority
from exai.auth.tickets import Tickets
from exai.config import Settings
from exai.consulting.consultant import Consultant
from exai.conversations.conversations import Conversations
from exai.conversations.token_counts import TokenCounts
from exai.dispatch.dispatcher import Dispatcher
from exai.dispatch.idempotent_calls import IdempotentCalls
from exai.events.bus import EventBus
from exai.events.incidents import record_incident
from exai.files.reader import FileReader
from exai.jobs.durable import DurableJobs
from exai.monitoring.breaker_log import log_breakers
from exai.monitoring.loop_lag import LoopLag
from exai.monitoring.metrics import Metrics
from exai.monitoring.open_connections import OpenConnections
from exai.monitoring.provider_health import ProviderHealth
from exai.monitoring.running_calls import RunningCalls
from exai.routing.admission import Admission
from exai.routing.asker import Asking
from exai.routing.breaker import Breakers
from exai.routing.retry import RetryPolicy
from exai.routing.router import ModelRouter
from exai.runtime.clock import Clock, SystemClock
from exai.runtime.periodic import Scheduler
from exai.runtime.samples import Sample
from exai.storage.calls.idempotent_calls import IdempotentCallTable
from exai.storage.calls.journal import Journal
from exai.storage.calls.usage import UsageReports
from exai.storage.conversations.calibrations import CalibrationTable
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from exai.storage.identity.tickets import TicketTable
from exai.storage.uploads import UploadTable
from exai.tools.chat import Chat
from exai.tools.models import Models
from exai.tools.registry import Registry
from exai.tools.search import Search
from exai.tools.status import Status
from exai.tools.system_report import ModelStates, SystemReport

__all__ = ["Services", "build"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Services:
    """What the doors stand on."""

    dispatcher: Dispatcher
    bus: EventBus
    metrics: Metrics
    database: Database
    router: ModelRouter
    authenticator: Authenticator
    authority: Authority
    tickets: Tickets
    running_calls: RunningCalls
    open_connections: OpenConnections
    usage: UsageReports
    scheduler: Scheduler
    jobs: DurableJobs | None
    """`None`: this process runs none."""

    @property
    def configured_providers(self) -> list[str]:
        """Names of the providers that can be asked."""
        return [name for name, provider in self.router.providers.items() if provider.configured]


@asynccontextmanager
async def build(
    settings: Settings, *, version: str, demo: bool = False, runs_jobs: bool = True
) -> AsyncIterator[Services]:
    """Build everything below the doors; leaving the scope closes it, the journal's last rows first.

    Args:
        runs_jobs: whether jobs are begun and run here, if the settings allow it.

    Raises:
        StartFault: the database or a setting makes it impossible to start.
    """
    clock: Clock = SystemClock()
    async with AsyncExitStack() as scopes:
        database = await Database.open(settings.database, settings.data_dir)
        scopes.push_async_callback(database.close)
        journal = Journal(database, clock)
        if lost := await journal.sweep():
            _log.warning("calls of an earlier run had no end and are marked lost", calls=lost)

        identity = IdentityTables(database)
        authenticator = await Authenticator.open(settings.auth, identity, clock)
        scopes.push_async_callback(authenticator.close)
        authority = Authority(
            settings.auth, identity, settings.data_dir, clock, changed=authenticator.refresh
        )

        bus = EventBus()
        breakers = Breakers(settings.breaker, clock, bus.publish)
        uploads = UploadTable(database)
        router = ModelRouter.from_settings(
            settings.providers,
            settings.models,
            settings.timeouts,
            clock,
            available=breakers.available,
            uploads=uploads,
        )
        scopes.push_async_callback(router.close)

        loop_lag = LoopLag(clock)
        metrics = Metrics(version=version, loop_lag=loop_lag)
        health = ProviderHealth(clock)
        running_calls = RunningCalls(clock)
        open_connections = OpenConnections()
        for watcher in (
            metrics.notice,
            health.notice,
            running_calls.notice,
            open_connections.notice,
            log_breakers,
        ):
            bus.watch(watcher)

        admission = Admission(settings.admission, clock)
        metrics.gauge("tasks", "Tasks of the event loop.", lambda: len(asyncio.all_tasks()))
        metrics.gauge("permits_in_use", "Permits of the whole house in use.", lambda: admission.total.in_use)
        metrics.gauge("calls_waiting", "Calls waiting for a permit.", lambda: admission.waiting)
        metrics.read_samples(
            lambda: [
                Sample(
                    "pending_durable_writes",
                    "Journal ends that wait for the database.",
                    database.pending_durable_writes,
                ),
                Sample(
                    "dropped_writes", "Of these, given up in the end.", database.dropped_writes, is_total=True
                ),
            ]
        )
        scheduler = Scheduler(
            clock,
            on_unforeseen=lambda error, duty: record_incident(
                error, where=f"duty {duty}", publish=bus.publish
            ),
        )
        metrics.read_samples(scheduler.samples)
        jobs = None
        if runs_jobs and settings.jobs.run:
            jobs = await scopes.enter_async_context(
                open_jobs(settings, router, uploads, database.run_id, clock, scheduler, bus.publish)
            )
            metrics.read_samples(jobs.samples)
        usage = UsageReports(database, clock)
        conversations = Conversations(
            ConversationTables(database), clock, settings.conversations.max_exchanges
        )
        counts = await TokenCounts.open(CalibrationTable(database), clock)
        scopes.callback(counts.store_soon)
        states = ModelStates(router, health, breakers, counts.of)
        consultant = Consultant(
            router=router,
            conversations=conversations,
            files=FileReader(settings.files),
            limits=settings.conversations,
            tool_limits=settings.tool_loop,
            counts=counts,
            clock=clock,
        )
        registry = Registry(
            [
                Chat(consultant).tool(),
                Search(router, clock).tool(),
                Models(states).tool(),
                Status(
                    SystemReport(
                        clock=clock,
                        began=clock.monotonic(),
                        demo=demo,
                        loop_lag=loop_lag,
                        models=states,
                        admission=admission,
                        jobs=lambda: {} if jobs is None else jobs.counts,
                        journal=journal,
                        usage=usage,
                    )
                ).tool(),
            ]
        )
        idempotent_call_table = IdempotentCallTable(database, clock)
        idempotent_calls = IdempotentCalls(
            idempotent_call_table, settings.idempotency, clock=clock, publish=bus.publish
        )
        scopes.push_async_callback(idempotent_calls.close)
        metrics.gauge(
            "idempotent_calls_running",
            "Calls under an idempotency key whose end is not written yet.",
            lambda: idempotent_calls.running,
        )
        dispatcher = Dispatcher(
            registry=registry,
            asking=Asking(admission, router, breakers, RetryPolicy(settings.retry, clock), bus, clock),
            journal=journal,
            idempotent_calls=idempotent_calls,
            call_timeout_s=settings.timeouts.call_s,
        )
        duties = service_duties(
            settings,
            lag=loop_lag,
            authenticator=authenticator,
            authority=authority,
            journal=journal,
            idempotent_calls=idempotent_call_table,
        )
        await scopes.enter_async_context(scheduler.running(*duties))
        yield Services(
            dispatcher=dispatcher,
            bus=bus,
            metrics=metrics,
            database=database,
            router=router,
            authenticator=authenticator,
            authority=authority,
            tickets=Tickets(TicketTable(database), clock),
            running_calls=running_calls,
            open_connections=open_connections,
            usage=usage,
            scheduler=scheduler,
            jobs=jobs,
        )
