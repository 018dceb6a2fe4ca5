"""The doors on real sockets, before a scripted engine, in the test's own process."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from exai.app.duties import mcp_port_duties
from exai.config import Settings
from exai.events.bus import EventBus
from exai.events.events import Event
from exai.runtime.bytes_in_flight import BytesInFlight
from exai.runtime.periodic import Scheduler
from exai.transports.doors import Front, McpDoors
from exai.transports.listener import Addresses, Listener
from exai.transports.server import Engine, Extend, build_server
from exai.transports.websocket.resilient import ResilientWebSocketManager
from exai.web.auth_gate import Authenticates
from exai.web.credential_watch import CredentialWatcher
from exai.web.routes import Route
from support.scripted_authenticator import ScriptedAuthenticator, ScriptedAuthority
from support.scripted_engine import VERSION, ScriptedEngine
from support.virtual_time import LoopClock

__all__ = ["Doors", "OpenDoors", "Port", "open_doors", "open_port", "settings_of"]


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
    incoming: BytesInFlight

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


@dataclass
class Port:
    """The MCP port before some engine."""

    addresses: Addresses
    doors: McpDoors
    serving: asyncio.Task[None]
    stopping: asyncio.Event


@asynccontextmanager
async def open_port(
    engine: Engine,
    tree: Settings,
    bus: EventBus,
    *,
    authenticates: Authenticates,
    authority: ScriptedAuthority,
    extend: Sequence[Extend] = (),
    further: Iterable[Route] = (),
    operations: ASGIApp | None = None,
) -> AsyncIterator[Port]:
    """The MCP port on free ports, before `engine`; whoever leaves the scope has ended or signalled it.

    `further` routes are served on it, `operations` on the other port.
    """
    clock = LoopClock(time.time())
    listener = Listener(tree.server, clock)
    ready, stopping = asyncio.Event(), asyncio.Event()
    server = build_server(
        engine, version=VERSION, extend=extend, plain_calls=tree.server.plain_calls, bus=bus
    )
    doors = McpDoors(server, engine, authenticates, authority, tree, bus, clock, Front(further))
    serving = asyncio.get_running_loop().create_task(
        listener.serve(
            doors,
            operations or PlainTextResponse("operations"),
            PlainTextResponse("reports"),
            engine,
            tree.websocket,
            on_ready=ready.set,
            on_stop=stopping.set,
        ),
        name="doors",
    )
    async with asyncio.timeout(30):
        await ready.wait()
    try:
        async with Scheduler(clock).running(*mcp_port_duties(doors)):
            yield Port(listener.addresses, doors, serving, stopping)
    finally:
        if not serving.done() and not stopping.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(20):
            await serving


def settings_of(**sections: Any) -> Settings:
    """Settings of a port on free ports; `sections` of the configuration may be added."""
    server = {"port": 0, "operations_port": 0, "errors_port": 0, "drain_s": 5, **sections.get("server", {})}
    return Settings.model_validate({**sections, "server": server})


@asynccontextmanager
async def open_doors(
    *,
    extend: Sequence[Extend] = (),
    judge: Authenticates | None = None,
    further: Iterable[Route] = (),
    operations: ASGIApp | None = None,
    **settings: Any,
) -> AsyncIterator[Doors]:
    """Doors on free ports, closed by SIGTERM at the end; `settings` are sections of the configuration.

    `judge` authenticates callers instead of the scripted authenticator; `further` and `operations` are `open_port`'s.
    """
    bus = EventBus()
    events: list[Event] = []
    bus.watch(events.append, Event)
    engine = ScriptedEngine()
    authenticator, authority = ScriptedAuthenticator(), ScriptedAuthority()
    async with open_port(
        engine,
        settings_of(**settings),
        bus,
        authenticates=judge or authenticator,
        authority=authority,
        extend=extend,
        further=further,
        operations=operations,
    ) as port:
        try:
            yield Doors(
                engine,
                port.addresses,
                events,
                port.serving,
                port.stopping,
                port.doors.sessions,
                authenticator,
                authority,
                port.doors.watcher,
                port.doors.traffic.incoming,
            )
        finally:
            engine.released.set()
