"""Background duties: work that the process repeats by itself, such as pruning old rows.

A duty is a row: a name, what it does, how often, and whether each process does it or one in a fleet. The scheduler
runs each duty in a task of its own, one run after the other:

    wait until it is due, or woken → if this process has the role: run → note how it went → wait again

A run that fails ends nothing: it is logged and counted, and the duty is tried again after a pause that doubles with
each further failure. It is logged at the first, second, fourth, eighth ... failure in a row, and when it works again.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from exai.errors import ExaiError
from exai.runtime import tasks
from exai.runtime.clock import Clock
from exai.runtime.samples import Sample

__all__ = ["Duty", "DutyRecord", "Leader", "OnUnforeseen", "OnlyProcess", "Role", "Scheduler"]

_log = structlog.get_logger(__name__)

JITTER = 0.1
"""Share of a pause by which it is shorter or longer at random, so that processes do not act in step."""
FIRST_RETRY_S = 60.0
"""Longest pause after a first failure."""
STANDBY_S = 5.0
"""How soon a process notices that a role has become its own."""

OnUnforeseen = Callable[[Exception, str], object]
"""Gets a failure that is no `ExaiError` and the name of its duty, as often as the failure is logged."""

SLOW_DUTY_S = 10.0
"""From which pause on a duty is about what is kept, and not about how soon something is answered."""
SHORTEST_S = 0.05
"""Of the pauses under a faster clock."""

Role = Literal["housekeeper"]
"""What one process of a fleet does for all: `housekeeper` deletes what is past its age."""


class Leader(Protocol):
    """Knows which roles this process has."""

    def leads(self, role: Role) -> bool:
        """Return, without waiting, whether this process is the one that has `role` now."""
        ...


class OnlyProcess:
    """The `Leader` of a process that shares its work with no other: it has every role."""

    def leads(self, role: Role) -> bool:  # noqa: ARG002 - part of the protocol
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Work to repeat."""

    name: str
    """As logs, metrics and `status` have it: lower case, with underscores."""
    run: Callable[[], Awaitable[object]]
    every_s: float
    """From the end of a run to the next."""
    at_start: bool = False
    """Whether the first run is due at once."""
    role: Role | None = None
    """Who runs it: the process that has this role; `None`: each process."""
    jitter: float = JITTER
    slowest_retry_s: float = 0.0
    """How long the pauses after failures may get, if that is longer than `every_s`."""
    wake: asyncio.Event | None = None
    """Makes a run due at once, whenever it is set; the scheduler clears it."""
    removes: bool = False
    """Whether a run returns how many rows it removed."""

    def retry_after_s(self, failures: int) -> float:
        """Return the pause after this many failures in a row."""
        first = min(self.every_s, FIRST_RETRY_S)
        longest = max(self.every_s, self.slowest_retry_s)
        return min(first * 2.0 ** min(failures - 1, 30), longest)


@dataclass(slots=True)
class DutyRecord:
    """What has become of a duty since the start."""

    duty: Duty
    runs: int = 0
    failures: int = 0
    """Of the runs."""
    failures_in_a_row: int = 0
    """Since the last run that went well."""
    last_error: str | None = None
    """Code or class of the latest failure; `None` when the latest run went well."""
    seconds: float = 0.0
    """In all runs."""
    removed: int = 0
    """Rows, in all runs; for duties that remove some."""
    is_standby: bool = False
    """Whether another process has the role."""


