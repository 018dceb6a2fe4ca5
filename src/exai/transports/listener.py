"""The ports, on one uvicorn server and one event loop, from the first connection to the last.

`Listener(settings.server)` binds; `await listener.serve(doors, operations, reports, ...)` serves until a signal asks to
stop, then drains, ends the streams and closes the sockets.
"""

import asyncio
import contextlib
import errno
import http.client
import json
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from exai import config
from exai.errors import StartFault
from exai.runtime import tasks
from exai.runtime.clock import Clock, SystemClock
from exai.runtime.os_errors import reason_of
from exai.runtime.stop import Stop
from exai.transports.doors import McpDoors
from exai.transports.draining import drain
from exai.transports.server import Engine
from exai.transports.websocket.protocol import AbortableWebSocket
from exai.web.bounded_http import MAX_HEAD_BYTES, bounded
from exai.web.hosts import EVERY_ADDRESS
from exai.web.unauthenticated import UnauthenticatedConnections

__all__ = ["NONE_INHERITED", "PORTS", "Addresses", "Listener"]

PORTS: Mapping[str, str] = MappingProxyType(
    {"mcp": "server.port", "operations": "server.operations_port", "errors": "server.errors_port"}
)
"""The ports, and the setting of each."""
NONE_INHERITED: Mapping[str, socket.socket] = MappingProxyType({})

BACKLOG = 2048
ANSWER_S = 5.0
"""How long an EXAI that holds the port may take to say so, while another one fails to start."""
CLOSE_S = 0.5
"""How long peers may take to read what was written before their connections are cut."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running daemon is reached."""

    mcp_ws: str
    mcp_http: str
    operations: str
    errors: str


class Listener:
    """Holds the ports from the moment it is made, so that a taken one stops the start and nothing later."""

    def __init__(
        self,
        settings: config.Server,
        clock: Clock | None = None,
        inherited: Mapping[str, socket.socket] = NONE_INHERITED,
    ) -> None:
        """Bind the ports, but for those that were handed over with the start.

        Args:
            inherited: listening sockets by the names of `PORTS`; they are this object's from here on.

        Raises:
            StartFault: one cannot be had, or one that was handed over listens elsewhere than `server.host` says.
        """
        self._settings = settings
        self._clock = clock or SystemClock()
        self._sockets: list[socket.socket] = []
        handed_over = dict(inherited)
        try:
            for name, setting in PORTS.items():
                sock = handed_over.pop(name, None)
                if sock is None:
                    port = getattr(settings, setting.removeprefix("server."))
                    self._sockets.append(_bound(settings, port, setting))
                else:
                    self._sockets.append(sock)
                    _check_place(name, sock, settings.host)
        except StartFault:
            for sock in handed_over.values():
                sock.close()
            self.close()
            raise
        _, self._operations, self._errors = self._sockets

    @property
    def addresses(self) -> Addresses:
        """The real ports, whatever was asked for."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        mcp, operations, errors = (f"{host}:{each.getsockname()[1]}" for each in self._sockets)
        return Addresses(f"ws://{mcp}/mcp", f"http://{mcp}/mcp", f"http://{operations}", f"http://{errors}")

    def close(self) -> None:
        """Let go of the ports; only needed when `serve` never ran."""
        for each in self._sockets:
            each.close()

    async def serve(
        self,
        doors: McpDoors,
        operations: ASGIApp,
        reports: ASGIApp,
        engine: Engine,
        limits: config.WebSocket,
        *,
        on_ready: Callable[[], None],
        on_stop: Callable[[], None],
    ) -> None:
        """Serve until a signal asks to stop, then leave in order.

        `on_ready` is called once connections are taken, `on_stop` when the stop begins.
        """
        further = {
            self._operations.getsockname()[1]: operations,
            self._errors.getsockname()[1]: reports,
        }

        async def by_port(scope: Scope, receive: Receive, send: Send) -> None:
            app = further.get(scope["server"][1], doors)
            await app(scope, receive, send)

        server = _Server(
            uvicorn.Config(
                by_port,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                http=bounded(
                    self._settings.head_timeout_s,
                    limits.send_timeout_s,
                    UnauthenticatedConnections(self._clock),
                ),
                ws=AbortableWebSocket,
                ws_max_size=limits.max_frame_bytes,
                ws_ping_interval=limits.ping_interval_s,
                ws_ping_timeout=limits.ping_timeout_s,
                ws_per_message_deflate=False,
                lifespan="off",
                proxy_headers=bool(self._settings.trusted_proxies),
                forwarded_allow_ips=list(self._settings.trusted_proxies),
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=CLOSE_S,  # type: ignore[arg-type]  # asyncio gets it, and takes fractions
            )
        )
        stop = Stop()
        with stop.by_signals():
            serving = None
            try:
                async with doors.open():
                    serving = tasks.spawn(server.serve(self._sockets), name="listener")
                    await _until_started(server, serving)
                    on_ready()
                    asked = tasks.spawn(stop.first.wait(), name="signals")
                    await asyncio.wait([asked, serving], return_when=asyncio.FIRST_COMPLETED)
                    asked.cancel()
                    on_stop()
                    await drain(engine, doors.traffic, stop, self._settings.drain_s)
            finally:
                server.should_exit = True
                if serving is not None:
                    await serving


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: a stop has an order here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _until_started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            await serving
            raise StartFault("The listener ended before it began; the log says why.")
        await asyncio.sleep(0.005)


def _check_place(name: str, inherited: socket.socket, host: str) -> None:
    """Hold a socket to the address that was checked with the rest of the settings: who may connect depends on it."""
    listens_at = inherited.getsockname()[0]
    try:
        places = {address[0] for *_, address in _resolved(host, 0)}
    except OSError:
        places = set()
    if listens_at not in places:
        raise StartFault(
            f"The socket that was handed over as {name!r} listens at {listens_at}, and `server.host` is {host}. "
            "Make both the same."
        )


def _resolved(host: str, port: int) -> list[tuple[Any, ...]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _bound(settings: config.Server, port: int, setting: str) -> socket.socket:
    host = settings.host
    try:
        family, _, _, _, address = _resolved(host, port)[0]
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
        other = f"choose another port: `--set {setting}=PORT`"
        if error.errno == errno.EADDRINUSE and _is_exai(host, settings.operations_port):
            raise StartFault(
                f"Port {port} on {host} cannot be opened: EXAI is running there already. "
                f"Use that one, stop it, or {other}."
            ) from None
        raise StartFault(
            f"Port {port} on {host} cannot be opened ({reason_of(error)}). Stop what uses it, or {other}."
        ) from error
    return sock


def _is_exai(host: str, operations_port: int) -> bool:
    """Return whether an EXAI answers on this operations port."""
    reached_at = EVERY_ADDRESS.get(host, host)
    with closing(http.client.HTTPConnection(reached_at, operations_port, timeout=ANSWER_S)) as connection:
        try:
            connection.request("GET", "/readyz", headers={"Host": "localhost"})
            told = json.loads(connection.getresponse().read(MAX_HEAD_BYTES))
        except (OSError, http.client.HTTPException, ValueError):
            return False
    checks = told.get("checks") if isinstance(told, dict) else None
    return isinstance(checks, dict) and "admitting" in checks
