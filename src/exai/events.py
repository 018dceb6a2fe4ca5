"""Facts, in the past tense. Whoever cares subscribes to the bus; the path of a request only states them."""

import msgspec

from exai.callers import Caller
from exai.costs import Usage

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


class Event(msgspec.Struct, frozen=True):
    """Base of all facts."""


class ConnectionOpened(Event, frozen=True):
    door: str


class ConnectionClosed(Event, frozen=True):
    door: str
    reason: str
    """Why, from a short closed list: `client`, `stopping`, `stuck`, `protocol`."""


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


class CallRefused(Event, frozen=True):
    """A call that was turned away before any work: overload, shutdown."""

    tool: str
    caller: Caller
    error_code: str


class ProviderCallEnded(Event, frozen=True):
    """One request to a provider is over."""

    provider: str
    model: str
    outcome: str
    """`ok`, `cancelled`, or the error's code."""
    seconds: float


class IncidentRecorded(Event, frozen=True):
    """Something unforeseen was caught at a door and logged whole."""

    incident_id: str
    where: str
    kind: str
    """The exception's class name."""