class Scheduler:
    """Runs duties, and keeps a record of each."""

    def __init__(
        self,
        clock: Clock,
        leader: Leader | None = None,
        *,
        on_unforeseen: OnUnforeseen | None = None,
        dice: Callable[[], float] = random.random,
        speed: float = 1.0,
    ) -> None:
        """`speed` is that of a clock which runs faster: duties about what is kept are run as often by its time."""
        self._clock = clock
        self._leader = leader or OnlyProcess()
        self._on_unforeseen = on_unforeseen or _log_unforeseen
        self._dice = dice
        self._speed = speed
        self._records: dict[str, DutyRecord] = {}

    @asynccontextmanager
    async def running(self, *duties: Duty) -> AsyncIterator[None]:
        """Run these duties within this scope; leaving it cancels runs that are under way, and waits for their end."""
        async with AsyncExitStack() as started:
            for duty in duties:
                record = self._records[duty.name] = DutyRecord(duty)
                task = tasks.spawn(self._repeat(record), name=f"duty {duty.name}")
                started.push_async_callback(_cancel, task)
            yield

    def __iter__(self) -> Iterator[DutyRecord]:
        """Iterate over the records, in the order in which the duties were started."""
        return iter(self._records.values())

    def samples(self) -> Iterator[Sample]:
        """Return the metrics of every duty."""
        for record in self:
            labels = (("duty", record.duty.name),)
            yield Sample("duty_runs", "Runs of background duties.", record.runs, labels, is_total=True)
            yield Sample("duty_failures", "Of these, failed.", record.failures, labels, is_total=True)
            yield Sample("duty_seconds", "Time spent in runs.", record.seconds, labels, is_total=True)
            if record.duty.removes:
                yield Sample(
                    "duty_removed_rows", "Rows that runs removed.", record.removed, labels, is_total=True
                )

    async def _repeat(self, record: DutyRecord) -> None:
        duty = record.duty
        pause = 0.0 if duty.at_start else duty.every_s
        while True:
            await _wait(self._jittered(self._scaled(pause), duty.jitter), duty.wake)
            await self._run(record)
            if failures := record.failures_in_a_row:
                pause = duty.retry_after_s(failures)
            else:
                pause = min(duty.every_s, STANDBY_S) if record.is_standby else duty.every_s

    async def _run(self, record: DutyRecord) -> None:
        duty = record.duty
        began = self._clock.monotonic()
        try:
            record.is_standby = duty.role is not None and not self._leader.leads(duty.role)
            if record.is_standby:
                return
            result = await duty.run()
            if duty.removes and isinstance(result, int):
                record.removed += result
        except Exception as error:  # noqa: BLE001 - a task's root: the next run tries again
            self._note_failure(record, error)
        else:
            _note_success(record)
        record.runs += 1
        record.seconds += self._clock.monotonic() - began

    def _note_failure(self, record: DutyRecord, error: Exception) -> None:
        code = error.code if isinstance(error, ExaiError) else None
        record.failures += 1
        record.failures_in_a_row += 1
        record.last_error = code or type(error).__name__
        if not _is_power_of_two(record.failures_in_a_row):
            return
        _log.warning(
            "duty failed",
            duty=record.duty.name,
            error=record.last_error,
            failures_in_a_row=record.failures_in_a_row,
            retry_after_s=record.duty.retry_after_s(record.failures_in_a_row),
        )
        if code is None:
            self._on_unforeseen(error, record.duty.name)

    def _scaled(self, pause: float) -> float:
        return pause if self._speed == 1 or pause < SLOW_DUTY_S else max(pause / self._speed, SHORTEST_S)

    def _jittered(self, pause: float, jitter: float) -> float:
        return pause * (1 + jitter * (2 * self._dice() - 1))


async def _wait(pause: float, wake: asyncio.Event | None) -> None:
    if wake is None:
        await asyncio.sleep(pause)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(pause):
            await wake.wait()
    wake.clear()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _note_success(record: DutyRecord) -> None:
    if record.failures_in_a_row:
        _log.info("duty works again", duty=record.duty.name, after_failures=record.failures_in_a_row)
    record.failures_in_a_row = 0
    record.last_error = None


def _log_unforeseen(error: Exception, duty: str) -> None:
    _log.error("unforeseen failure of a duty", duty=duty, exc_info=error)


def _is_power_of_two(number: int) -> bool:
    return number & (number - 1) == 0
