"""What calls and requests did in the last hour, minute by minute, and the latest calls that ended.

The bus only appends to a queue, which costs a call no function of Python; whoever looks folds what is queued first, and
whatever samples the process does so once a second.
"""

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from exai.events.bus import EventBus
from exai.events.events import (
    BreakerClosed,
    BreakerOpened,
    BreakerProbed,
    BreakerRefused,
    CallEnded,
    Event,
    FellBack,
    ProviderCallEnded,
    RetryPlanned,
)
from exai.monitoring.statistics.histogram import Histogram
from exai.runtime.clock import Clock

__all__ = ["Minute", "ModelMinute", "RecentActivity", "Transition"]

MOST_QUEUED = 20_000
"""Beyond it the oldest are not counted here; the journal and the metrics have them."""
MINUTES = 60
ENDINGS = 50
TRANSITIONS = 100
THROTTLED = frozenset({"provider_throttled", "provider_overloaded"})

_KINDS: tuple[type[Event], ...] = (CallEnded, ProviderCallEnded, RetryPlanned, FellBack, BreakerRefused)


class ModelMinute(msgspec.Struct):
    """What a model did in a minute."""

    requests: int = 0
    failed: int = 0
    retries: int = 0
    throttled: int = 0
    fallbacks: int = 0
    refused: int = 0

    def add(self, other: "ModelMinute") -> None:
        """Add another minute."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Minute(msgspec.Struct):
    """What happened in a minute."""

    number: int
    """Since 1970."""
    calls: int = 0
    failed: int = 0
    cancelled: int = 0
    latencies: Histogram = msgspec.field(default_factory=Histogram)
    first_tokens: Histogram = msgspec.field(default_factory=Histogram)
    models: dict[tuple[str, str], ModelMinute] = msgspec.field(default_factory=dict)


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a breaker."""

    at: float
    """Seconds since 1970."""
    provider: str
    model: str
    to: str
    cause: str | None = None
    for_s: float | None = None
    """Of one that opened: until a request may probe."""
    open_s: float | None = None
    """Of one that closed: since it opened."""


class RecentActivity:
    """Folds what happened; it belongs to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: deque[Event] = deque(maxlen=MOST_QUEUED)
        self._minutes: deque[Minute] = deque(maxlen=MINUTES)
        self._endings: deque[tuple[float, CallEnded]] = deque(maxlen=ENDINGS)
        self._transitions: deque[Transition] = deque(maxlen=TRANSITIONS)
        self._seconds: deque[tuple[int, int]] = deque(maxlen=60)
        """Calls that ended by second, the latest last."""
        self._on_end: list[Callable[[CallEnded], None]] = []
        self.since = clock.wall()
        """Since when it counts."""

    def watch(self, bus: EventBus) -> None:
        """Count from now on."""
        for kind in _KINDS:
            bus.watch(self._queue.append, kind)
        bus.watch(self._breaker_changed, BreakerOpened)
        bus.watch(self._breaker_changed, BreakerProbed)
        bus.watch(self._breaker_changed, BreakerClosed)

    def on_end(self, take: Callable[[CallEnded], None]) -> None:
        """Hand each call that ended to `take` as well, when it is folded."""
        self._on_end.append(take)

    def fold(self) -> None:
        """Count what is queued, in the minute that is now."""
        if not self._queue:
            return
        wall = self._clock.wall()
        minute = self._minute(int(wall // 60))
        before = minute.calls
        while self._queue:
            event = self._queue.popleft()
            if type(event) is CallEnded:
                self._ended(minute, event, wall)
            else:
                _count_request(minute, event)
        if ended := minute.calls - before:
            self._seconds.append((int(wall), ended))

    def minutes(self) -> Sequence[Minute]:
        """Return the minutes of the last hour in which something happened, the oldest first."""
        self.fold()
        first = int(self._clock.wall() // 60) - MINUTES
        return [minute for minute in self._minutes if minute.number > first]

    def per_s(self) -> float:
        """Return how many calls ended per second, in the last minute."""
        self.fold()
        since = int(self._clock.wall()) - 60
        return sum(calls for second, calls in self._seconds if second > since) / 60

    def endings(self) -> list[tuple[float, CallEnded]]:
        """Return the latest calls that ended, the newest first, with when that was seen."""
        self.fold()
        return list(reversed(self._endings))

    def transitions(self) -> list[Transition]:
        """Return the latest changes of breakers, the newest first."""
        return list(reversed(self._transitions))

    def models(self) -> dict[tuple[str, str], ModelMinute]:
        """Return what each model did in the last hour."""
        sums: dict[tuple[str, str], ModelMinute] = {}
        for minute in self.minutes():
            for key, counts in minute.models.items():
                sums.setdefault(key, ModelMinute()).add(counts)
        return sums

    def _minute(self, number: int) -> Minute:
        if not self._minutes or self._minutes[-1].number < number:
            self._minutes.append(Minute(number))
        return self._minutes[-1]

    def _ended(self, minute: Minute, event: CallEnded, wall: float) -> None:
        minute.calls += 1
        minute.failed += event.outcome not in {"ok", "cancelled"}
        minute.cancelled += event.outcome == "cancelled"
        self._endings.append((wall, event))
        if event.provider is not None:
            minute.latencies.add(event.timings.get("latency_ms", 0.0))
            if (first := event.timings.get("first_token_ms")) is not None:
                minute.first_tokens.add(first)
        for take in self._on_end:
            take(event)

    def _breaker_changed(self, event: BreakerOpened | BreakerProbed | BreakerClosed) -> None:
        at, provider, model = self._clock.wall(), event.provider, event.model
        match event:
            case BreakerOpened(cause=cause, seconds=seconds):
                new = Transition(at=at, provider=provider, model=model, to="open", cause=cause, for_s=seconds)
            case BreakerClosed(open_s=open_s):
                new = Transition(at=at, provider=provider, model=model, to="closed", open_s=open_s)
            case _:
                new = Transition(at=at, provider=provider, model=model, to="half_open")
        self._transitions.append(new)


def _count_request(minute: Minute, event: Event) -> None:
    match event:
        case ProviderCallEnded(provider=provider, model=model, outcome=outcome):
            counts = minute.models.setdefault((provider, model), ModelMinute())
            counts.requests += 1
            counts.failed += outcome not in {"ok", "cancelled"}
            counts.throttled += outcome in THROTTLED
        case RetryPlanned(provider=provider, model=model):
            minute.models.setdefault((provider, model), ModelMinute()).retries += 1
        case BreakerRefused(provider=provider, model=model):
            minute.models.setdefault((provider, model), ModelMinute()).refused += 1
        case FellBack(from_provider=provider, from_model=model):
            minute.models.setdefault((provider, model), ModelMinute()).fallbacks += 1
