"""A program whose runs are processes with jobs: each step writes a line, and some never come back from one."""

import asyncio
import os
import signal
from pathlib import Path

import exai.jobs.engine  # noqa: F401 - imported before the forks
from exai.jobs.durable import DurableJobs
from exai.jobs.job import State
from exai.jobs.kinds import Backoff, Done, End, Kind, RunningJob
from exai.runtime.clock import SystemClock
from exai.storage.fleet.runs import new_run_id
from support.forked_runs import Order, serve_runs

JOBS = 6


def run(order: Order) -> None:
    """Start jobs or take them up, until they are over, or until all of them are in the step to die in."""
    asyncio.run(_Run(order).run())


class _Run:
    def __init__(self, order: Order) -> None:
        self._folder = Path(order["folder"])
        self._dies_in: str | None = order.get("dies_in")
        self._starts: bool = order.get("starts", False)
        self._dying = 0

    async def run(self) -> None:
        kind = Kind("lines", self._lines, at_once=JOBS, backoff=Backoff(first_s=0.01))
        file, clock = self._folder / "jobs.sqlite", SystemClock()
        jobs = DurableJobs([kind], file, new_run_id(), clock, publish=lambda _: None, poll_s=0.05)
        if self._starts:
            for number in range(JOBS):
                await jobs.start("lines", {"number": number}, key=str(number), principal="alice")
        while True:
            await jobs.maintain()
            known = await jobs.list()
            if len(known) == JOBS and all(job.state is State.DONE for job in known):
                break
            await asyncio.sleep(0.05)
        await jobs.close()

    async def _lines(self, job: RunningJob) -> End:
        for name in ("first", "second", "third"):
            await job.step(name, lambda name=name: self._line(job, name))  # type: ignore[misc]
        return Done({"lines": 3})

    async def _line(self, job: RunningJob, step: str) -> None:
        with (self._folder / "lines").open("a") as file:
            file.write(f"{job.arguments['number']} {step} {os.getpid()}\n")
        if step == self._dies_in:
            self._dying += 1
            if self._dying == JOBS:
                os.kill(os.getpid(), signal.SIGKILL)
            await asyncio.sleep(3600)


if __name__ == "__main__":
    serve_runs(run)
