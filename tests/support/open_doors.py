"""The doors on real sockets, before a scripted engine, in the test's own process."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.responses import PlainTextResponse

from exai.app.duties import mcp_port_duties
from exai.config import Settings
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.runtime.clock import SystemClock
from exai.runtime.periodic import Scheduler
from exai.transports.doors import McpDoors
from exai.transports.listener import Addresses, Listener
from exai.transports.server import Extend, build_server
from exai.transports.websocket.resilient import ResilientWebSocketManager
from exai.web.credential_watch import CredentialWatcher
from exai.web.entrance import Authenticates
from support.scripted_authenticator import ScriptedAuthenticator, ScriptedAuthority
from support.scripted_engine import VERSION, ScriptedEngine

__all__ = ["Doors", "OpenDoors", "open_doors"]


@dataclass
class Doors:
    """Doors that are open."""

    engine: ScriptedEngine
    addresses: Addresses
    events: list[Event]
    serving: asyncio.Task[None]
    stopping: asyncio.Event
    sessions: ResilientWebSocketManager
    authenticator: ScriptedAuthenticator
    authority: ScriptedAuthority
    watcher: CredentialWatcher

    @property
    def ws(self) -> str:
        return self.addresses.mcp_ws

    @property
    def http(self) -> str:
        return self.addresses.mcp_http

    def signal(self) -> None:
        """What `kill` does."""
        os.kill(os.getpid(), signal.SIGTERM)


OpenDoors = Callable[..., AbstractAsyncContextManager[Doors]]


@asynccontextmanager
async def open_doors(
    *, extend: Extend | None = None, judge: Authenticates | None = None, **settings: Any
) -> AsyncIterator[Doors]:
    """Doors on free ports, closed by SIGTERM at the end; `settings` are sections of the configuration.

    `judge` admits callers instead of the scripted authenticator.
    """
    tree = Settings.model_validate(
        {**settings, "server": {"port": 0, "operations_port": 0, "drain_s": 5, **settings.get("server", {})}}
    )
    bus = EventBus()
    events: list[Event] = []
    bus.watch(events.append, Event)
    engine = ScriptedEngine()
    listener = Listener(tree.server)
    ready, stopping = asyncio.Event(), asyncio.Event()
    authenticator, authority = ScriptedAuthenticator(), ScriptedAuthority()
    server = build_server(engine, version=VERSION, extend=extend, bus=bus)
    doors = McpDoors(server, engine, judge or authenticator, authority, tree, bus)
    serving = asyncio.get_running_loop().create_task(
        listener.serve(
            doors,
            PlainTextResponse("operations"),
            engine,
            tree.websocket,
            on_ready=ready.set,
            on_stop=stopping.set,
        ),
        name="doors",
    )
    async with asyncio.timeout(10):
        await ready.wait()
    opened = Doors(
        engine,
        listener.addresses,
        events,
        serving,
        stopping,
        doors.sessions,
        authenticator,
        authority,
        doors.watcher,
    )
    try:
        async with Scheduler(SystemClock()).running(*mcp_port_duties(doors)):
            yield opened
    finally:
        if not serving.done():
            if not stopping.is_set():
                opened.signal()
            engine.released.set()
        async with asyncio.timeout(20):
            await serving
