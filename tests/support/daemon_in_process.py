"""The whole daemon on the test's own event loop, over real sockets, for what takes virtual time."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from exai.app.daemon import run_daemon
from exai.app.services import Services
from exai.config.sources import load
from exai.transports.listener import Addresses
from support.daemons import clean_environ
from support.virtual_time import LoopClock

__all__ = ["DaemonInProcess", "StartInProcess", "daemon_in_process"]


class DaemonInProcess:
    """A daemon that is ready."""

    def __init__(self, addresses: Addresses, services: Services, serving: asyncio.Task[None]) -> None:
        self.mcp_ws = addresses.mcp_ws
        self.mcp_http = addresses.mcp_http
        self.operations = addresses.operations
        self.services = services
        self._serving = serving

    def signal(self) -> None:
        """Ask it to stop, as `kill` does."""
        os.kill(os.getpid(), signal.SIGTERM)

    async def ended(self) -> None:
        """Wait for its end, which must be in order."""
        await asyncio.shield(self._serving)


StartInProcess = Callable[..., AbstractAsyncContextManager[DaemonInProcess]]
"""Starts a daemon with further environment variables."""


@asynccontextmanager
async def daemon_in_process(
    *, data_dir: Path, environ: Mapping[str, str], wall: float
) -> AsyncIterator[DaemonInProcess]:
    """`exai serve` on free ports, without jobs, which have threads of their own; stopped by SIGTERM at the end."""
    given = clean_environ(data_dir, {"EXAI_JOBS__RUN": "false", **environ})
    settings = load(environ=given, config_file=None, overrides=(), cwd=data_dir.parent).settings
    ready: asyncio.Future[tuple[Addresses, Services]] = asyncio.get_running_loop().create_future()
    serving = asyncio.get_running_loop().create_task(
        run_daemon(settings, demo=False, on_ready=lambda *at: ready.set_result(at), clock=LoopClock(wall)),
        name="daemon",
    )
    await asyncio.wait([serving, ready], return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        await serving
    daemon = DaemonInProcess(*ready.result(), serving)
    try:
        yield daemon
    finally:
        if not serving.done():
            daemon.signal()
        await serving
