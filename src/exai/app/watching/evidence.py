"""Builds what gathers the evidence of investigations."""

from exai.app.monitoring import Monitoring
from exai.app.watching.sources import open_sources_of
from exai.config import Settings
from exai.error_tracking.investigation.gathering.gatherer import Gatherer, Remembered
from exai.monitoring.logs import recent_lines
from exai.runtime.clock import Clock
from exai.storage.database import Database
from exai.storage.error_tracking.projects import ProjectTables

__all__ = ["build_gatherer"]


def build_gatherer(settings: Settings, database: Database, monitoring: Monitoring, clock: Clock) -> Gatherer:
    """Build it on what this process remembers, and on the sources that the settings name."""
    return Gatherer(
        database,
        clock,
        settings,
        Remembered(recent_lines(), monitoring.seconds, monitoring.provider_events),
        open_sources_of(ProjectTables(database, clock), settings.investigation.repository),
    )
