"""Detectors: each sees what is planted for it, and none sees anything in quiet hours."""

import random
from collections.abc import Callable, Sequence

import pytest

from exai.monitoring.auditor.detectors import DETECTORS, Picture
from exai.monitoring.auditor.exercise import Planted, event_of
from exai.monitoring.auditor.windows import WINDOW_S, Window, percentile

MODEL = "exercise/model-a"
Change = Callable[[list[Window]], None]


def quiet(seed: int, windows: int = 366) -> list[Window]:
    """An hour of calls that come at random, fail at random in 2 of 100 cases, and take as long as calls do."""
    dice = random.Random(seed)
    made = []
    for number in range(windows):
        window = Window(number * WINDOW_S)
        for _ in range(dice.randint(0, 12)):
            window.fold(event_of(Planted(0.0, "failed" if dice.random() < 0.02 else "call")))
        window.sample("loop_lag_s", dice.uniform(0, 0.05))
        window.sample("permits_free", dice.randint(1, 256))
        window.sample("permits_free", 256)
        window.sample("calls_waiting", 0)
        window.sample("pending_writes", dice.choice([0, 0, 3]))
        window.sample("pending_writes", 0)
        window.sample("rss_mib", 200 + dice.uniform(0, 30))
        window.sample("events_lost", 0)
        made.append(window)
    return made


def sightings(recent: Sequence[Window], usual: Sequence[Window]) -> list[tuple[str, str, str]]:
    picture = Picture(recent, usual)
    return [
        (detector.name, sight.subject, sight.severity)
        for detector in DETECTORS
        for sight in detector.find(picture)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_quiet_hours_show_nothing(seed: int) -> None:
    assert sightings(quiet(seed), [Window.sum_of(quiet(1_000 + seed))]) == []


def plants(kind: str, count: int) -> Change:
    """Plant events in the latest window."""

    def change(recent: list[Window]) -> None:
        for _ in range(count):
            recent[-1].fold(event_of(Planted(0.0, kind)))  # type: ignore[arg-type]

    return change


def level(name: str, value: float, windows: int) -> Change:
    """Have a sample at this value throughout the latest windows."""

    def change(recent: list[Window]) -> None:
        for window in recent[-windows:]:
            window.most[name] = window.least[name] = value

    return change


def one_caller(recent: list[Window]) -> None:
    level("calls_waiting", 5, 6)(recent)
    recent[-1].callers = {"greedy": 300.0, "other": 10.0}


def leak(recent: list[Window]) -> None:
    for number, window in enumerate(recent):
        window.least["rss_mib"] = 200.0 + number


def silence(recent: list[Window]) -> None:
    for window in recent:
        window.models.clear()


@pytest.mark.parametrize(
    ("change", "detector", "subject", "severity"),
    [
        (plants("failed", 60), "failures", MODEL, "warning"),
        (plants("failed", 900), "failures", MODEL, "critical"),
        (plants("slow", 60), "slowness", MODEL, "warning"),
        (plants("retried", 60), "retries", MODEL, "warning"),
        (plants("breaker", 3), "flapping", MODEL, "critical"),
        (plants("took_over", 300), "fallbacks", MODEL, "warning"),
        (plants("other_model", 3), "other_model", MODEL, "warning"),
        (plants("costly", 4), "cost", "all", "warning"),
        (plants("costly", 20), "cost", "all", "critical"),
        (one_caller, "one_caller", "greedy", "warning"),
        (level("permits_free", 0, 4), "full", "all", "warning"),
        (level("loop_lag_s", 0.2, 1), "loop", "all", "warning"),
        (level("loop_lag_s", 6, 1), "loop", "all", "critical"),
        (leak, "memory", "all", "warning"),
        (plants("gap", 3), "sessions", "gaps", "warning"),
        (level("pending_writes", 2, 4), "writes", "all", "critical"),
        (plants("refused_token", 20), "tokens", "all", "warning"),
        (plants("refused_token", 200), "tokens", "all", "critical"),
        (plants("incident", 1), "incidents", "all", "warning"),
        (level("events_lost", 7, 1), "lost", "all", "warning"),
        (silence, "silence", "all", "critical"),
    ],
)
def test_what_is_planted_is_seen_and_nothing_else(
    change: Change, detector: str, subject: str, severity: str
) -> None:
    recent, usual = quiet(1), [Window.sum_of(quiet(seed)) for seed in range(2, 6)]
    change(recent)
    assert sightings(recent, usual) == [(detector, subject, severity)]


def test_each_rule_is_tried_above() -> None:
    marks = next(
        mark
        for mark in test_what_is_planted_is_seen_and_nothing_else.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
    )
    assert {case[1] for case in marks.args[1]} == {detector.name for detector in DETECTORS}


def test_a_percentile_is_near_the_truth_and_its_interval_above() -> None:
    dice = random.Random(5)
    window, seconds = Window(0.0), sorted(dice.lognormvariate(0, 0.7) for _ in range(1_000))
    for each in seconds:
        event = event_of(Planted(0.0, "call"))
        window.fold(type(event)(**{**_fields(event), "timings": {"latency_ms": each * 1_000}}))
    counts = window.models[MODEL].seconds
    p95, surely = percentile(counts, 0.95), percentile(counts, 0.95, surely=True)
    assert p95 == pytest.approx(seconds[949], rel=0.06)
    assert surely is not None
    assert surely >= seconds[963] * 0.95
    assert percentile({}, 0.95) is None


def _fields(event: object) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__struct_fields__}  # type: ignore[attr-defined]


def test_windows_add_up() -> None:
    windows = quiet(3, 60)
    whole = Window.sum_of(windows)
    assert whole.seconds == 600
    assert whole.calls == sum(window.calls for window in windows)
    parts = Window.sum_of([Window.sum_of(windows[:20]), Window.sum_of(windows[20:])])
    assert parts.models[MODEL].usd == pytest.approx(whole.models[MODEL].usd)
    assert parts.callers == pytest.approx(whole.callers)
    parts.models[MODEL].usd, parts.callers = whole.models[MODEL].usd, whole.callers
    assert parts == whole
