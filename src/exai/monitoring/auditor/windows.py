"""Windows: the numbers of a stretch of time, folded from events. They hold counts and names, and no text of anybody.

Windows add up: two of them make the window of both stretches, so minutes, hours and several processes are sums.
Durations are counted in buckets, each 10 % wider than the one before, so a percentile is within 5 % of the truth.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Self

import msgspec

from exai.errors import ExaiError
from exai.events.events import (
    BreakerOpened,
    CallEnded,
    CallerRefused,
    CallRefused,
    ConnectionClosed,
    Event,
    FellBack,
    IncidentRecorded,
    OtherModelAnswered,
    RetryPlanned,
    SessionResumed,
)

__all__ = ["FOLDS", "MOST_NAMES", "OWN", "WINDOW_S", "ModelCounts", "Window", "percentile"]

WINDOW_S = 10
OWN = "exai:"
"""Begins the subjects of callers that EXAI itself is. What they do is counted apart."""
MOST_NAMES = 200
"""Models and callers that a window tells apart; further ones are one together."""

OTHERS = "(others)"
_STEP = math.log(1.1)
_UNCHANGED = frozenset({"ok", "cancelled"})


class ModelCounts(msgspec.Struct):
    """Calls that were answered by one model, or by none."""

    calls: int = 0
    failures: int = 0
    """Of these, not the caller's to mend."""
    requests: int = 0
    attempts: int = 0
    """Of the requests."""
    fallbacks: int = 0
    """Times when another model took over from this one."""
    retries: int = 0
    others: int = 0
    """Answers that were another model's, as their provider says."""
    openings: int = 0
    """Of its breaker."""
    usd: float = 0.0
    seconds: dict[int, int] = msgspec.field(default_factory=dict)
    """How many calls ended in which bucket of durations."""

    def add(self, other: Self) -> None:
        """Add the numbers of another window."""
        self.calls += other.calls
        self.failures += other.failures
        self.requests += other.requests
        self.attempts += other.attempts
        self.fallbacks += other.fallbacks
        self.retries += other.retries
        self.others += other.others
        self.openings += other.openings
        self.usd += other.usd
        for bucket, count in other.seconds.items():
            self.seconds[bucket] = self.seconds.get(bucket, 0) + count


class Window(msgspec.Struct):
    """What happened in a stretch of time."""

    begun: float
    """Seconds since 1970 UTC."""
    seconds: float = WINDOW_S
    events: int = 0
    models: dict[str, ModelCounts] = msgspec.field(default_factory=dict)
    """By `provider/model`; calls that asked none are under an empty name."""
    callers: dict[str, float] = msgspec.field(default_factory=dict)
    """Seconds that calls of each caller took."""
    refused_callers: int = 0
    """Requests without a token that is accepted."""
    refused_calls: int = 0
    gaps: int = 0
    """Sessions that were resumed with messages lost."""
    kept_out: int = 0
    """Connections that were closed because their client did not read."""
    incidents: int = 0
    own_calls: int = 0
    """Of EXAI itself, in no other figure."""
    most: dict[str, float] = msgspec.field(default_factory=dict)
    """The highest of each sample, such as `loop_lag_s`."""
    least: dict[str, float] = msgspec.field(default_factory=dict)
    """The lowest of each."""

    @classmethod
    def sum_of(cls, windows: Iterable[Self]) -> Self:
        """Return the window of all these stretches; of none, an empty one without a length."""
        whole = cls(0.0, 0.0)
        for window in windows:
            whole.begun = window.begun if whole.seconds == 0 else min(whole.begun, window.begun)
            whole.add(window)
        return whole

    def add(self, other: Self) -> None:
        """Add the numbers of another stretch."""
        self.seconds += other.seconds
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for model, numbers in other.models.items():
            self.of(model).add(numbers)
        for caller, seconds in other.callers.items():
            self._note_caller(caller, seconds)
        for name, value in other.most.items():
            self.most[name] = max(value, self.most.get(name, value))
        for name, value in other.least.items():
            self.least[name] = min(value, self.least.get(name, value))

    def of(self, model: str) -> ModelCounts:
        """Return the numbers of a model, to read or to change."""
        numbers = self.models.get(model)
        if numbers is None:
            name = model if len(self.models) < MOST_NAMES else OTHERS
            numbers = self.models.setdefault(name, ModelCounts())
        return numbers

    @property
    def calls(self) -> int:
        """Calls of all models and of none."""
        return sum(numbers.calls for numbers in self.models.values())

    @property
    def usd(self) -> float:
        """What they cost, as far as that is known; nothing that an emulator answered."""
        return sum(numbers.usd for numbers in self.models.values())

    def sample(self, name: str, value: float) -> None:
        """Note a value at this moment."""
        self.most[name] = max(value, self.most.get(name, value))
        self.least[name] = min(value, self.least.get(name, value))

    def fold(self, event: Event) -> None:
        """Count an event of one of the kinds in `FOLDS`."""
        self.events += 1
        FOLDS[type(event)](self, event)

    def calls_ended(self, events: Iterable[CallEnded]) -> None:
        """Count calls: many at once and without functions between, as each function adds to what a call takes."""
        callers, models, of_callers = self.callers, self.models, _codes_of_callers()
        for event in events:
            subject = event.caller.subject
            if subject.startswith(OWN):
                self.own_calls += 1
                continue
            seconds = event.timings.get("latency_ms", 0.0) / 1000
            caller = subject if subject in callers or len(callers) < MOST_NAMES else OTHERS
            callers[caller] = callers.get(caller, 0.0) + seconds
            model = "" if event.model is None else f"{event.provider}/{event.model}"
            counts = models.get(model) or self.of(model)
            counts.calls += 1
            if event.outcome not in _UNCHANGED and event.error_code not in of_callers:
                counts.failures += 1
            bucket = math.floor(math.log(max(seconds, 1e-6)) / _STEP)
            counts.seconds[bucket] = counts.seconds.get(bucket, 0) + 1
            for request in event.requests:
                model = f"{request.provider}/{request.model}"
                counts = models.get(model) or self.of(model)
                counts.requests += 1
                counts.attempts += request.attempts
                if not request.emulated:
                    counts.usd += request.cost_usd or 0.0

    def _note_caller(self, caller: str, seconds: float) -> None:
        name = caller if caller in self.callers or len(self.callers) < MOST_NAMES else OTHERS
        self.callers[name] = self.callers.get(name, 0.0) + seconds


