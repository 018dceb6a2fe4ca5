"""A job as others see it, and the seam through which they start, watch and end jobs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from exai.jobs.kinds import StepResult, Value, Values

__all__ = ["MAX_BYTES", "Counts", "Job", "Jobs", "State", "check_size", "job_id"]

MAX_BYTES = 4096
"""Of arguments, of a step's result, of a job's result; as JSON."""

LONGEST_ERROR = 500


class State(StrEnum):
    """How a job stands."""

    QUEUED = "queued"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    DEAD = "dead"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to the job."""
        return self in {State.DONE, State.CANCELLED, State.DEAD}


Counts = Mapping[tuple[str, State], int]
"""Jobs by kind and state."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Moments are seconds since 1970."""

    job_id: str
    kind: str
    principal: str
    state: State
    arguments: Values
    attempt: int
    """The number of the attempt that runs, is due, or was the last."""

    failures: int
    begun_at: float
    due_at: float | None = None
    """When a waiting one is tried next."""

    ended_at: float | None = None
    result: Values | None = None
    last_error: str | None = None
    """Of the last attempt that failed; of a cancelled job, why."""


class Jobs(Protocol):
    """Six calls: five here, and `step` of a job that runs."""

    async def start(self, kind: str, arguments: Mapping[str, Value], *, key: str, principal: str) -> str:
        """Begin a job unless one of this kind, principal and key is known; its id, either way.

        Once this returns, the job outlives the process.

        Raises:
            ValueError: the arguments are larger than ids would be.
            KeyError: there is no such kind.
            StoreFailed: the job was not kept.
        """
        ...

    async def cancel(self, job_id: str, *, principal: str | None = None) -> bool:
        """End a job that is not over; whether there was one. A step that runs elsewhere is not interrupted."""
        ...

    async def find(self, job_id: str, *, principal: str | None = None) -> Job | None:
        """One job; with a `principal`, only if it is theirs."""
        ...

    async def list(
        self,
        *,
        kind: str | None = None,
        state: State | None = None,
        principal: str | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """The latest jobs, newest first."""
        ...

    async def pause(self, kind: str, *, paused: bool = True) -> None:
        """Let no further attempt of this kind begin, in any process, until it is said again with `paused=False`."""
        ...


def job_id(kind: str, principal: str, key: str) -> str:
    """The id that follows from a key, so that whoever starts the same job names the same one."""
    named = "\0".join((kind, principal, key))
    return f"job_{hashlib.sha256(named.encode()).hexdigest()[:32]}"


def check_size(value: StepResult, what: str) -> None:
    """See that a value is as small as ids and numbers are.

    Raises:
        ValueError: it is not.
    """
    size = len(msgspec.json.encode(value))
    if size > MAX_BYTES:
        raise ValueError(
            f"{what} of a job are ids and numbers, at most {MAX_BYTES} bytes as JSON, and these are {size}. "
            "Keep content where it belongs and hand over its id."
        )
