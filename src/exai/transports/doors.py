"""The MCP port's application: WebSocket and Streamable HTTP side by side, on one server and one engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler
from starlette.types import Receive, Scope, Send

from exai.config import Settings
from exai.events.bus import EventBus
from exai.runtime.clock import Clock, SystemClock
from exai.transports.http.door import HttpDoor
from exai.transports.public_pages import greeting, resource_metadata
from exai.transports.routes import Route, Routes
from exai.transports.server import Engine
from exai.transports.token_endpoint import Issues, KeySet, TokenEndpoint
from exai.transports.traffic import Traffic
from exai.transports.websocket.door import WebSocketDoor
from exai.web.credential_watch import CredentialWatcher
from exai.web.entrance import METADATA_PATH, Authenticates, Entrance
from exai.web.hosts import HostRule

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
    ) -> None:
        clock = clock or SystemClock()
        self._server = server
        hosts = HostRule(settings.server)
        entrance = Entrance(authenticator, settings, bus)
        self.watcher = CredentialWatcher(authenticator, clock)
        self.traffic = Traffic()
        self._websocket = WebSocketDoor(
            server,
            settings=settings,
            hosts=hosts,
            entrance=entrance,
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
            entrance=entrance,
            watcher=self.watcher,
            traffic=self.traffic,
            clock=clock,
        )
        metadata = resource_metadata(entrance)
        self.routes = Routes(
            (
                Route("/", ("GET", "HEAD"), greeting, is_open=True),
                Route("/mcp", ("GET", "POST", "DELETE"), self._mcp, is_open=False),
                Route(
                    "/auth/token",
                    ("POST",),
                    TokenEndpoint(authority, authenticator.attempts, clock),
                    is_open=True,
                ),
                Route("/.well-known/jwks.json", ("GET", "HEAD"), KeySet(authority, clock), is_open=True),
                Route(METADATA_PATH, ("GET", "HEAD"), metadata, is_open=True),
                Route(f"{METADATA_PATH}/mcp", ("GET", "HEAD"), metadata, is_open=True),
            ),
            hosts=hosts,
            entrance=entrance,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The scope in which requests are served; leaving it ends every stream and session."""
        async with self._mcp.sessions():
            try:
                yield
            finally:
                self._end_subscriptions()
                await self.sessions.shutdown()

    def _end_subscriptions(self) -> None:
        """Give every `subscriptions/listen` its result, which tells the client that the end is meant."""
        entry = self._server.get_request_handler("subscriptions/listen")
        if entry is not None and isinstance(entry.handler, ListenHandler):
            entry.handler.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.routes(scope, receive, send)
