"""Builds what begins, ends and reports baselines."""

from exai.config import Settings
from exai.monitoring.baselines.advice import Limits
from exai.monitoring.baselines.baselines import Baselines, BaselineTables
from exai.runtime.clock import Clock
from exai.storage.baselines.calls import JournalReader
from exai.storage.baselines.runs import BaselineTable
from exai.storage.database import Database
from exai.storage.error_tracking.sample_table import SampleTable
from exai.storage.fleet.replicas import Replicas

__all__ = ["baselines_of"]


def baselines_of(settings: Settings, database: Database, clock: Clock) -> Baselines:
    """Build them over a database, as commands use them beside a daemon."""
    tables = BaselineTables(
        BaselineTable(database, clock),
        JournalReader(database),
        Replicas(database, clock),
        SampleTable(database),
    )
    admission = settings.admission
    limits = Limits(admission.global_limit, admission.provider_limit, admission.model_limit)
    return Baselines(tables, clock, limits, settings.timeouts.call_s)
