"""What an exercise sends: steady calls, and anomalies at known moments, so that it is known what must be observed.

A planted event stands for one that did not happen. Its moment counts from the beginning of the exercise, by the clock
of the exercise, which may be faster than the clock on the wall.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from exai.callers import Caller, Door
from exai.events.events import (
    BreakerOpened,
    CallEnded,
    CallerRefused,
    Event,
    FellBack,
    IncidentRecorded,
    OtherModelAnswered,
    SessionResumed,
)
from exai.events.requests import Purpose, RequestRecord
from exai.storage.auditor.observations import Severity

__all__ = ["Expected", "Phase", "Planted", "event_of", "expected_of", "plan"]

Kind = Literal[
    "call",
    "failed",
    "slow",
    "retried",
    "costly",
    "breaker",
    "took_over",
    "other_model",
    "refused_token",
    "gap",
    "incident",
]
Phase = Literal[1, 2, 3]

MODELS = ("model-a", "model-b", "model-c")
PROVIDER = "exercise"
EVERY_S = 300.0
"""Between two anomalies."""
FIRST_S = 1_200.0
"""When the first begins: until then it is learnt what is usual."""
BURST_EVERY_S = 1_800.0
BURST = 10
"""Calls of phase 3 within a burst come so many times as often."""
BURST_S = 120.0


class Planted(msgspec.Struct, frozen=True):
    """One event that is to be sent."""

    at: float
    """Seconds from the beginning of the exercise."""
    kind: Kind
    model: str = MODELS[0]
    count: int = 1
    """How many such events happened at once."""


class Expected(msgspec.Struct, frozen=True, order=True):
    """What has to be observed of an exercise."""

    detector: str
    subject: str
    severity: Severity


class _Anomaly(msgspec.Struct, frozen=True):
    kind: Kind
    count: int
    detector: str
    severity: Severity
    subject: str = "all"
    model: str = MODELS[0]


def _of(model: str) -> str:
    return f"{PROVIDER}/{model}"


_ANOMALIES = (
    _Anomaly("failed", 30, "failures", "warning", _of("model-a"), "model-a"),
    _Anomaly("slow", 40, "slowness", "warning", _of("model-b"), "model-b"),
    _Anomaly("retried", 40, "retries", "warning", _of("model-c"), "model-c"),
    _Anomaly("breaker", 3, "flapping", "critical", _of("model-a"), "model-a"),
    _Anomaly("took_over", 40, "fallbacks", "warning", _of("model-b"), "model-b"),
    _Anomaly("costly", 20, "cost", "critical", "all", "model-c"),
    _Anomaly("refused_token", 30, "tokens", "warning"),
    _Anomaly("refused_token", 250, "tokens", "critical"),
    _Anomaly("gap", 5, "sessions", "warning", "gaps"),
    _Anomaly("incident", 1, "incidents", "warning"),
)
"""Each is planted at one moment; the two of `tokens` are one observation, which is raised."""


def plan(phase: Phase, rate: float, minutes: float) -> Iterator[Planted]:
    """Return what is sent, in order of its moments.

    Args:
        rate: calls a minute.
    """
    anomalies = _planted(minutes) if phase > 1 else []
    due = 0
    for at in _moments(phase, rate, minutes):
        while due < len(anomalies) and anomalies[due][0] <= at:
            moment, anomaly = anomalies[due]
            yield Planted(moment, anomaly.kind, anomaly.model, anomaly.count)
            due += 1
        yield Planted(at, "call", MODELS[int(at) % len(MODELS)])


def expected_of(phase: Phase, minutes: float) -> list[Expected]:
    """Return what has to be observed: each detector and subject once, with its highest severity."""
    worst: dict[tuple[str, str], Severity] = {}
    for _, anomaly in _planted(minutes) if phase > 1 else []:
        worst[anomaly.detector, anomaly.subject] = anomaly.severity
    return sorted(Expected(detector, subject, severity) for (detector, subject), severity in worst.items())


def _planted(minutes: float) -> list[tuple[float, _Anomaly]]:
    """Return the anomalies that there is time for, with their moments."""
    moments = ((FIRST_S + number * EVERY_S / 2, anomaly) for number, anomaly in enumerate(_ANOMALIES))
    return [(at, anomaly) for at, anomaly in moments if at <= minutes * 60 - 60]


def _moments(phase: Phase, rate: float, minutes: float) -> Iterator[float]:
    """Return when calls are made: evenly, and in phase 3 ten times as often during bursts."""
    step, at, number = 60.0 / rate, 0.0, 0
    while at < minutes * 60 - 1e-9:
        yield at
        in_burst = phase == 3 and at % BURST_EVERY_S >= BURST_EVERY_S - BURST_S
        if in_burst:
            at += step / BURST
        elif phase == 3:
            at += step
        else:
            number += 1
            at = number * step


def events_of(planted: Iterable[Planted]) -> Iterator[Event]:
    """Return the events that planted ones stand for."""
    for each in planted:
        for _ in range(each.count):
            yield event_of(each)


def event_of(planted: Planted) -> Event:
    """Return an event of the kind that is planted."""
    return _EVENTS[planted.kind](planted.model)


_CALLER = Caller("exercise", Door.WEBSOCKET, client="exai auditor exercise")


def _call(
    model: str,
    *,
    code: str | None = None,
    seconds: float = 1.0,
    attempts: int = 1,
    usd: float = 0.001,
) -> CallEnded:
    request = RequestRecord(
        number=1,
        purpose=Purpose.CHAT,
        provider=PROVIDER,
        model=model,
        attempts=attempts,
        outcome=code or "ok",
        usage=None,
        unreported=0,
        services={},
        cost_usd=usd,
        without_price=False,
        timings={},
        began_at=0.0,
        ended_at=seconds,
    )
    return CallEnded(
        call_id="",
        tool="chat",
        caller=_CALLER,
        outcome="ok" if code is None else "failed",
        error_code=code,
        provider=PROVIDER,
        model=model,
        timings={"latency_ms": seconds * 1000},
        requests=(request,),
    )


_EVENTS: Mapping[Kind, Callable[[str], Event]] = MappingProxyType(
    {
        "call": _call,
        "failed": lambda model: _call(model, code="provider_failed"),
        "slow": lambda model: _call(model, seconds=30.0),
        "retried": lambda model: _call(model, attempts=3),
        "costly": lambda model: _call(model, usd=2.0),
        "breaker": lambda model: BreakerOpened(PROVIDER, model, "provider_failed", 10.0, again=False),
        "took_over": lambda model: FellBack(PROVIDER, model, PROVIDER, "model-d", "provider_failed"),
        "other_model": lambda model: OtherModelAnswered(PROVIDER, model),
        "refused_token": lambda _: CallerRefused(Door.WEBSOCKET, "unauthenticated"),
        "gap": lambda _: SessionResumed(_CALLER, gap=True),
        "incident": lambda _: IncidentRecorded("inc_exercise", "exercise", RuntimeError()),
    }
)
