"""The application of a port that serves MCP: WebSocket and Streamable HTTP, on one server and one engine."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from mcp.server.lowlevel import Server
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exai.auth.attempts import Attempts
from exai.callers import Door
from exai.config import Settings
from exai.errors import ExaiError
from exai.events.bus import EventBus
from exai.runtime.clock import Clock, SystemClock
from exai.runtime.samples import Sample
from exai.transports.http.door import HttpDoor
from exai.transports.http.faults import rpc_fault
from exai.transports.protected_resource import METADATA_PATH, ProtectedResource
from exai.transports.public_pages import (
    AUTHORIZATION_SERVER_ROUTES,
    GREETING,
    greets,
    no_authorization_server,
    resource_metadata,
)
from exai.transports.server import Engine, Subscriptions
from exai.transports.token_endpoint import FORM_BODY, Issues, KeySet, TokenEndpoint
from exai.transports.traffic import Traffic
from exai.transports.websocket.door import WebSocketDoor
from exai.web.auth_gate import Authenticates, AuthGate
from exai.web.bodies import WholeBody
from exai.web.credential_watch import CredentialWatcher
from exai.web.hosts import HostRule
from exai.web.port import HttpPort
from exai.web.routes import READ, Route

__all__ = ["Front", "McpDoors"]

METHODS = ("GET", "POST", "DELETE")


@dataclass(frozen=True)
class Front:
    """What a port that serves MCP has of its own."""

    further: Iterable[Route] = ()
    """Routes beside those of MCP."""
    door: Door = Door.HTTP
    """Where a request by HTTP enters."""
    greeting: str = GREETING
    """What people are told at `/`."""
    not_found: str = "Nothing is here. MCP is at /mcp."
    beside: "McpDoors | None" = None
    """The port that it shares its life with."""


class McpDoors:
    """An ASGI application; serves HTTP while its `open` scope lasts.

    A port `beside` another shares its traffic, which a stop waits for, its watcher of credentials, and its life: it is
    opened, swept, measured and ended with that one.
    """

    def __init__(
        self,
        server: Server[Any],
        engine: Engine,
        authenticator: Authenticates,
        authority: Issues,
        settings: Settings,
        bus: EventBus,
        clock: Clock | None = None,
        front: "Front | None" = None,
    ) -> None:
        """Build the port; `front` is what it has of its own."""
        front = front or Front()
        clock = clock or SystemClock()
        self._server = server
        hosts = HostRule(settings.server)
        resource = ProtectedResource(settings)
        gate = AuthGate(authenticator, bus.publish, challenge=resource.challenge)
        self.watcher, self.traffic = _shared(front.beside, settings, authenticator, clock)
        self.others: list[McpDoors] = []
        """Ports beside this one."""
        if front.beside is not None:
            front.beside.others.append(self)
        self._websocket = WebSocketDoor(
            server,
            settings=settings,
            hosts=hosts,
            gate=gate,
            watcher=self.watcher,
            bus=bus,
            traffic=self.traffic,
            clock=clock,
        )
        self.sessions = self._websocket.sessions
        http = partial(HttpDoor, server, engine, settings=settings, gate=gate, clock=clock)
        self._mcp = http(watcher=self.watcher, traffic=self.traffic)
        body = WholeBody(settings.server.max_body_bytes, settings.server.body_timeout_s)
        own = Route(METHODS, "/mcp", self._mcp, body=body, fault_form=_as_rpc)
        pages = _pages(front.greeting, resource, authority, authenticator.attempts, clock)
        self.http = HttpPort(
            (own, *pages, *front.further),
            door=front.door,
            hosts=hosts,
            gate=gate,
            publish=bus.publish,
            not_found=front.not_found,
            headers={b"x-content-type-options": b"nosniff"},
            incoming=self.traffic.incoming,
        )

    def samples(self) -> list[Sample]:
        """Return the metrics of what comes in, and of the sessions."""
        coming = Sample(
            "incoming_bytes", "Of messages that are not complete yet.", self.traffic.incoming.total
        )
        return [
            coming,
            *_added_up(self.sessions.samples(), *(each.sessions.samples() for each in self.others)),
        ]

    def session_totals(self) -> dict[str, float]:
        """Sum up the sessions of this port and those beside it."""
        sums = asdict(self.sessions.statistics())
        for each in self.others:
            further = asdict(each.sessions.statistics())
            lag_s = max(sums["ack_lag_s"], further["ack_lag_s"])
            sums = {name: value + further[name] for name, value in sums.items()} | {"ack_lag_s": lag_s}
        return {**sums, "ack_lag_s": round(sums["ack_lag_s"], 1)}

    async def sweep(self) -> None:
        """End sessions after their grace time, and keep the bounds of the others."""
        for each in (self, *self.others):
            each.end_idle()
            await each.sessions.sweep()

    def end_idle(self) -> None:
        """End the HTTP sessions of this port that nobody uses."""
        self._mcp.sweep()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve requests within this scope; leaving it ends every stream and session."""
        async with AsyncExitStack() as scopes:
            for each in (self, *self.others):
                await scopes.enter_async_context(each.served())
            yield

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Serve this port alone within the scope."""
        async with self._mcp.sessions():
            try:
                yield
            finally:
                self._end_subscriptions()
                await self.sessions.shutdown()

    def _end_subscriptions(self) -> None:
        entry = self._server.get_request_handler("subscriptions/listen")
        handler: object = None if entry is None else entry.handler
        if isinstance(handler, Subscriptions):
            handler.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            scope["path"] = scope["path"].rstrip("/") or "/"  # clients are given `/mcp/` as well
            await self.http(scope, receive, send)


def _shared(
    beside: McpDoors | None, settings: Settings, authenticator: Authenticates, clock: Clock
) -> tuple[CredentialWatcher, Traffic]:
    if beside is not None:
        return beside.watcher, beside.traffic
    return CredentialWatcher(authenticator, clock), Traffic(settings.admission)


def _pages(
    greeting: str, resource: ProtectedResource, authority: Issues, attempts: Attempts, clock: Clock
) -> list[Route]:
    """List the routes that are open to everybody."""
    token_endpoint, keys = TokenEndpoint(authority, attempts, clock), KeySet(authority, clock)
    metadata, none = resource_metadata(resource), no_authorization_server(resource)
    return [
        Route(READ, "/", greets(greeting), is_open=True),
        Route(("POST",), "/auth/token", token_endpoint, is_open=True, body=FORM_BODY),
        Route(READ, "/.well-known/jwks.json", keys, is_open=True),
        Route(READ, METADATA_PATH, metadata, is_open=True),
        Route(READ, f"{METADATA_PATH}/mcp", metadata, is_open=True),
        *(Route(methods, path, none, is_open=True) for methods, path in AUTHORIZATION_SERVER_ROUTES),
    ]


def _added_up(first: list[Sample], *others: list[Sample]) -> Iterator[Sample]:
    """Add the values of several ports, which have the same samples."""
    sums = {each.name: each.value for each in first}
    for each in chain(*others):
        sums[each.name] += each.value
    return (replace(each, value=sums[each.name]) for each in first)


def _as_rpc(fault: ExaiError, _: Scope) -> Response:
    return rpc_fault(fault)