_SUMS = ("events", "refused_callers", "refused_calls", "gaps", "kept_out", "incidents", "own_calls")


def percentile(seconds: Mapping[int, int], share: float, *, surely: bool = False) -> float | None:
    """Return below which duration this share of calls ended, in seconds; `None` for no call.

    Args:
        surely: the upper end of its interval, which holds the truth in 97 of 100 cases; infinite for too few calls.
    """
    calls = sum(seconds.values())
    if calls == 0:
        return None
    rank = calls * share
    if surely:
        rank += 1.96 * math.sqrt(calls * share * (1 - share)) + 1
        if rank > calls:
            return math.inf
    passed = 0
    for bucket in sorted(seconds):
        passed += seconds[bucket]
        if passed >= rank:
            return math.exp((bucket + 0.5) * _STEP)
    return math.inf


@cache
def _codes_of_callers() -> frozenset[str]:
    """Return the codes of what only a caller can mend, of all errors that are defined."""

    def below(kind: type[ExaiError]) -> Iterable[type[ExaiError]]:
        for each in kind.__subclasses__():
            yield each
            yield from below(each)

    return frozenset(kind.code for kind in below(ExaiError) if kind.fixable_by == "caller")


def _call_ended(window: Window, event: CallEnded) -> None:
    window.calls_ended((event,))


def _retried(window: Window, event: RetryPlanned) -> None:
    window.of(f"{event.provider}/{event.model}").retries += 1


def _fell_back(window: Window, event: FellBack) -> None:
    window.of(f"{event.from_provider}/{event.from_model}").fallbacks += 1


def _opened(window: Window, event: BreakerOpened) -> None:
    window.of(f"{event.provider}/{event.model}").openings += 1


def _other_answered(window: Window, event: OtherModelAnswered) -> None:
    window.of(f"{event.provider}/{event.model}").others += 1


def _caller_refused(window: Window, _event: CallerRefused) -> None:
    window.refused_callers += 1


def _call_refused(window: Window, _event: CallRefused) -> None:
    window.refused_calls += 1


def _resumed(window: Window, event: SessionResumed) -> None:
    window.gaps += event.gap


def _closed(window: Window, event: ConnectionClosed) -> None:
    window.kept_out += event.reason == "stuck"


def _incident(window: Window, _event: IncidentRecorded) -> None:
    window.incidents += 1


FOLDS: Mapping[type[Event], Callable[[Window, Any], None]] = MappingProxyType(
    {
        CallEnded: _call_ended,
        RetryPlanned: _retried,
        FellBack: _fell_back,
        OtherModelAnswered: _other_answered,
        BreakerOpened: _opened,
        CallerRefused: _caller_refused,
        CallRefused: _call_refused,
        SessionResumed: _resumed,
        ConnectionClosed: _closed,
        IncidentRecorded: _incident,
    }
)
"""The kinds of events that are counted, and how."""
