"""MCP over stdin and stdout, one message per line.

Nothing but protocol reaches stdout: its descriptor is kept for the pump alone, and
whatever else in the process writes to it lands on stderr.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import structlog
from mcp.server.lowlevel import Server

from exai import config
from exai.auth.revocation_state import EndReason
from exai.callers import Caller, Door
from exai.events.bus import EventBus
from exai.events.events import ConnectionClosed, ConnectionOpened
from exai.protocol.lines import LineReader, LineTooLong, LineWriter
from exai.protocol.standard_streams import take_stdout
from exai.runtime.stop import Stop
from exai.transports.draining import drain
from exai.transports.opening import Opening
from exai.transports.pump import Pump
from exai.transports.server import Engine
from exai.transports.traffic import Traffic
from exai.web.credential_watch import CredentialWatcher

__all__ = ["serve_stdio"]

_log = structlog.get_logger(__name__)


async def serve_stdio(
    server: Server[Any],
    engine: Engine,
    *,
    caller: Caller,
    watcher: CredentialWatcher,
    limits: config.WebSocket,
    drain_s: float,
    bus: EventBus,
    opening: Opening | None = None,
) -> None:
    """Serve until stdin ends, a signal comes, the client is gone, or the caller's credential has ended.

    Running calls may finish within `drain_s` while the client can still read their answers and its credential is good;
    else they are cancelled.

    Args:
        opening: what has answered the client so far, if anything has.
    """
    loop = asyncio.get_running_loop()
    traffic, stop, reasons = Traffic(), Stop(), list[str]()

    def leave(reason: str) -> None:
        reasons.append(reason)
        stop.ask()

    stdout = take_stdout() if opening is None else opening.stdout
    writer = LineWriter(loop, stdout, lambda: leave("client"))
    pump = Pump(server, caller=caller, send=writer.send, limits=limits, traffic=traffic, bus=bus)

    async def take(line: bytes | LineTooLong) -> None:
        if isinstance(line, LineTooLong):
            await pump.refuse(line.refusal(limits.max_frame_bytes))
        else:
            await pump.receive(line)

    bus.publish(ConnectionOpened(Door.STDIO, caller))
    ended: list[EndReason] = []

    def end(reason: EndReason) -> None:
        if not ended:
            _log.warning("the token has ended: start again with another one", how=reason)
        ended.append(reason)
        leave(reason)

    with stop.by_signals(), watcher.watching(caller, end):
        reader = LineReader(loop, limits.max_frame_bytes, take, lambda: leave("client"))
        if opening is None:
            reader.start()
        else:
            await _repeat_handshake(pump, opening.end())
            opening.go_on_with(reader)
        await stop.first.wait()
        if not writer.broken and not ended:
            await drain(engine, traffic, stop, drain_s)
        await pump.close()
    bus.publish(ConnectionClosed(Door.STDIO, caller, reasons[0] if reasons else "stopping"))


async def _repeat_handshake(pump: Pump, handshake: Iterable[bytes]) -> None:
    """Let the kernel know of a handshake whose answer the client has already."""
    with pump.muted():
        for line in handshake:
            await pump.receive(line)
