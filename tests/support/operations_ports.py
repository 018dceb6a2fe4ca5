"""The operations port over a real database, asked as a server asks it: with raw headers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import Message

from exai import config
from exai.app.ports import build_ports
from exai.app.services import build
from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority
from exai.auth.tickets import Tickets
from exai.dashboard.operations import Identity, operations_port
from exai.dashboard.overview import Overview
from exai.dashboard.readiness import Check
from exai.error_tracking.console import Console
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.monitoring.loop_lag import LoopLag
from exai.monitoring.metrics import Metrics
from exai.monitoring.open_connections import OpenConnections
from exai.monitoring.provider_health import ProviderHealth
from exai.monitoring.running_calls import RunningCalls
from exai.routing.admission import Admission
from exai.routing.breaker import Breakers
from exai.routing.router import ModelRouter
from exai.runtime.clock import ManualClock
from exai.runtime.periodic import Duty, DutyRecord
from exai.storage.calls.journal import Journal
from exai.storage.calls.recorded import RecordedCalls
from exai.storage.calls.usage import UsageReports
from exai.storage.calls.use import UseCounts
from exai.storage.conversations.archive import ConversationArchive
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from exai.storage.identity.tickets import TicketTable
from exai.tools.system_report import ModelStates, SystemReport
from exai.web.hosts import HostRule
from exai.web.port import HttpPort
from support.asgi import AsgiReply, asgi_scope, ask_app

__all__ = ["HOST", "OWN_ORIGIN", "Port", "Reply", "daemon_port", "filled", "make_port"]

HOST = "127.0.0.1:8080"
OWN_ORIGIN = f"http://{HOST}"


class Reply(AsgiReply):
    """What came back."""

    @property
    def cookie(self) -> str:
        """The cookie that was set, as a browser sends it back."""
        return (self.header("set-cookie") or "").partition(";")[0]


@dataclass
class Port:
    """A port and who stands behind it."""

    app: HttpPort
    authenticator: Authenticator
    authority: Authority
    tickets: Tickets
    clock: ManualClock
    bus: EventBus
    """What calls and connections are followed by."""
    metrics: Metrics
    database: Database
    events: list[Event] = field(default_factory=list)
    address: str = "127.0.0.1"
    state: dict[str, Any] = field(default_factory=dict)
    """What the server says of the connection."""

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        json_body: object = None,
        host: str | None = HOST,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
        ends: bool = True,
    ) -> Reply:
        """One request; `headers` are added, and a token becomes `Authorization: Bearer`.

        One that does not end sends its body and leaves the port waiting for more.
        """
        raw = [] if host is None else [(b"host", host.encode())]
        if token is not None:
            raw.append((b"authorization", f"Bearer {token}".encode()))
        if json_body is not None:
            body = json.dumps(json_body).encode()
            raw.append((b"content-type", b"application/json"))
        raw += [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        scope = asgi_scope(method, path, raw)
        scope["client"], scope["state"] = (self.address, 50_000), self.state
        rest = iter([{"type": "http.request", "body": body or b"", "more_body": not ends}])

        async def receive() -> Message:
            message = next(rest, None)
            if message is None:
                await asyncio.Event().wait()
            return message or {}

        return Reply((await ask_app(self.app, scope, receive)).messages)

    async def sign_in(self, ticket: str, **headers: str) -> Reply:
        """What the page does with a ticket."""
        return await self.ask(
            "POST", "/api/sign-in", json_body={"ticket": ticket}, headers={"origin": OWN_ORIGIN, **headers}
        )


def filled(path: str) -> str:
    """A path that a route's pattern matches."""
    return re.sub(r"\{\w+\}", "0123456789abcdef", path)


@asynccontextmanager
async def daemon_port(data_dir: Path, auth: config.Auth) -> AsyncIterator[Port]:
    """The port with every route that the daemon gives it, built by the daemon's own code over a clock of the test."""
    settings, clock = config.Settings(data_dir=data_dir, auth=auth), ManualClock()
    async with build(settings, version="1.2.3", runs_jobs=False, clock=clock) as services:
        identity, monitoring = services.identity, services.monitoring
        yield Port(
            build_ports(services, settings).operations,
            identity.authenticator,
            identity.authority,
            identity.tickets,
            clock,
            monitoring.bus,
            monitoring.metrics,
            services.storage.database,
        )


def make_port(
    database: Database,
    data_dir: Path,
    authenticator: Authenticator,
    settings: config.Auth,
    clock: ManualClock,
    *,
    checks: Mapping[str, Check],
    server: config.Server,
) -> Port:
    """A port whose requests this authenticator admits."""
    tables = IdentityTables(database)
    authority = Authority(settings, tables, data_dir, clock, changed=authenticator.refresh)
    tickets = Tickets(TicketTable(database), clock)
    bus, metrics = EventBus(), Metrics(version="1.2.3")
    running, connected = RunningCalls(clock), OpenConnections()
    running.watch(bus)
    connected.watch(bus)
    events: list[Event] = []
    overview = Overview(
        report=_report(database, clock),
        auth_mode=settings.mode,
        checks=checks,
        sessions=lambda: {"open": 3},
        running=running,
        connected=connected,
    )
    app = operations_port(
        identity=Identity(authenticator, authority, tickets),
        overview=overview,
        errors=Console(database, clock),
        metrics=metrics,
        hosts=HostRule(server),
        clock=clock,
        publish=events.append,
    )
    return Port(app, authenticator, authority, tickets, clock, bus, metrics, database, events)


def _report(database: Database, clock: ManualClock) -> SystemReport:
    """What is to be shown of a daemon with a key for GLM and one duty."""
    providers = config.Providers.model_validate({"glm": {"api_key": "id.secret"}})
    router = ModelRouter.from_settings(providers, config.Models(), config.Timeouts(), clock)
    breakers = Breakers(config.Breaker(), clock, lambda _: None)
    return SystemReport(
        clock=clock,
        began=clock.monotonic(),
        demo=False,
        loop_lag=LoopLag(clock),
        models=ModelStates(router, ProviderHealth(clock), breakers),
        admission=Admission(config.Admission(), clock),
        jobs=dict,
        duties=[DutyRecord(Duty(name="tidy", run=asyncio.Event().wait, every_s=60), runs=3, failures=1)],
        journal=Journal(database, clock),
        usage=UsageReports(database, clock),
        use=UseCounts(database, clock),
        calls=RecordedCalls(database, clock),
        archive=ConversationArchive(database, clock),
        errors=Console(database, clock),
        running=(),
    )
