"""Builds what samples how busy the process is."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from exai.app.monitoring import Monitoring
from exai.monitoring.minute_samples import MinuteSamples, Reading
from exai.routing.request import Asking
from exai.runtime.gate import Gate
from exai.runtime.periodic import Duty, Scheduler
from exai.storage.database import Database
from exai.storage.error_tracking.sample_table import SampleTable

__all__ = ["open_sampling"]

SAMPLE_S = 1.0
HELD_S = 1.0
"""From which lag of the event loop on a call may have failed by it."""
STATM = Path("/proc/self/statm")
"""Of Linux; its second number is the resident memory in pages."""


@asynccontextmanager
async def open_sampling(
    database: Database, monitoring: Monitoring, asking: Asking, scheduler: Scheduler
) -> AsyncIterator[None]:
    """Sample the process once a second until the scope is left; leaving keeps the last minute."""

    worst_lag_s = monitoring.loop_lag.follow()

    def read() -> Iterator[Reading]:
        monitoring.activity.fold()
        admission = asking.admission
        yield from _of_gate("all calls", admission.total)
        for name, gate in admission.by_provider.items():
            yield from _of_gate(name, gate)
        for (provider, model), gate in admission.by_model.items():
            yield from _of_gate(f"{provider}/{model}", gate)
        lag_s = worst_lag_s()
        yield Reading("loop_lag_ms", lag_s * 1_000, urgent=lag_s >= HELD_S)
        yield Reading("tasks", len(asyncio.all_tasks()))
        yield Reading("pending_writes", database.pending_durable_writes)
        if (resident := _resident_bytes()) is not None:
            yield Reading("resident_bytes", resident)

    samples = MinuteSamples(asking.clock, read, SampleTable(database).keep_soon, monitoring.seconds.add)
    duty = Duty(name="sample_load", run=samples.tick, every_s=SAMPLE_S, jitter=0.0)
    try:
        async with scheduler.running(duty):
            yield
    finally:
        samples.flush()


def _of_gate(name: str, gate: Gate) -> Iterator[Reading]:
    if gate.in_use or gate.waiting or gate.most_in_use:
        yield Reading(f"in use: {name}", gate.in_use, gate.limit)
        yield Reading(f"waiting: {name}", gate.waiting)


def _resident_bytes() -> float | None:
    """Read how much memory the process has; `None` where the system does not tell so."""
    try:
        pages = int(STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return float(pages * os.sysconf("SC_PAGE_SIZE"))
