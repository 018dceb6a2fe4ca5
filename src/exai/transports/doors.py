"""The MCP port's application: WebSocket and Streamable HTTP side by side, on one server and one engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler
from starlette.types import Receive, Scope, Send

from exai import tasks
from exai.auth.hosts import HostRule
from exai.bus import EventBus
from exai.clock import Clock, SystemClock
from exai.config import Settings
from exai.transports.http import HttpDoor
from exai.transports.traffic import Traffic
from exai.transports.websocket import WebSocketDoor

__all__ = ["McpDoors"]


class McpDoors:
    """An ASGI application; serves HTTP while its `open` scope lasts."""

    def __init__(
        self, server: Server[Any], settings: Settings, bus: EventBus, clock: Clock | None = None
    ) -> None:
        self._server = server
        hosts = HostRule(settings.server)
        self.traffic = Traffic()
        self._websocket = WebSocketDoor(
            server,
            settings=settings,
            hosts=hosts,
            bus=bus,
            traffic=self.traffic,
            clock=clock or SystemClock(),
        )
        self.sessions = self._websocket.sessions
        self._http = HttpDoor(
            server,
            settings=settings.server,
            max_json_depth=settings.websocket.max_json_depth,
            hosts=hosts,
            traffic=self.traffic,
        )

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """The scope in which requests are served; leaving it ends every stream and session."""
        sweep = tasks.spawn(self.sessions.run(), name="sessions")
        async with self._http.sessions():
            try:
                yield
            finally:
                self._end_subscriptions()
                sweep.cancel()
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
            await self._http(scope, receive, send)
