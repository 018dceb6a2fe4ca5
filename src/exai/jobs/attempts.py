"""One attempt of a job: runs its kind's function, and decides from how that ended what becomes of the job."""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeVar, cast

import msgspec
import structlog

from exai.errors import ExaiError, Incident
from exai.events.events import Event
from exai.events.incidents import record_incident
from exai.jobs.job import LONGEST_ERROR, check_size
from exai.jobs.kinds import Cancel, Done, End, GiveUp, Kind, Snooze, StepResult, TryAgain, Value

__all__ = ["Attempt", "Following", "Outcome", "Record", "run_attempt"]

_log = structlog.get_logger(__name__)

R = TypeVar("R", bound=StepResult)


class Attempt(msgspec.Struct, frozen=True):
    """What is kept of an attempt from its start: the job, and what earlier attempts left."""

    job_id: str
    kind: str
    principal: str
    arguments: dict[str, Value]
    begun_at: float
    """When the job was started, in seconds since 1970."""

    number: int = 1
    failures: int = 0
    last_error: str | None = None
    results: dict[str, Value | dict[str, Value]] = {}
    """Of steps that earlier attempts have done, by name."""

    @property
    def attempt_id(self) -> str:
        """The first attempt has the id of its job, which is how a job is known for as long as it is kept."""
        return self.job_id if self.number == 1 else f"{self.job_id}.{self.number}"


class Outcome(msgspec.Struct, frozen=True):
    """What is kept of an attempt from its end."""

    end: Literal["done", "again", "dead", "cancelled"]
    result: dict[str, Value] = {}
    error: str | None = None


class Following(msgspec.Struct, frozen=True):
    """The attempt that is due next."""

    attempt: Attempt
    wait_s: float


class Record(Protocol):
    """Runs a step's work and keeps its result, or returns what was kept when it ran before."""

    async def __call__(self, name: str, work: Callable[[], Awaitable[Any]]) -> Any: ...


class _RunningJob:
    """The attempt as its kind's function sees it."""

    def __init__(self, attempt: Attempt, record: Record) -> None:
        self.job_id = attempt.job_id
        self.principal = attempt.principal
        self.arguments = attempt.arguments
        self.results = dict(attempt.results)
        self._record = record
        self._asked: set[str] = set()

    async def step(self, name: str, work: Callable[[], Awaitable[R]]) -> R:
        """See `RunningJob.step`."""
        if name in self._asked:
            raise ValueError(f"the job has two steps with the name {name!r}")
        self._asked.add(name)
        if name not in self.results:
            self.results[name] = await self._record(name, lambda: _checked(work))
        return cast("R", self.results[name])


async def _checked(work: Callable[[], Awaitable[R]]) -> R:
    result = await work()
    check_size(result, "Results of steps")
    return result


async def run_attempt(
    kind: Kind,
    attempt: Attempt,
    record: Record,
    now: Callable[[], float],
    publish: Callable[[Event], None],
    dice: Callable[[], float] = random.random,
) -> tuple[Outcome, Following | None]:
    """Run an attempt to its end; what to keep of it, and which attempt follows."""
    job = _RunningJob(attempt, record)
    try:
        end = await kind.run(job)
        if isinstance(end, Done):
            check_size(end.result, "Results")
    except ExaiError as fault:
        end = TryAgain(f"{fault.code}: {fault}")
    except Exception as error:  # noqa: BLE001 - the root of a job: whatever it was, the job is tried again
        incident = record_incident(error, where=f"job {attempt.kind}", publish=publish)
        end = TryAgain(f"{Incident.code}: the log has it under {incident.id}")
    outcome, following = _decided(end, kind, attempt, job, now(), dice())
    if outcome.end == "dead":
        _log.warning(
            "job is dead",
            job=attempt.job_id,
            kind=attempt.kind,
            attempts=attempt.number,
            error=outcome.error,
        )
    return outcome, following


def _decided(
    end: End, kind: Kind, attempt: Attempt, job: _RunningJob, now: float, chance: float
) -> tuple[Outcome, Following | None]:
    match end:
        case Done(result):
            return Outcome("done", dict(result), attempt.last_error), None
        case Cancel(reason):
            return Outcome("cancelled", error=_bounded(reason)), None
        case GiveUp(error):
            return Outcome("dead", error=_bounded(error)), None
        case Snooze(seconds):
            again = msgspec.structs.replace(attempt, number=attempt.number + 1, results=job.results)
            return Outcome("again", error=attempt.last_error), Following(again, max(seconds, 0.0))
        case TryAgain(error, at_least_s):
            failures = attempt.failures + 1
            wait_s = max(kind.backoff.wait_s(failures, chance), at_least_s)
            if now + wait_s > attempt.begun_at + kind.backoff.give_up_after_s:
                return Outcome("dead", error=_bounded(error)), None
            again = msgspec.structs.replace(
                attempt,
                number=attempt.number + 1,
                failures=failures,
                last_error=_bounded(error),
                results=job.results,
            )
            return Outcome("again", error=_bounded(error)), Following(again, wait_s)


def _bounded(error: str) -> str:
    return error[:LONGEST_ERROR]
