"""Builds what is kept: the database, the journal of calls and reports about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from exai.app.watching.baselines import baselines_of
from exai.config import Settings
from exai.monitoring.baselines.baselines import Baselines
from exai.monitoring.metrics import Metrics
from exai.runtime.clock import Clock
from exai.storage.auditor.observations import Observations
from exai.storage.auditor.windows import Windows
from exai.storage.baselines.calls import JournalReader
from exai.storage.baselines.rollups import RollupTable
from exai.storage.calls.budgets import BudgetGrants
from exai.storage.calls.guarded import GuardedCalls
from exai.storage.calls.idempotent_calls import IdempotentCallTable
from exai.storage.calls.journal import Journal
from exai.storage.calls.recorded import RecordedCalls
from exai.storage.calls.tasks import TaskTable
from exai.storage.calls.usage import UsageReports
from exai.storage.calls.use import UseCounts
from exai.storage.conversations.archive import ConversationArchive
from exai.storage.conversations.calibrations import CalibrationTable
from exai.storage.conversations.tables import ConversationTables
from exai.storage.database import Database
from exai.storage.files.copies import CopyTables
from exai.storage.notices.deliveries import Deliveries
from exai.storage.notices.writing import Targets
from exai.storage.workflows.findings import FindingTables
from exai.storage.workflows.plans import PlanTables
from exai.storage.workflows.runs import WorkflowTables

__all__ = ["Storage", "open_storage"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Storage:
    """The database and its tables."""

    database: Database
    journal: Journal
    usage: UsageReports
    use: UseCounts
    guarded: GuardedCalls
    budgets: BudgetGrants
    recorded_calls: RecordedCalls
    idempotent_calls: IdempotentCallTable
    copies: CopyTables
    conversations: ConversationTables
    archive: ConversationArchive
    calibrations: CalibrationTable
    plans: PlanTables
    workflows: WorkflowTables
    tasks: TaskTable
    findings: FindingTables
    observations: Observations
    windows: Windows
    deliveries: Deliveries
    rollups: RollupTable
    baselines: Baselines
    measured: JournalReader
    """The journal's calls as they are measured."""
    targets: Targets
    """Which webhooks want to be told what."""


@asynccontextmanager
async def open_storage(settings: Settings, metrics: Metrics, clock: Clock) -> AsyncIterator[Storage]:
    """Open the database, and mark calls that an earlier run left without an end; leaving writes the last rows.

    Raises:
        StartFault: the database is out of reach, or has another schema.
    """
    database = await Database.open(settings.database, settings.data_dir, settings.fleet)
    try:
        if database.beats is not None:
            database.beats.compete()
            metrics.read_samples(database.beats.replica_counts)
        metrics.read_samples(database.samples)
        journal = Journal(database, clock)
        if lost := await journal.sweep():
            _log.warning("calls of an earlier run had no end and are marked lost", calls=lost)
        targets = Targets.of(settings.notify)
        yield Storage(
            database,
            journal,
            UsageReports(database, clock),
            UseCounts(database, clock),
            GuardedCalls(database, clock),
            BudgetGrants(database, clock, targets),
            RecordedCalls(database, clock),
            IdempotentCallTable(database, clock),
            CopyTables(database),
            ConversationTables(database),
            ConversationArchive(database, clock),
            CalibrationTable(database),
            PlanTables(database),
            WorkflowTables(database, clock),
            TaskTable(database, clock),
            FindingTables(database),
            Observations(database, clock, targets),
            Windows(database, clock),
            Deliveries(database, clock),
            RollupTable(database, clock),
            baselines_of(settings, database, clock),
            JournalReader(database),
            targets,
        )
    finally:
        await database.close()
