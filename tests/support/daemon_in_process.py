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
from exai.storage.database_file import FILE_NAME
from exai.transports.listener import Addresses
from support.daemons import clean_environ
from support.migrated_databases import migrated_sqlite
from support.virtual_time import LoopClock

__all__ = ["DaemonInProcess", "StartInProcess", "daemon_in_process"]


class DaemonInProcess:
    """A daemon that is ready."""

    def __init__(
        self, addresses: Addresses, services: Services, serving: asyncio.Task[None], clock: LoopClock
    ) -> None:
        self.mcp_ws = addresses.mcp_ws
        self.mcp_http = addresses.mcp_http
        self.operations = addresses.operations
        self.errors = addresses.errors
        self.services = services
        self.clock = clock
        self._serving = serving

    def signal(self) -> None:
        """Ask it to stop, as `kill` does."""
        os.kill(os.getpid(), signal.SIGTERM)

    async def ended(self) -> None:
        """Wait for its end, which must be in order."""
        await asyncio.shield(self._serving)


SETTLED_S = 0.1
"""Until what a start writes is committed, so that a first call is not committed after it."""

StartInProcess = Callable[..., AbstractAsyncContextManager[DaemonInProcess]]
"""Starts a daemon with further environment variables."""


@asynccontextmanager
async def daemon_in_process(
    *, data_dir: Path, environ: Mapping[str, str], wall: float
) -> AsyncIterator[DaemonInProcess]:
    """`exai serve` on free ports, without jobs, which have threads of their own; stopped by SIGTERM at the end.

    Where there is no data folder yet, it finds one with a database that is set up already.
    """
    given = clean_environ(data_dir, {"EXAI_JOBS__RUN": "false", **environ})
    if not data_dir.exists():  # noqa: ASYNC240 - a test may wait a moment
        data_dir.mkdir(mode=0o700, parents=True)  # noqa: ASYNC240
        migrated_sqlite(data_dir / FILE_NAME)
    settings = load(environ=given, config_file=None, overrides=(), cwd=data_dir.parent).settings
    clock = LoopClock(wall)
    ready = asyncio.Event()
    started: list[tuple[Addresses, Services]] = []

    def on_ready(addresses: Addresses, services: Services) -> None:
        started.append((addresses, services))
        ready.set()

    serving = asyncio.get_running_loop().create_task(
        run_daemon(settings, demo=False, on_ready=on_ready, clock=clock),
        name="daemon",
    )
    serving.add_done_callback(lambda _: ready.set())
    await ready.wait()
    if not started:
        await serving
    await asyncio.sleep(SETTLED_S)
    daemon = DaemonInProcess(*started[0], serving, clock)
    try:
        yield daemon
    finally:
        # One that is closing has let go of the signal, which would end the tests' own process.
        if not serving.done() and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            daemon.signal()
        await serving
