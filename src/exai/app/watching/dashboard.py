"""Builds what the dashboard shows and does: topics of the feed, and the routes beside them."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from exai.app.faults.release import release_of
from exai.app.readiness import ReadinessChecks
from exai.app.services import Services
from exai.app.watching.auditor import AUDITOR, auditor_purses
from exai.auth.scopes import ERRORS
from exai.config import Settings
from exai.dashboard.calls.routes import Calls
from exai.dashboard.controls.breakers import BreakerControls
from exai.dashboard.controls.calls import CallControls
from exai.dashboard.controls.sessions import SessionControls
from exai.dashboard.controls.watching import WatchingControls
from exai.dashboard.documents.connections import Connections
from exai.dashboard.documents.errors import AuditorView, Errors
from exai.dashboard.documents.live import Live
from exai.dashboard.documents.providers import Providers
from exai.dashboard.documents.spend import SpendOfToday
from exai.dashboard.documents.status import RunFacts, Status
from exai.dashboard.documents.system import Held, System
from exai.dashboard.feed import FeedDocuments
from exai.dashboard.history import HistoryRoutes
from exai.runtime.version import __version__
from exai.storage.dashboard.call_details import CallDetails
from exai.storage.dashboard.call_search import CallSearch
from exai.storage.dashboard.history import History
from exai.storage.dashboard.sums import DashboardSums
from exai.transports.doors import McpDoors
from exai.transports.feed.door import FeedDoor
from exai.web.hosts import HostRule
from exai.web.port import HttpPort
from exai.web.routes import Route
from exai.web.shown_sessions import ShownSession
from exai.web.topics import Topic, Topics

__all__ = ["Dashboard"]

STORED_S = 2.0
"""How often what is read from the database is read."""
SECOND = 1.0


@dataclass
class Dashboard:
    """What the dashboard is made of; the feed is opened on the port that has its routes."""

    services: Services
    settings: Settings
    doors: McpDoors
    readiness: ReadinessChecks
    origins: Mapping[str, str]
    """Where each setting came from."""
    topics: Topics = field(init=False)
    _feed: FeedDoor | None = None

    def __post_init__(self) -> None:
        services = self.services
        self.sums = DashboardSums(services.storage.database)
        self.topics = Topics(self._topics(), services.clock)

    def routes(self) -> Iterator[Route]:
        """Yield the rows for the table of the port."""
        services = self.services
        database, clock = services.storage.database, services.clock
        yield from FeedDocuments(self.topics).routes()
        search, details = CallSearch(database), CallDetails(database)
        yield from Calls(search, details, services.report, self.live(), clock).routes()
        yield from HistoryRoutes(
            History(database),
            services.faults.replicas,
            database.run_id,
            self._providers(),
            services.monitoring.seconds,
            (self.settings, self.origins),
            clock,
        ).routes()
        yield from self._controls()

    def _controls(self) -> Iterator[Route]:
        services, faults = self.services, self.services.faults
        asking, database = services.asking, services.storage.database
        yield from CallControls(
            services.dispatcher.under_way,
            lambda call_id: services.report.call(call_id, None),
            faults.replicas,
            database.run_id,
            services.clock,
        ).routes()
        yield from BreakerControls(
            asking.breakers, asking.router, services.dispatcher, faults.replicas, services.clock
        ).routes()
        yield from SessionControls(self._end_session, faults.replicas).routes()
        yield from WatchingControls(
            faults.console, faults.investigations.desk, services.storage.observations
        ).routes()

    async def _end_session(self, name: str) -> bool:
        ended = [await each.sessions.end_named(name) for each in (self.doors, *self.doors.others)]
        return any(ended)

    def feed(self, port: HttpPort) -> FeedDoor:
        """Make the feed of a port."""
        services = self.services
        self._feed = FeedDoor(
            self.topics,
            settings=self.settings.websocket,
            hosts=HostRule(self.settings.server),
            gate=port.gate,
            watcher=self.doors.watcher,
            bus=services.monitoring.bus,
            traffic=self.doors.traffic,
            clock=services.clock,
        )
        return self._feed

    def _topics(self) -> Iterator[Topic]:
        auditor = self._auditor()
        yield Topic("status", self._status(auditor).make, SECOND)
        yield Topic("live", self.live().make)
        yield Topic("providers", self._providers().make)
        yield Topic("errors", Errors(self.services.faults.console, self.sums).make, STORED_S, ERRORS)
        yield Topic("auditor", auditor.make, STORED_S, ERRORS)
        yield Topic("connections", self._connections().make, SECOND)
        yield Topic("system", self._system().make, SECOND)

    def _status(self, auditor: AuditorView) -> Status:
        services = self.services
        monitoring, clock = services.monitoring, services.clock
        facts = RunFacts(
            __version__,
            release_of(),
            bool(services.asking.emulated),
            self.settings.auth.mode,
            services.storage.database.run_id,
            socket.gethostname(),
            self._began(),
        )
        return Status(
            facts=facts,
            clock=clock,
            checks=self.readiness.all,
            sums=self.sums,
            runs=services.faults.replicas,
            spend=SpendOfToday(self.sums, monitoring.activity, clock),
            auditor_mode=self.settings.auditor.mode,
            observations=auditor.lasting,
            running=monitoring.running_calls,
            admission=services.asking.admission,
            breakers=services.asking.breakers,
        )

    def live(self) -> Live:
        """Make what shows calls that run."""
        services = self.services
        return Live(
            services.clock,
            services.monitoring.running_calls,
            services.dispatcher.under_way,
            services.asking.admission,
            services.monitoring.activity,
        )

    def _providers(self) -> Providers:
        asking, monitoring = self.services.asking, self.services.monitoring
        return Providers(
            asking.clock,
            asking.router,
            asking.breakers,
            monitoring.health,
            asking.admission,
            monitoring.activity,
        )

    def _auditor(self) -> AuditorView:
        storage = self.services.storage
        purse = auditor_purses(self.settings.auditor)[AUDITOR.subject]
        return AuditorView(
            self.settings.auditor.mode,
            self.services.auditor,
            storage.observations,
            storage.budgets,
            purse.name,
            purse.limits,
        )

    def _connections(self) -> Connections:
        services = self.services
        return Connections(
            services.clock,
            services.monitoring.open_connections,
            self._sessions,
            self.doors.session_totals,
            services.scheduler,
            lambda: {
                "signed_in": len(services.identity.browsers or ()),
                "feeds": 0 if self._feed is None else self._feed.open,
            },
        )

    def _sessions(self) -> Iterator[ShownSession]:
        for each in (self.doors, *self.doors.others):
            yield from each.sessions.states()

    def _system(self) -> System:
        services = self.services
        asking, traffic = services.asking, self.doors.traffic
        held = (
            Held(
                "arguments, files and pictures of calls",
                "bytes",
                lambda: asking.admission.bytes_in_flight.total,
            ),
            Held("messages that are not complete yet", "bytes", lambda: traffic.incoming.total),
            Held(
                "messages kept for clients",
                "bytes",
                lambda: self.doors.session_totals().get("pending_bytes", 0.0),
            ),
        )
        return System(
            services.clock,
            services.report,
            services.storage.database,
            self.sums,
            services.monitoring.loop_lag,
            services.monitoring.seconds,
            held,
            self._began(),
        )

    def _began(self) -> float:
        clock = self.services.clock
        return clock.wall() - (clock.monotonic() - self.services.report.began)
