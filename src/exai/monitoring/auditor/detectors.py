"""Detectors: rules over numbers, as a table of pure functions. None asks a model, a clock or the database.

A detector is shown a `Picture`: the latest windows, and what is usual at this hour of the week, as far as that is
known. It returns a sighting for each subject that is beside the rule. Severity is the rule's own; a rule whose
reports people mostly judge as noise is lowered by the auditor, and not here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

import msgspec

from exai.monitoring.auditor.windows import ModelCounts, Window, percentile
from exai.monitoring.statistics.shares import wilson
from exai.storage.auditor.observations import Category, Severity

__all__ = ["DETECTORS", "Detector", "Picture", "Sight"]

Numbers = dict[str, float | str]

LEAST_CALLS = 20
"""From how many calls on a share means anything."""
LEAST_USUAL = 72
"""From how many calls on a 95th percentile has an interval."""
LEAST_OTHERS = 3
"""Answers of another model from which on it is no accident."""
EVERYTHING = "all"
"""The subject of what belongs to no model."""


class Sight(msgspec.Struct, frozen=True):
    """What a detector saw."""

    subject: str
    severity: Severity
    numbers: Numbers


class Picture:
    """What detectors are shown: windows of one length, the latest last, and hours that were like this one."""

    def __init__(self, recent: Sequence[Window], usual: Sequence[Window]) -> None:
        self.recent = recent
        self.usual_hours = usual
        self.usual = usual[0] if len(usual) == 1 else Window.sum_of(usual)
        self.minute = Window.sum_of(self._latest(60))
        self.five_minutes = Window.sum_of(self._latest(300))
        self.ten_minutes = Window.sum_of(self._latest(600))
        self.hour = self._latest(3_600)
        """Its windows: to add all of them up takes too long for each picture."""

    def _latest(self, seconds: float) -> list[Window]:
        """Return the windows of the last so many seconds."""
        if not self.recent:
            return []
        since = self.recent[-1].begun + self.recent[-1].seconds - seconds - 1e-6
        return list(takewhile(lambda window: window.begun >= since, reversed(self.recent)))

    def lasting(self, condition: Callable[[Window], bool]) -> float:
        """Return for how many seconds a condition has held, up to now."""
        return sum(window.seconds for window in takewhile(condition, reversed(self.recent)))


@dataclass(frozen=True, slots=True)
class Detector:
    """A rule."""

    name: str
    category: Category
    recommendation: str
    find: Callable[[Picture], Iterator[Sight]]


def _models(window: Window) -> Iterator[tuple[str, ModelCounts]]:
    return ((name, numbers) for name, numbers in window.models.items() if name)


def _failures(picture: Picture) -> Iterator[Sight]:
    for name, now in _models(picture.five_minutes):
        if now.calls < LEAST_CALLS:
            continue
        least, _ = wilson(now.failures, now.calls)
        usual = picture.usual.models.get(name, ModelCounts())
        _, most = wilson(usual.failures, usual.calls) if usual.calls >= LEAST_CALLS else (0.0, 0.1)
        if least > most:
            numbers: Numbers = {
                "failed": now.failures,
                "calls": now.calls,
                "usual share below": round(most, 3),
            }
            yield Sight(name, "critical" if least >= 0.5 else "warning", numbers)


def _slowness(picture: Picture) -> Iterator[Sight]:
    for name, now in _models(picture.five_minutes):
        usual = picture.usual.models.get(name, ModelCounts())
        if now.calls < LEAST_CALLS or usual.calls < LEAST_USUAL:
            continue
        p95, most = percentile(now.seconds, 0.95), percentile(usual.seconds, 0.95, surely=True)
        if p95 is not None and most is not None and p95 > 1.3 * most:
            numbers: Numbers = {"p95 s": round(p95, 2), "usually below s": round(most, 2), "calls": now.calls}
            yield Sight(name, "warning", numbers)


def _retries(picture: Picture) -> Iterator[Sight]:
    for name, now in _models(picture.five_minutes):
        if now.requests >= LEAST_CALLS and now.attempts > 1.2 * now.requests:
            yield Sight(name, "warning", {"attempts": now.attempts, "requests": now.requests})


def _flapping(picture: Picture) -> Iterator[Sight]:
    for name, now in _models(picture.ten_minutes):
        if now.openings >= 3:
            yield Sight(name, "critical", {"openings in 10 min": now.openings})


def _fallbacks(picture: Picture) -> Iterator[Sight]:
    for name, now in _models(picture.ten_minutes):
        asked = now.calls + now.fallbacks
        if asked >= LEAST_CALLS and now.fallbacks > 0.2 * asked:
            yield Sight(name, "warning", {"taken over": now.fallbacks, "calls": asked})


def _other_model(picture: Picture) -> Iterator[Sight]:
    for name, now in _models(picture.ten_minutes):
        if now.others >= LEAST_OTHERS:
            yield Sight(name, "warning", {"answered by another": now.others, "requests": now.requests})


def _cost(picture: Picture) -> Iterator[Sight]:
    if not picture.usual.seconds:
        return
    now = sum(window.usd for window in picture.hour)
    usual = picture.usual.usd * 3_600 / picture.usual.seconds
    if now > 3 * usual and now >= 0.5:
        numbers: Numbers = {"USD in an hour": round(now, 4), "usual": round(usual, 4)}
        yield Sight(EVERYTHING, "critical" if now > 10 * usual else "warning", numbers)


def _one_caller(picture: Picture) -> Iterator[Sight]:
    now = picture.minute
    taken = sum(now.callers.values())
    if (
        len(now.callers) < 2
        or picture.lasting(lambda window: window.least.get("calls_waiting", 0.0) > 0) < 30
    ):
        return
    caller, seconds = max(now.callers.items(), key=lambda each: each[1])
    if seconds > 0.5 * taken:
        yield Sight(caller, "warning", {"share of time": round(seconds / taken, 2)})


def _full(picture: Picture) -> Iterator[Sight]:
    seconds = picture.lasting(lambda window: window.least.get("permits_free", 1.0) <= 0)
    if seconds > 30:
        yield Sight(EVERYTHING, "warning", {"full for s": seconds})


def _loop(picture: Picture) -> Iterator[Sight]:
    lag = picture.recent[-1].most.get("loop_lag_s", 0.0) if picture.recent else 0.0
    if lag > 0.1:
        yield Sight(EVERYTHING, "critical" if lag >= 5 else "warning", {"lag ms": round(lag * 1000)})


def _memory(picture: Picture) -> Iterator[Sight]:
    levels = [window.least["rss_mib"] for window in picture.recent if "rss_mib" in window.least]
    if len(levels) < 180:
        return
    sixth = len(levels) // 6
    lows = [min(levels[number * sixth : (number + 1) * sixth]) for number in range(6)]
    rose = lows[-1] - lows[0]
    if rose > 100 and rose > 0.2 * lows[0] and all(low < high for low, high in pairwise(lows)):
        yield Sight(EVERYTHING, "warning", {"MiB then": round(lows[0]), "MiB now": round(lows[-1])})


def _sessions(picture: Picture) -> Iterator[Sight]:
    now = picture.ten_minutes
    if now.gaps >= 3:
        yield Sight("gaps", "warning", {"resumed with messages lost": now.gaps})
    if now.kept_out >= 3:
        yield Sight("readers", "warning", {"closed as they did not read": now.kept_out})


def _writes(picture: Picture) -> Iterator[Sight]:
    seconds = picture.lasting(lambda window: window.least.get("pending_writes", 0.0) > 0)
    if seconds > 30:
        yield Sight(EVERYTHING, "critical", {"waiting for s": seconds})


def _tokens(picture: Picture) -> Iterator[Sight]:
    refused = picture.minute.refused_callers
    if refused >= 20:
        yield Sight(EVERYTHING, "critical" if refused >= 200 else "warning", {"refused in a minute": refused})


def _incidents(picture: Picture) -> Iterator[Sight]:
    if picture.recent and (now := picture.recent[-1].incidents):
        yield Sight(
            EVERYTHING,
            "warning",
            {"in this window": now, "in an hour": sum(window.incidents for window in picture.hour)},
        )


def _lost(picture: Picture) -> Iterator[Sight]:
    lost = picture.recent[-1].most.get("events_lost", 0.0) if picture.recent else 0.0
    if lost:
        yield Sight(EVERYTHING, "warning", {"events": lost})


def _silence(picture: Picture) -> Iterator[Sight]:
    usual = [hour.calls for hour in picture.usual_hours]
    if len(usual) < 3 or min(usual) == 0 or any(window.calls for window in picture.hour):
        return
    if sum(window.seconds for window in picture.hour) >= 3_600:
        yield Sight(EVERYTHING, "critical", {"calls usually at least": min(usual)})


DETECTORS: tuple[Detector, ...] = (
    Detector(
        "failures",
        "reliability",
        "Look at the model's state with `status`, section `providers`, and at `calls` for their codes.",
        _failures,
    ),
    Detector(
        "slowness",
        "performance",
        "See which stage grew in `/metrics` (`exai_call_stage_seconds`); ask less, or another model.",
        _slowness,
    ),
    Detector(
        "retries", "reliability", "The provider throttles or fails in passing: lower its limit.", _retries
    ),
    Detector(
        "flapping",
        "reliability",
        "The provider is half away: take it out, or let another take over.",
        _flapping,
    ),
    Detector("fallbacks", "quality", "Callers often get another model than they asked for.", _fallbacks),
    Detector(
        "other_model",
        "quality",
        "The provider answers as another model than it was asked for: look at your plan there.",
        _other_model,
    ),
    Detector(
        "cost", "cost", "See `exai usage` for who spends; `guards.usd_per_hour` bounds a caller.", _cost
    ),
    Detector(
        "one_caller", "performance", "Lower `admission.caller_limit`, or raise the limits.", _one_caller
    ),
    Detector("full", "performance", "All permits are taken: raise `admission.global_limit`.", _full),
    Detector("loop", "performance", "Something holds the event loop; the log has what is slow.", _loop),
    Detector(
        "memory",
        "performance",
        "Memory only rises: restart at a quiet moment, and report it.",
        _memory,
    ),
    Detector(
        "sessions", "reliability", "Clients lose messages or do not read: look at their network.", _sessions
    ),
    Detector(
        "writes", "reliability", "The database takes no writes: look at its disk and its server.", _writes
    ),
    Detector("tokens", "security", "Somebody tries tokens: the log has the addresses.", _tokens),
    Detector(
        "incidents", "reliability", "The log has each under its id; please report it with that.", _incidents
    ),
    Detector("lost", "quality", "More happened than was read; numbers of that time are too low.", _lost),
    Detector(
        "silence", "reliability", "Nobody calls, at an hour that always had calls: try a call.", _silence
    ),
)
"""Each rule once; its name is a promise to those who read observations."""
