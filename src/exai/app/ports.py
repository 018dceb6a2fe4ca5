"""Builds the two HTTP ports of a daemon over its services: MCP for machines, operations for people and monitors.

Every route of either port is a row of its table; rooms that serve further ones hand their rows in here.
"""

from dataclasses import dataclass

from exai.app.services import Services
from exai.config import Settings
from exai.dashboard.operations import operations_port
from exai.dashboard.overview import Check, Overview
from exai.runtime.version import __version__
from exai.transports.doors import McpDoors
from exai.transports.server import build_server
from exai.web.hosts import HostRule
from exai.web.port import HttpPort

__all__ = ["Ports", "Readiness", "build_ports"]


@dataclass(frozen=True)
class Ports:
    """The applications of both ports."""

    mcp: McpDoors
    operations: HttpPort
    readiness: "Readiness"


def build_ports(services: Services, settings: Settings) -> Ports:
    """Build the applications; nothing is served yet."""
    bus, identity = services.monitoring.bus, services.identity
    server = build_server(services.dispatcher, name="exai", version=__version__, bus=bus)
    mcp = McpDoors(
        server,
        services.dispatcher,
        identity.authenticator,
        identity.authority,
        settings,
        bus,
        services.clock,
    )
    services.monitoring.metrics.read_samples(mcp.sessions.samples)
    readiness = Readiness(services)
    return Ports(mcp, _operations(services, mcp, settings, readiness), readiness)


def _operations(services: Services, doors: McpDoors, settings: Settings, readiness: "Readiness") -> HttpPort:
    def sessions() -> dict[str, float]:
        now = doors.sessions.statistics()
        return {"open": now.sessions, "without_a_socket": now.cut, "messages_kept": now.pending}

    overview = Overview(
        report=services.report,
        auth_mode=settings.auth.mode,
        checks=readiness.checks,
        sessions=sessions,
        running=services.monitoring.running_calls,
        connected=services.monitoring.open_connections,
    )
    return operations_port(
        identity=services.identity,
        overview=overview,
        metrics=services.monitoring.metrics,
        hosts=HostRule(settings.server),
        clock=services.clock,
        publish=services.monitoring.bus.publish,
    )


class Readiness:
    """The checks of `/readyz`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._stopping = False
        self.checks: dict[str, Check] = {
            "admitting": self._admitting,
            "database": self._database,
            "providers": self._providers,
        }

    def stop(self) -> None:
        """Report not ready from now on, and begin no job."""
        self._stopping = True
        if self._services.jobs is not None:
            self._services.jobs.stop()

    async def _admitting(self) -> str | None:
        return "stopping" if self._stopping else None

    async def _database(self) -> str | None:
        await self._services.storage.database.check()
        return None

    async def _providers(self) -> str | None:
        return None if self._services.configured_providers else "no provider has a key"
