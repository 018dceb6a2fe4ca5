"""The order of leaving, the same for the daemon and for stdio.

New calls are refused, running ones finish or are ended after a while, and their
answers are written. Asking a second time cuts the waiting short.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog

from exai.runtime import tasks
from exai.runtime.stop import Stop
from exai.transports.traffic import Traffic

if TYPE_CHECKING:  # it would bring the MCP SDK into `exai connect`, which does without
    from exai.transports.server import Engine

__all__ = ["drain"]

_log = structlog.get_logger(__name__)

FLUSH_S = 0.5
"""How long answers may take to be written once every call has ended."""


async def drain(engine: "Engine", traffic: Traffic, stop: Stop, drain_s: float) -> None:
    """Let running calls finish within `drain_s`, then end them with a definite answer; return when all is written."""
    engine.stop_admitting()
    _log.info("stopping", running=engine.running, drain_s=drain_s)
    idle = tasks.spawn(traffic.idle(), name="drain")
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
