"""Sockets, signals and the order of leaving.

One uvicorn server holds both ports. A stop goes: new calls are refused, running ones
finish or are ended after `drain_s`, their answers are written, streams end, sockets
close. A second signal cuts the waiting short.
"""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from exai import config, tasks
from exai.errors import StartFault
from exai.transports.doors import McpDoors
from exai.transports.server import Engine
from exai.transports.websocket import AbortableWebSocket

__all__ = ["Addresses", "Listener"]

_log = structlog.get_logger(__name__)

BACKLOG = 2048
FLUSH_S = 2.0
"""How long answers may take to be written once every call has ended."""
CLOSE_S = 2
GC_THRESHOLDS = (10_000, 50, 100)
"""Full collections over a heap of this size pause for 50 to 160 ms; what lives since the start is frozen out."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running daemon is reached."""

    mcp_ws: str
    mcp_http: str
    operations: str


class Listener:
    """Holds the ports from the moment it is made, so that a taken one stops the start and nothing later."""

    def __init__(self, settings: config.Server) -> None:
        """Bind both ports.

        Raises:
            StartFault: one cannot be had.
        """
        self._settings = settings
        self._mcp = _bound(settings.host, settings.port, "server.port")
        try:
            self._operations = _bound(settings.host, settings.operations_port, "server.operations_port")
        except StartFault:
            self._mcp.close()
            raise

    @property
    def addresses(self) -> Addresses:
        """The real ports, whatever was asked for."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        mcp = f"{host}:{self._mcp.getsockname()[1]}"
        operations = f"{host}:{self._operations.getsockname()[1]}"
        return Addresses(f"ws://{mcp}/mcp", f"http://{mcp}/mcp", f"http://{operations}")

    def close(self) -> None:
        """Let go of the ports; only needed when `serve` never ran."""
        self._mcp.close()
        self._operations.close()

    async def serve(
        self,
        doors: McpDoors,
        operations: ASGIApp,
        engine: Engine,
        limits: config.WebSocket,
        *,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None],
    ) -> None:
        """Serve until a signal asks to stop, then leave in order.

        `on_ready` is called once connections are taken, `on_stop` when the stop begins.
        """
        operations_port = self._operations.getsockname()[1]

        async def by_port(scope: Scope, receive: Receive, send: Send) -> None:
            app = operations if scope["server"][1] == operations_port else doors
            await app(scope, receive, send)

        server = _Server(
            uvicorn.Config(
                by_port,
                ws=AbortableWebSocket,
                ws_max_size=limits.max_frame_bytes,
                ws_ping_interval=limits.ping_interval_s,
                ws_ping_timeout=limits.ping_timeout_s,
                ws_per_message_deflate=False,
                lifespan="off",
                proxy_headers=False,
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=CLOSE_S,
            )
        )
        stop = _Stop()
        with stop.listening():
            async with doors.open():
                serving = tasks.spawn(server.serve([self._mcp, self._operations]), name="listener")
                await _until_started(server, serving)
                _settle_memory()
                on_ready()
                waiting = tasks.spawn(stop.first.wait(), name="signals")
                await asyncio.wait([waiting, serving], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                on_stop()
                await _drain(engine, doors, stop, self._settings.drain_s)
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: a stop has an order here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class _Stop:
    """SIGTERM and SIGINT: the first begins the stop, the second hurries it."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    @contextlib.contextmanager
    def listening(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, self._heard)
        try:
            yield
        finally:
            for number in numbers:
                with suppress(NotImplementedError):
                    loop.remove_signal_handler(number)

    def _heard(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def _drain(engine: Engine, doors: McpDoors, stop: _Stop, drain_s: float) -> None:
    engine.stop_admitting()
    _log.info("stopping", running=engine.running, drain_s=drain_s)
    idle = tasks.spawn(doors.traffic.idle(), name="drain")
    hurry = tasks.spawn(stop.second.wait(), name="hurry")
    try:
        await asyncio.wait([idle, hurry], timeout=drain_s, return_when=asyncio.FIRST_COMPLETED)
        if not idle.done():
            _log.warning("running calls are ended", running=engine.running)
            engine.abort_running()
            await asyncio.wait([idle], timeout=FLUSH_S)
    finally:
        idle.cancel()
        hurry.cancel()


async def _until_started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            await serving
            raise StartFault("The listener ended before it began; the log says why.")
        await asyncio.sleep(0.005)


def _settle_memory() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def _bound(host: str, port: int, setting: str) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise StartFault(
            f"Port {port} on {host} cannot be opened ({reason}). "
            f"Stop what uses it, or choose another port with `{setting}`."
        ) from error
    return sock
