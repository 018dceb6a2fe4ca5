"""Facts, in the past tense. Whoever cares subscribes to the bus; the path of a request only states them."""

from dataclasses import dataclass, field

from exai.callers import Caller
from exai.messages import Usage

__all__ = [
    "CallEnded",
    "CallRefused",
    "CallStarted",
    "ConnectionClosed",
    "ConnectionOpened",
    "Event",
    "IncidentRecorded",
    "ProviderCallEnded",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all facts."""


@dataclass(frozen=True, slots=True)
class ConnectionOpened(Event):
    door: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed(Event):
    door: str
    reason: str
    """Why, from a short closed list: `client`, `stopping`, `stuck`, `protocol`."""


@dataclass(frozen=True, slots=True)
class CallStarted(Event):
    call_id: str
    tool: str
    caller: Caller


@dataclass(frozen=True, slots=True)
class CallEnded(Event):
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
    timings: dict[str, float] = field(default_factory=dict)
    """Stage timings in milliseconds, `latency_ms` the total."""


@dataclass(frozen=True, slots=True)
class CallRefused(Event):
    """A call that was turned away before any work: overload, shutdown."""

    tool: str
    caller: Caller
    error_code: str


@dataclass(frozen=True, slots=True)
class ProviderCallEnded(Event):
    """One request to a provider is over."""

    provider: str
    model: str
    outcome: str
    """`ok`, `cancelled`, or the error's code."""
    seconds: float


@dataclass(frozen=True, slots=True)
class IncidentRecorded(Event):
    """Something unforeseen was caught at a door and logged whole."""

    incident_id: str
    where: str
    kind: str
    """The exception's class name."""
