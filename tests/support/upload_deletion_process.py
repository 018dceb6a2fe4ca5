"""A program whose runs are daemons' part that deletes unused uploads, each killed where its order says."""

import asyncio
import functools
import os
import signal
from collections.abc import Callable
from typing import Any

from dbos._sys_db import SystemDatabase

from exai.app.faults.tracking import open_fault_tracking
from exai.app.jobs import open_jobs
from exai.app.monitoring import build_monitoring
from exai.app.storage import open_storage
from exai.config import Settings
from exai.jobs.engine import Engine
from exai.providers.remote_files.remote_files import RemoteFiles
from exai.routing.router import ModelRouter
from exai.runtime.clock import SystemClock
from exai.runtime.periodic import Scheduler
from exai.storage.files.copies import CopyTables
from support.forked_runs import Order, serve_runs

__all__ = ["BOUNDARIES"]

_PLACES: tuple[tuple[type, str], ...] = (
    (CopyTables, "condemn_unused"),
    (CopyTables, "condemned"),
    (Engine, "enqueue"),
    (SystemDatabase, "start_queued_workflows"),
    (RemoteFiles, "delete"),
    (SystemDatabase, "record_operation_result"),
    (CopyTables, "end_deleting"),
    (SystemDatabase, "update_workflow_outcome"),
)
"""Everything that leaves something behind, in the order in which it happens."""

CLAIM = "start_queued_workflows"
"""Looks whether there is something to claim, again and again; what it finds is what counts."""

BOUNDARIES = tuple(
    f"{moment} {name}"
    for _, name in _PLACES
    for moment in ("before", "after")
    if (moment, name) != ("before", CLAIM)
)


def run(order: Order) -> None:
    """Delete what is unused until nothing is left to do, or die at the n-th time that a boundary is reached."""
    boundary, times = order.get("boundary"), [order.get("times", 1)]

    def reached(name: str) -> None:
        if name == boundary:
            times[0] -= 1
            if times[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    for owner, name in _PLACES:
        setattr(owner, name, _watched(getattr(owner, name), name, reached))
    asyncio.run(_run(Settings.model_validate(order["settings"])))


def _watched(original: Callable[..., Any], name: str, reached: Callable[[str], None]) -> Callable[..., Any]:
    if asyncio.iscoroutinefunction(original):

        @functools.wraps(original)
        async def watched_on_loop(*arguments: Any, **options: Any) -> Any:
            reached(f"before {name}")
            result = await original(*arguments, **options)
            reached(f"after {name}")
            return result

        return watched_on_loop

    @functools.wraps(original)
    def watched(*arguments: Any, **options: Any) -> Any:
        reached(f"before {name}")
        result = original(*arguments, **options)
        if name != CLAIM or result[0]:
            reached(f"after {name}")
        return result

    return watched


async def _run(settings: Settings) -> None:
    clock = SystemClock()
    monitoring = build_monitoring(clock, version="test")
    async with open_storage(settings, monitoring.metrics, clock) as storage:
        copies = storage.copies
        router = ModelRouter.from_settings(
            settings.providers, settings.models, settings.timeouts, clock, copies=copies
        )
        remote = RemoteFiles(router.file_hosts, copies, clock, settings.files, request_s=10)
        scheduler = Scheduler(clock)
        async with (
            open_fault_tracking(settings, storage, monitoring, clock, scheduler) as faults,
            open_jobs(settings, storage, monitoring, remote, clock, scheduler, faults, run=True) as jobs,
        ):
            assert jobs is not None
            while True:
                await asyncio.sleep(0.05)
                begun = await jobs.list(limit=1_000)
                if begun and all(job.state.is_over for job in begun) and not await copies.condemned(1):
                    break
        await router.close()


if __name__ == "__main__":
    serve_runs(run)
