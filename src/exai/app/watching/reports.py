"""Builds the port on which programs report errors."""

from exai.app.services import Services
from exai.callers import Door
from exai.config import Settings
from exai.error_tracking.faults import Fault
from exai.error_tracking.fingerprints import fingerprint
from exai.error_tracking.ingestion.intake import ReportIntake
from exai.error_tracking.noticing import FaultSeen
from exai.storage.error_tracking.projects import ProjectTables
from exai.transports.reports.door import ReportDoor
from exai.web.auth_gate import AuthGate
from exai.web.hosts import HostRule
from exai.web.port import HttpPort

__all__ = ["build_reports_port"]


def build_reports_port(services: Services, settings: Settings) -> HttpPort:
    """Build the application of the port."""
    tracker, bus = services.faults.tracker, services.monitoring.bus
    authenticator = services.identity.authenticator

    def notice(fault: Fault) -> None:
        bus.publish(FaultSeen(fault, fingerprint(fault)))

    intake = ReportIntake(
        ProjectTables(services.storage.database, services.clock),
        services.clock,
        notice=notice,
        settled=tracker.flush,
        lost=lambda: tracker.lost,
    )
    door = ReportDoor(intake, authenticator.attempts, settings.server, services.clock, bus.publish)
    return HttpPort(
        door.routes(),
        door=Door.REPORTS,
        hosts=HostRule(settings.server),
        gate=AuthGate(authenticator, bus.publish),
        publish=bus.publish,
        not_found="Nothing is here. Programs report to the address that `exai errors dsn create` printed.",
    )
