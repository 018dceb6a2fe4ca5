"""What a kind of job is: what runs it, how often it is tried, and the ways in which an attempt ends."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

__all__ = [
    "Backoff",
    "Cancel",
    "Done",
    "End",
    "GiveUp",
    "Kind",
    "RunningJob",
    "Snooze",
    "StepResult",
    "TryAgain",
    "Value",
    "Values",
]

DAY_S = 86_400.0

Value = str | int | float | bool | None
Values = Mapping[str, Value]
StepResult = Value | Values
R = TypeVar("R", bound=StepResult)


@dataclass(frozen=True, slots=True)
class Done:
    """The job is done."""

    result: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snooze:
    """There is nothing to do yet: run again after a while. No failure is counted."""

    seconds: float


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The attempt failed in passing: the kind's back-off says when the next one is due."""

    error: str
    at_least_s: float = 0.0
    """Not sooner than this, whatever the back-off says."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt can help: the job is dead, with this as its last error."""

    error: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """The job is no longer wanted."""

    reason: str


End = Done | Snooze | TryAgain | GiveUp | Cancel


class RunningJob(Protocol):
    """An attempt, as the function that runs its kind sees it."""

    @property
    def job_id(self) -> str: ...

    @property
    def principal(self) -> str:
        """On whose behalf it runs."""
        ...

    @property
    def arguments(self) -> Values: ...

    async def step(self, name: str, work: Callable[[], Awaitable[R]]) -> R:
        """Run `work` and keep its result; a step that has been done returns what was kept, and does nothing.

        The name is the step's own within its job. A step whose process dies before the result is kept runs again.
        """
        ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long a failed job waits for its next attempt, and for how long it is tried."""

    first_s: float = 1.0
    factor: float = 4.0
    longest_s: float = 6 * 3600.0
    give_up_after_s: float = 14 * DAY_S
    """Counted from the start of the job: an attempt that would come later is none."""

    def wait_s(self, failures: int, chance: float) -> float:
        """The wait after so many failures. `chance` (0 to 1) adds up to a tenth, so that equal jobs spread."""
        steps = min(failures - 1, 64)
        return min(self.longest_s, self.first_s * self.factor**steps) * (1 + 0.1 * chance)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job. What its steps are called and do is a promise to the jobs that an older version began."""

    name: str
    run: Callable[[RunningJob], Awaitable[End]]
    at_once: int = 4
    """Jobs of this kind that one process runs at the same time."""

    backoff: Backoff = Backoff()
    keep_done_s: float = 7 * DAY_S
    """How long a job that is done or cancelled can be looked up, and holds its key."""

    keep_dead_s: float = 90 * DAY_S
    """The same of a dead one."""
