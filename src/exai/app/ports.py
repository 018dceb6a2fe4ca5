"""Builds the HTTP ports of a daemon over its services: MCP, operations for people and monitors, errors.

Every route of a port is a row of its table; rooms that serve further ones hand their rows in here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from exai.app.readiness import ReadinessChecks
from exai.app.services import Services
from exai.app.watching.dashboard import Dashboard
from exai.app.watching.reports import build_errors_port
from exai.app.watching.tool_use import tool_reports_of
from exai.auth.scopes import FILES
from exai.config import Settings
from exai.dashboard.measured_use import MeasuredUse
from exai.dashboard.operations import operations_port
from exai.dashboard.overview import Overview
from exai.routing.reachability import Reachability
from exai.runtime.version import __version__
from exai.storage.conversations.owned import OwnConversations
from exai.transports.doors import Front, McpDoors
from exai.transports.feed.door import PortWithFeed
from exai.transports.files.changes import FileChanges
from exai.transports.files.door import FileDoor
from exai.transports.files.resources import FileResources
from exai.transports.files.text import TextDoor
from exai.transports.files.tickets import TicketDoor
from exai.transports.files.trees import TreeDoor
from exai.transports.prompts.prompts import Prompts
from exai.transports.resources.conversations import AnswerResources, ConversationResources
from exai.transports.resources.handlers import Resources
from exai.transports.resources.plans import PlanResources
from exai.transports.resources.schemas import SchemaResources
from exai.transports.resources.workflows import WorkflowResources
from exai.transports.server import Amend, EngineServer, build_server, counted_lists
from exai.transports.tasks.extension import TaskExtension
from exai.web.hosts import HostRule
from exai.web.port import HttpPort
from exai.web.routes import Route

__all__ = ["Ports", "build_ports", "mcp_server"]


NO_ORIGINS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Ports:
    """The applications of the ports."""

    mcp: McpDoors
    operations: HttpPort
    """Its routes; `operations_app` is served."""
    operations_app: PortWithFeed
    errors: McpDoors
    readiness: ReadinessChecks
    reachability: Reachability


def build_ports(services: Services, settings: Settings, origins: Mapping[str, str] = NO_ORIGINS) -> Ports:
    """Build the applications; nothing is served yet. `origins` say where each setting came from."""
    bus, identity = services.monitoring.bus, services.identity
    server = mcp_server(services, settings)
    mcp = McpDoors(
        server,
        services.dispatcher,
        identity.authenticator,
        identity.authority,
        settings,
        bus,
        services.clock,
        Front(_file_routes(services, settings)),
    )
    errors = build_errors_port(services, settings, mcp)
    services.monitoring.metrics.read_samples(mcp.samples)
    _tell_others(services, mcp)
    asking = services.asking
    reachability = Reachability(asking.router.providers, asking.breakers, services.clock)
    reachability.watch(bus)
    readiness = ReadinessChecks(services, reachability)
    dashboard = Dashboard(services, settings, mcp, readiness, origins)
    operations = _operations(services, settings, dashboard)
    app = PortWithFeed(operations, dashboard.feed(operations))
    return Ports(mcp, operations, app, errors, readiness, reachability)


def _tell_others(services: Services, mcp: McpDoors) -> None:
    """Have the row of this process say how busy it is, where others see it."""
    if (beats := services.storage.database.beats) is not None:
        beats.samples = lambda: {
            "running_calls": len(services.monitoring.running_calls),
            "sessions": mcp.sessions.statistics().sessions,
        }


def mcp_server(services: Services, settings: Settings, amend: Amend | None = None) -> EngineServer:
    """Build what answers MCP at every door: tools, prompts, resources and tasks.

    Args:
        amend: changes answers on their way out.
    """
    dispatcher, storage, bus = services.dispatcher, services.storage, services.monitoring.bus
    conversations = OwnConversations(storage.database)
    resources = Resources(
        (
            FileResources(services.files.shelf, services.files.text),
            ConversationResources(conversations),
            AnswerResources(conversations),
            PlanResources(storage.plans),
            WorkflowResources(storage.workflows),
            SchemaResources([tool.name for tool in dispatcher.listing()], dispatcher.whole_schemas),
        ),
        FileChanges(bus).listen,
    )
    router = services.asking.router
    prompts = Prompts(
        dispatcher.listing(), lambda: [model.name for model in router.askable], conversations, resources
    )
    tasks = TaskExtension(storage.tasks, settings, services.clock, bus)
    return build_server(
        dispatcher,
        name="exai",
        version=__version__,
        bus=bus,
        extend=(
            resources.add_to,
            prompts.add_to,
            tasks.add_to,
            counted_lists(dispatcher.profiles, dispatcher.use.note_list),
        ),
        amend=amend,
        plain_calls=settings.server.plain_calls,
    )


def _file_routes(services: Services, settings: Settings) -> Iterator[Route]:
    files, attempts = services.files, services.identity.authenticator.attempts
    yield from FileDoor(files.shelf, files.uploads, settings.files).routes(FILES)
    yield from TreeDoor(files.snapshots, files.shelf).routes(FILES)
    yield from TextDoor(files.text).routes(FILES)
    yield from TicketDoor(files.tickets, attempts, settings.files).routes()


def _operations(services: Services, settings: Settings, dashboard: Dashboard) -> HttpPort:
    doors = dashboard.doors

    def sessions() -> dict[str, float]:
        now = [each.sessions.statistics() for each in (doors, *doors.others)]
        return {
            "open": sum(each.sessions for each in now),
            "without_a_socket": sum(each.cut for each in now),
            "messages_kept": sum(each.pending for each in now),
        }

    overview = Overview(
        report=services.report,
        auth_mode=settings.auth.mode,
        checks=dashboard.readiness.all,
        sessions=sessions,
        running=services.monitoring.running_calls,
        connected=services.monitoring.open_connections,
    )
    return operations_port(
        identity=services.identity,
        overview=overview,
        errors=services.faults.console,
        metrics=services.monitoring.metrics,
        hosts=HostRule(settings.server),
        clock=services.clock,
        publish=services.monitoring.bus.publish,
        further=(*dashboard.routes(), *_measured_use(services, settings).routes()),
    )


def _measured_use(services: Services, settings: Settings) -> MeasuredUse:
    storage = services.storage
    return MeasuredUse(storage.baselines, tool_reports_of(settings, storage.database, services.clock))
