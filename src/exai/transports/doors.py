"""The MCP port's application: WebSocket and Streamable HTTP side by side, on one server and one engine."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
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
    greeting,
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

__all__ = ["McpDoors"]


class McpDoors:
    """An ASGI application; serves HTTP while its `open` scope lasts."""

    def __init__(
        self,
        server: Server[Any],
        engine: Engine,
        authenticator: Authenticates,
        authority: Issues,
        settings: Settings,
        bus: EventBus,
        clock: Clock | None = None,
        *,
        further: Iterable[Route] = (),
    ) -> None:
        """Build the port; `further` routes are served beside those of MCP."""
        clock = clock or SystemClock()
        self._server = server
        hosts = HostRule(settings.server)
        resource = ProtectedResource(settings)
        gate = AuthGate(authenticator, bus.publish, challenge=resource.challenge)
        self.watcher = CredentialWatcher(authenticator, clock)
        self.traffic = Traffic(settings.admission)
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
        self._mcp = HttpDoor(
            server,
            engine,
            settings=settings,
            gate=gate,
            watcher=self.watcher,
            traffic=self.traffic,
            clock=clock,
        )
        self._mcp_body = WholeBody(settings.server.max_body_bytes, settings.server.body_timeout_s)
        self.http = HttpPort(
            [*self._routes(resource, authority, authenticator.attempts, clock), *further],
            door=Door.HTTP,
            hosts=hosts,
            gate=gate,
            publish=bus.publish,
            not_found="Nothing is here. MCP is at /mcp.",
            headers={b"x-content-type-options": b"nosniff"},
            incoming=self.traffic.incoming,
        )

    def _routes(
        self, resource: ProtectedResource, authority: Issues, attempts: Attempts, clock: Clock
    ) -> list[Route]:
        token_endpoint, keys = TokenEndpoint(authority, attempts, clock), KeySet(authority, clock)
        metadata, none = resource_metadata(resource), no_authorization_server(resource)
        return [
            Route(READ, "/", greeting, is_open=True),
            Route(("GET", "POST", "DELETE"), "/mcp", self._mcp, body=self._mcp_body, fault_form=_as_rpc),
            Route(("POST",), "/auth/token", token_endpoint, is_open=True, body=FORM_BODY),
            Route(READ, "/.well-known/jwks.json", keys, is_open=True),
            Route(READ, METADATA_PATH, metadata, is_open=True),
            Route(READ, f"{METADATA_PATH}/mcp", metadata, is_open=True),
            *(Route(methods, path, none, is_open=True) for methods, path in AUTHORIZATION_SERVER_ROUTES),
        ]

    def samples(self) -> list[Sample]:
        """Return the metrics of what comes in, and of the sessions."""
        coming = Sample(
            "incoming_bytes", "Of messages that are not complete yet.", self.traffic.incoming.total
        )
        return [coming, *self.sessions.samples()]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve requests within this scope; leaving it ends every stream and session."""
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


def _as_rpc(fault: ExaiError, _: Scope) -> Response:
    return rpc_fault(fault)
