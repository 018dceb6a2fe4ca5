"""Events: what happened, in the past tense. Requests publish them on the bus, and watchers subscribe by kind."""

import msgspec

from exai.callers import Caller, Door
from exai.events.requests import RequestRecord

__all__ = [
    "AuditExercised",
    "BreakerClosed",
    "BreakerOpened",
    "BreakerProbed",
    "BreakerRefused",
    "CallEnded",
    "CallRecalled",
    "CallRefused",
    "CallStarted",
    "CallerRefused",
    "ConnectionClosed",
    "ConnectionOpened",
    "ContentDamaged",
    "ContentsDeleted",
    "Event",
    "FellBack",
    "FileRemoved",
    "FileStored",
    "IncidentRecorded",
    "ObservationOpened",
    "OtherModelAnswered",
    "ProviderCallEnded",
    "RequestRecovered",
    "RetryPlanned",
    "RetryRefused",
    "SessionEnded",
    "SessionOpened",
    "SessionResumed",
]


class Event(msgspec.Struct, frozen=True):
    """Base of all events."""


class ConnectionOpened(Event, frozen=True):
    door: Door
    caller: Caller


class ConnectionClosed(Event, frozen=True):
    door: Door
    caller: Caller
    """As it was opened."""
    reason: str
    """Why, from a short closed list: `client`, `stopping`, `stuck`, `fenced`, `protocol`, `expired`, `revoked`,
    `operator`."""


class CallerRefused(Event, frozen=True):
    """A request was rejected: no token, an invalid one, or too many invalid ones."""

    door: Door
    error_code: str


class SessionOpened(Event, frozen=True):
    """A resumable session began."""

    caller: Caller


class SessionResumed(Event, frozen=True):
    """A session goes on over another socket."""

    caller: Caller
    gap: bool
    """Whether messages were lost meanwhile."""


class SessionEnded(Event, frozen=True):
    caller: Caller
    reason: str
    """Why, from a short closed list: `client`, `expired` (its grace time is over), `replaced` (its caller opened more
    than it may have), `revoked`, `operator`, `stopping`."""


class CallStarted(Event, frozen=True):
    call_id: str
    tool: str
    caller: Caller


class CallEnded(Event, frozen=True):
    """A tool call ended, in whatever way."""

    call_id: str
    tool: str
    caller: Caller
    outcome: str
    """`ok`, `failed`, `cancelled` or `timed_out`."""
    error_code: str | None
    provider: str | None
    model: str | None
    timings: dict[str, float] = msgspec.field(default_factory=dict)
    """Stage timings in milliseconds, `latency_ms` the total."""
    requests: tuple[RequestRecord, ...] = ()
    """What it asked of providers, with what that used and cost."""


class CallRefused(Event, frozen=True):
    """A call was rejected before any work: overload, shutdown, a missing scope."""

    tool: str
    caller: Caller
    error_code: str


class CallRecalled(Event, frozen=True):
    """A call came under an idempotency key that is in use."""

    how: str
    """`joined`, `stored`, `resumed`, or why there was no answer: `in_doubt`, `elsewhere`, `reused`, `lost`."""


class TaskBegun(Event, frozen=True):
    """A call has become a task of MCP, or one whose process died goes on here."""

    tool: str
    resumed: bool


class TaskEnded(Event, frozen=True):
    """A task of MCP is over in this process."""

    tool: str
    status: str
    """`completed`, `failed`, `cancelled`, or `left`, where the process ends before it."""


class ProviderCallEnded(Event, frozen=True):
    """One attempt of a request to a provider is over."""

    provider: str
    model: str
    outcome: str
    """`ok`, `cancelled`, or the error's code."""
    seconds: float
    counts_for_health: bool = True
    """Whether it says anything about how the model's provider is doing."""


class RetryPlanned(Event, frozen=True):
    """A request failed with a transient error and is retried."""

    provider: str
    model: str
    cause: str
    """The failure's code."""
    wait_s: float


class RequestRecovered(Event, frozen=True):
    """A request was answered after an attempt had failed, by its model or by one that took over."""

    provider: str
    model: str
    """That failed."""
    error: BaseException
    """Its last failure; not to be printed."""

    def __repr__(self) -> str:
        return f"RequestRecovered({self.provider!r}, {self.model!r}, {type(self.error).__name__})"


class RetryRefused(Event, frozen=True):
    """A request failed with a transient error and is not retried."""

    provider: str
    model: str
    cause: str
    reason: str
    """`spent`, `long_wait`, `deadline`, `budget` or `breaker`."""


class FellBack(Event, frozen=True):
    """A model could not answer, and another one that was allowed to answers in its place."""

    from_provider: str
    from_model: str
    to_provider: str
    to_model: str
    cause: str
    """Code of the failure."""


class OtherModelAnswered(Event, frozen=True):
    """A provider answered, and reported another model than it was asked for."""

    provider: str
    model: str
    """That was asked."""


class BreakerOpened(Event, frozen=True):
    """A breaker opened: its model is not asked for a while."""

    provider: str
    model: str
    cause: str
    """Code of the failure that opened it."""
    seconds: float
    """Until one request may probe."""
    again: bool
    """Whether it was a probe that did not succeed."""


class BreakerProbed(Event, frozen=True):
    """An open breaker let one request through as a probe."""

    provider: str
    model: str


class BreakerClosed(Event, frozen=True):
    """A probe succeeded: the model is asked as before."""

    provider: str
    model: str
    open_s: float
    """Since it opened."""


class BreakerRefused(Event, frozen=True):
    """A request was not sent because the breaker was open."""

    provider: str
    model: str


class IncidentRecorded(Event, frozen=True):
    """A failure that nobody foresaw was caught; the log has it under `incident_id`."""

    incident_id: str
    where: str
    error: BaseException
    """Its message and its traceback may hold content and secrets: not to be printed, only to be examined."""

    @property
    def kind(self) -> str:
        """The exception's class name."""
        return type(self.error).__name__

    def __repr__(self) -> str:
        return f"IncidentRecorded({self.incident_id!r}, {self.where!r}, {self.kind})"


class FileStored(Event, frozen=True):
    """An owner has a further file in the store."""

    owner: str
    file_id: str
    bytes: int


class FileRemoved(Event, frozen=True):
    """An owner removed a file."""

    owner: str
    file_id: str


class ContentDamaged(Event, frozen=True):
    """The stored bytes of a content were found missing or changed."""

    sha256: str


class ContentsDeleted(Event, frozen=True):
    """The bytes of contents that nobody needed any more were deleted."""

    contents: int
    bytes: int


class AuditExercised(Event, frozen=True):
    """An exercise of the auditor sent an event that did not happen. Whoever follows what happens leaves it out."""

    exercise: str
    at: float
    """When it is to have happened, in seconds since 1970 UTC."""
    events: tuple[Event, ...]


class ObservationOpened(Event, frozen=True):
    """The auditor saw something for the first time, or as worse than before."""

    observation_id: str
    detector: str
    subject: str
    severity: str
    """`info`, `warning` or `critical`."""
    numbers: str
    """JSON: numbers and names of models and callers."""
    recommendation: str
