"""A daemon for `scripts/bench storms` that notices faults, or has an auditor read events, as it is told on stdin.

It says its addresses, then answers each line, as JSON: `calm 10`, `faults 100000 300` (a minute, seconds),
`events 10000 60` (a second, seconds), and `end`.
"""

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from exai.app.daemon import run_daemon
from exai.app.services import Services
from exai.config.sources import load
from exai.config.tree import secret_values
from exai.error_tracking.faults import FaultSource
from exai.events.bus import EventBus
from exai.monitoring.auditor.auditor import Auditor
from exai.monitoring.auditor.exercise import MODELS, Planted, event_of
from exai.monitoring.logs import configure
from exai.runtime.core_wait import core_wait_s
from exai.storage.auditor.observations import Observations
from exai.storage.auditor.windows import Windows
from exai.transports.listener import Addresses

__all__ = ["KINDS", "main", "raised", "resident_bytes"]

TICK_S = 0.01
FOLD_S = 1.0
DEPTH = 30
KINDS = 20
"""Types of exceptions, each a group."""
OF_A_KIND = 10


def resident_bytes() -> int:
    """Return the memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def raised(kind: type[Exception], message: str, depth: int = DEPTH) -> Exception:
    """Raise and catch an error under many frames."""

    def down(left: int) -> None:
        if left:
            return (down if left % 2 else _other)(left - 1)
        raise kind(message)

    def _other(left: int) -> None:
        return down(left)

    try:
        down(depth)
    except kind as error:
        return error
    raise AssertionError("it raises")


class _Storms:
    """What a daemon's own loop is made to do beside its calls."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._errors = [
            raised(
                type(f"Storm{chr(97 + kind)}", (LookupError,), {}), f"key {number} of 10.0.0.{number} is gone"
            )
            for number in range(OF_A_KIND)
            for kind in range(KINDS)
        ]
        self._bus = EventBus()
        database, clock = services.storage.database, services.clock
        self._auditor = Auditor(
            Observations(database, clock), Windows(database, clock), clock, services.monitoring.bus.publish
        )
        self._auditor.watch(self._bus)
        self._events = [event_of(Planted(0.0, "call", model)) for model in MODELS]

    async def run(self, line: str) -> dict[str, Any]:
        """Do what a line says; return what was seen meanwhile."""
        name, *numbers = line.split()
        if name == "calm":
            return await self._watched(float(numbers[0]), 0.0, lambda _: None)
        if name == "faults":
            return await self._watched(float(numbers[1]), float(numbers[0]) / 60, self._fail)
        return await self._flooded(float(numbers[1]), float(numbers[0]))

    def _fail(self, number: int) -> None:
        error = self._errors[number % len(self._errors)]
        error.__dict__.clear()
        self._services.faults.notices.notice(error, FaultSource.TASK)

    async def _flooded(self, seconds: float, per_second: float) -> dict[str, Any]:
        before, dropped = self._auditor.counts_of().folded, self._auditor.dropped
        spent = [0.0]

        async def fold() -> None:
            while True:
                await asyncio.sleep(FOLD_S)
                began = time.thread_time()
                await self._auditor.fold()
                spent[0] += time.thread_time() - began

        folding = asyncio.create_task(fold())
        try:
            told = await self._watched(
                seconds,
                per_second,
                lambda number: self._bus.publish(self._events[number % len(self._events)]),
            )
        finally:
            folding.cancel()
            await asyncio.wait({folding})
        await self._auditor.fold()
        folded = self._auditor.counts_of().folded - before
        return told | {
            "folded": folded,
            "dropped": self._auditor.dropped - dropped,
            "fold_us": spent[0] / max(folded, 1) * 1e6,
        }

    async def _watched(
        self, seconds: float, per_second: float, make: Callable[[int], None]
    ) -> dict[str, Any]:
        """Make things evenly, and see how late the loop is and how much memory is used."""
        began, sent, making = time.monotonic(), 0, 0.0
        late: list[float] = []
        of_the_loop: list[float] = []
        resident = most = resident_bytes()
        cpu = time.process_time()
        while (now := time.monotonic()) < began + seconds:
            due = min(int((now - began) * per_second), int(seconds * per_second))
            spent = time.thread_time()
            for number in range(sent, due):
                make(number)
            making += time.thread_time() - spent
            sent = max(sent, due)
            wake, waited = time.monotonic() + TICK_S, core_wait_s()
            await asyncio.sleep(TICK_S)
            behind = time.monotonic() - wake
            late.append(behind)
            of_the_loop.append(max(0.0, behind - (core_wait_s() - waited)))
            most = max(most, resident_bytes())
        await self._services.faults.tracker.flush()
        return {
            "cpu_share": (time.process_time() - cpu) / (time.monotonic() - began),
            "sent": sent,
            "make_us": making / max(sent, 1) * 1e6,
            "late_p99_ms": _p99(late) * 1_000,
            "blocked_p99_ms": _p99(of_the_loop) * 1_000,
            "grown_mib": (most - resident) / 2**20,
            "resident_mib": most / 2**20,
        }


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else 0.0


async def _obey(storms: _Storms) -> None:
    lines = asyncio.StreamReader()
    reading = asyncio.StreamReaderProtocol(lines)
    await asyncio.get_running_loop().connect_read_pipe(lambda: reading, sys.stdin)
    while (line := (await lines.readline()).decode().strip()) not in {"", "end"}:
        print(json.dumps(await storms.run(line)), flush=True)


async def _serve() -> None:
    settings = load(environ=os.environ, config_file=None, overrides=(), cwd=Path.cwd()).settings
    configure(settings.logging, secrets=secret_values(settings))
    ready: asyncio.Future[Services] = asyncio.get_running_loop().create_future()

    def on_ready(addresses: Addresses, services: Services) -> None:
        print(json.dumps({"mcp_ws": addresses.mcp_ws}), flush=True)
        ready.set_result(services)

    serving = asyncio.create_task(run_daemon(settings, demo=False, on_ready=on_ready))
    waiting: set[asyncio.Future[Any]] = {serving, ready}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if ready.done():
        obeying = asyncio.create_task(_obey(_Storms(await ready)))
        await asyncio.wait({serving, obeying}, return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            os.kill(os.getpid(), signal.SIGTERM)
        obeying.cancel()
    await serving


def main() -> None:
    """Serve until stdin ends."""
    uvloop.run(_serve())


if __name__ == "__main__":
    main()
