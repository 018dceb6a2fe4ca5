"""Facts, in the past tense. Whoever cares subscribes to the bus; the path of a request only states them."""

import msgspec

from exai.callers import Caller, Door
from exai.costs import Usage
from exai.events.requests import RequestRecord

__all__ = [
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
    "Event",
    "FellBack",
    "IncidentRecorded",
    "ProviderCallEnded",
    "RetryPlanned",
    "RetryRefused",
    "SessionEnded",
    "SessionOpened",
    "SessionResumed",
]


class Event(msgspec.Struct, frozen=True):
    """Base of all facts."""


class ConnectionOpened(Event, frozen=True):
    door: Door
    caller: Caller


class ConnectionClosed(Event, frozen=True):
    door: Door
    caller: Caller
    """As it was opened."""
    reason: str
    """Why, from a short closed list: `client`, `stopping`, `stuck`, `fenced`, `protocol`, `expired`, `revoked`."""


class CallerRefused(Event, frozen=True):
    """Somebody did not come in: without a token, with one that is not believed, or too often with such."""

    door: Door
    error_code: str


class SessionOpened(Event, frozen=True):
    """A resumable session began."""

    caller: Caller


class SessionResumed(Event, frozen=True):
    """Another socket carries a session on."""

    caller: Caller
    gap: bool
    """Whether messages were lost meanwhile."""


class SessionEnded(Event, frozen=True):
    caller: Caller
    reason: str
    """Why, from a short closed list: `client`, `expired` (its grace time is over), `replaced` (its caller opened more
    than it may have), `revoked`, `stopping`."""


class CallStarted(Event, frozen=True):
    call_id: str
    tool: str
    caller: Caller


class CallEnded(Event, frozen=True):
    """A tool call is over, whatever its end."""

    call_id: str
    tool: str
    caller: Caller
    outcome: str
    """`ok`, `failed`, `cancelled` or `timed_out`."""
    error_code: str | None
    provider: str | None
    model: str | None
    usage: Usage | None
    cost_usd: float | None
    timings: dict[str, float] = msgspec.field(default_factory=dict)
    """Stage timings in milliseconds, `latency_ms` the total."""
    requests: tuple[RequestRecord, ...] = ()
    """What it asked of providers; the sums of these are above."""


class CallRefused(Event, frozen=True):
    """A call that was turned away before any work: overload, shutdown, a scope that is missing."""

    tool: str
    caller: Caller
    error_code: str


class CallRecalled(Event, frozen=True):
    """A call came under an idempotency key that is in use."""

    how: str
    """`joined`, `stored`, or why there was no answer: `in_doubt`, `elsewhere`, `reused`, `lost`."""


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
    """A request failed in passing and will be made again."""

    provider: str
    model: str
    cause: str
    """The failure's code."""
    wait_s: float


class RetryRefused(Event, frozen=True):
    """A request failed in passing and is not made again, although its kind is."""

    provider: str
    model: str
    cause: str
    reason: str
    """`spent`, `long_wait`, `deadline`, `budget` or `breaker`."""


class FellBack(Event, frozen=True):
    """A model could not answer, and one that was allowed to takes over."""

    from_provider: str
    from_model: str
    to_provider: str
    to_model: str
    cause: str
    """Code of the failure."""


class BreakerOpened(Event, frozen=True):
    """A model is not asked for a while."""

    provider: str
    model: str
    cause: str
    """Code of the failure that opened it."""
    seconds: float
    """Until one request may probe."""
    again: bool
    """Whether it was a probe that did not succeed."""


class BreakerProbed(Event, frozen=True):
    """One request was let through to see how the model is."""

    provider: str
    model: str


class BreakerClosed(Event, frozen=True):
    """A probe was answered: the model is asked as before."""

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
