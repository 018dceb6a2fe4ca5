"""What the results of two models say: each measure with an interval, and a verdict that may be that nothing was shown.

The unit is the block. A ratio is compared on logarithms. A failure is an answer that never came, so a model does
not look fast by failing.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from exai.cli.comparing.results import CallResult
from exai.monitoring.statistics.discoveries import benjamini_hochberg
from exai.monitoring.statistics.paired import Difference, hodges_lehmann, least_visible
from exai.monitoring.statistics.quantiles import quantile_of
from exai.monitoring.statistics.resampling import RESAMPLES, percentile_interval
from exai.monitoring.statistics.shares import Share, share_of

__all__ = ["LEAST_BLOCKS", "SPEED", "Comparison", "Measure", "compare_models", "reasons_against"]

LEAST_BLOCKS = 6
LEAST_FOR_P95 = 72
SPEED = "tokens per second"
DOUBT = 0.05
NEVER = 40.0
"""The logarithm of the ratio of an answer that never came to one that did."""
THROTTLED = "provider_throttled"
MOST_THROTTLED = 0.05
MOST_CACHED = 0.5
MOST_CACHED_APART = 0.15
"""EXAI's own instructions stand before the prompt, and caches know them at either side."""

Verdict = Literal["A", "B", "no difference shown", "not enough"]
Pair = tuple[CallResult, CallResult]


class Measure(msgspec.Struct, frozen=True):
    """One measure of both models."""

    name: str
    unit: str
    is_better: Literal["less", "more", "neither"]
    a: float | None
    """Median over blocks, or the percentile that the name says."""
    b: float | None
    ratio: float | None
    """Of B to A, of a typical block."""
    low: float | None
    high: float | None
    p: float | None
    """Adjusted for all measures together."""
    blocks: int
    least_visible: float | None
    """The ratio, above 1, that so many blocks would have shown in four of five cases."""
    verdict: Verdict
    """Which has less of it."""


class Comparison(msgspec.Struct, frozen=True):
    """Two models beside each other."""

    a: str
    b: str
    blocks: int
    success_a: Share
    success_b: Share
    success_p: float
    """Of the exact test on blocks in which one of both failed."""
    failures_a: Mapping[str, int]
    """By error code."""
    failures_b: Mapping[str, int]
    cached_a: float
    """The share of what it read that came from its provider's cache."""
    cached_b: float
    void: tuple[str, ...]
    """Why nothing of it counts."""
    void_for_speed: tuple[str, ...]
    """Why only the shares of success count."""
    measures: tuple[Measure, ...]


def compare_models(
    blocks: Sequence[Mapping[str, CallResult]],
    a: str,
    b: str,
    *,
    void: Sequence[str] = (),
    seed: int = 1,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare two models by blocks that have both."""
    pairs = [(block[a], block[b]) for block in blocks if a in block and b in block]
    reasons, for_speed = reasons_against(pairs)
    failed_a, failed_b = (sum(pair[side].code is not None for pair in pairs) for side in (0, 1))
    only_a = sum(first.code is not None and second.code is None for first, second in pairs)
    only_b = sum(first.code is None and second.code is not None for first, second in pairs)
    found = list(_measured(pairs, seed, resamples))
    adjusted = iter(benjamini_hochberg([each.p for each in found if each.p is not None]))
    measures = [_judged(each, None if each.p is None else next(adjusted)) for each in found]
    return Comparison(
        a,
        b,
        len(pairs),
        share_of(len(pairs) - failed_a, len(pairs)),
        share_of(len(pairs) - failed_b, len(pairs)),
        _sign_test(only_a, only_b),
        _failures([pair[0] for pair in pairs]),
        _failures([pair[1] for pair in pairs]),
        _cached([pair[0] for pair in pairs]),
        _cached([pair[1] for pair in pairs]),
        (*void, *reasons),
        tuple(for_speed),
        tuple(measures),
    )


def reasons_against(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """Say why nothing counts, and why nothing about speed does."""
    void: list[str] = []
    for_speed: list[str] = []
    for side in (0, 1):
        calls = [pair[side] for pair in pairs]
        if not calls:
            continue
        model = calls[0].model
        others = sorted({each.model_used for each in calls if each.model_used not in {None, model}} - {None})
        if others:
            void.append(f"{model} was asked, and {', '.join(map(str, others))} answered.")
        if any(each.tried > 1 for each in calls):
            void.append(f"A fallback took over from {model}: turn `models.fallback` off.")
        if (cached := _cached(calls)) > MOST_CACHED:
            void.append(f"{cached:.0%} of what {model} read came from its provider's cache.")
        held_up = sum(each.code == THROTTLED or each.requests > 1 for each in calls)
        if held_up / len(calls) > MOST_THROTTLED:
            for_speed.append(
                f"{held_up / len(calls):.0%} of the calls of {model} were refused as too many or failed at first: "
                "its provider was the limit. Ask at a lower --concurrency."
            )
    first, second = (_cached([pair[side] for pair in pairs]) for side in (0, 1))
    if abs(first - second) > MOST_CACHED_APART:
        void.append(f"Caches helped one side: {first:.0%} and {second:.0%} of what was read came from them.")
    efforts = {side: {pair[side].effort for pair in pairs if pair[side].code is None} for side in (0, 1)}
    if any(len(each) > 1 for each in efforts.values()):
        void.append("One model thought with different efforts.")
    return void, for_speed


class _Found(msgspec.Struct, frozen=True):
    name: str
    unit: str
    is_better: Literal["less", "more", "neither"]
    a: float | None
    b: float | None
    difference: Difference | None
    least: float | None
    p: float | None
    blocks: int


Read = Callable[[CallResult], float | None]


def _measured(pairs: Sequence[Pair], seed: int, resamples: int) -> Iterator[_Found]:
    for name, unit, is_better, read in _MEASURES:
        both = [(x, y) for x, y in ((read(a), read(b)) for a, b in pairs) if x is not None and y is not None]
        yield _paired(name, unit, is_better, both)
    totals = [(math.inf if a.code else a.total_s, math.inf if b.code else b.total_s) for a, b in pairs]
    yield _tail(totals, seed, resamples)


def _paired(
    name: str, unit: str, is_better: Literal["less", "more", "neither"], both: Sequence[tuple[float, float]]
) -> _Found:
    ratios = [ratio for x, y in both if (ratio := _log_ratio(x, y)) is not None]
    a, b = _median([x for x, _ in both]), _median([y for _, y in both])
    if not ratios:
        return _Found(name, unit, is_better, a, b, None, None, None, 0)
    found = hodges_lehmann(ratios)
    p = found.p if len(ratios) >= LEAST_BLOCKS else None
    return _Found(name, unit, is_better, a, b, found, least_visible(ratios), p, len(ratios))


def _tail(totals: Sequence[tuple[float, float]], seed: int, resamples: int) -> _Found:
    if len(totals) < LEAST_FOR_P95:
        return _Found("total p95", "s", "less", None, None, None, None, None, len(totals))

    def ratio(chosen: Sequence[tuple[float, float]]) -> float:
        return _log_ratio(_p95([x for x, _ in chosen]), _p95([y for _, y in chosen])) or 0.0

    low, high, p = percentile_interval(totals, ratio, seed=seed, resamples=resamples)
    value = ratio(totals)
    a, b = (_p95([pair[side] for pair in totals]) for side in (0, 1))
    least = (high - low) / 2 * (1.96 + 0.84) / 1.96
    found = Difference(value, low, high, p, len(totals))
    finite = [each if math.isfinite(each) else None for each in (a, b)]
    return _Found("total p95", "s", "less", finite[0], finite[1], found, least, p, len(totals))


def _judged(found: _Found, p: float | None) -> Measure:
    difference = found.difference
    verdict: Verdict = "no difference shown"
    if difference is None or p is None or difference.low is None or difference.high is None:
        verdict = "not enough"
    elif p < DOUBT and (difference.low > 0 or difference.high < 0):
        verdict = "A" if difference.value > 0 else "B"
    ratio, low, high, least = (
        None if value is None or abs(value) > NEVER / 2 else math.exp(value)
        for value in (
            *(
                (None, None, None)
                if difference is None
                else (difference.value, difference.low, difference.high)
            ),
            found.least,
        )
    )
    return Measure(
        found.name,
        found.unit,
        found.is_better,
        found.a,
        found.b,
        ratio,
        low,
        high,
        p,
        found.blocks,
        least,
        verdict,
    )


def _log_ratio(a: float, b: float) -> float | None:
    if math.isinf(a) or math.isinf(b):
        return None if a == b else math.copysign(NEVER, b - a)
    return math.log(b / a) if a > 0 and b > 0 else None


def _p95(values: Sequence[float]) -> float:
    value = quantile_of(sorted(values), 0.95).value
    return math.inf if value is None else value


def _median(values: Sequence[float]) -> float | None:
    return quantile_of(sorted(values), 0.5).value if values else None


def _speed(call: CallResult) -> float | None:
    generation = call.timings.get("generation_ms")
    return call.output_tokens / generation * 1_000 if generation and call.output_tokens else None


def _failures(calls: Sequence[CallResult]) -> Mapping[str, int]:
    return dict(sorted(Counter(each.code for each in calls if each.code is not None).items()))


def _cached(calls: Sequence[CallResult]) -> float:
    read = sum(each.input_tokens for each in calls)
    return sum(each.cached_tokens for each in calls) / read if read else 0.0


def _sum(call: CallResult, *names: str) -> float | None:
    return sum(call.timings.get(name, 0.0) for name in names) if call.timings else None


_MEASURES: tuple[tuple[str, str, Literal["less", "more", "neither"], Read], ...] = (
    ("total", "s", "less", lambda call: math.inf if call.code else call.total_s),
    ("service", "s", "less", lambda call: math.inf if call.code else call.service_s),
    ("first token", "s", "less", lambda call: math.inf if call.code else call.first_token_s),
    (SPEED, "1/s", "more", _speed),
    (
        "EXAI's own time",
        "ms",
        "less",
        lambda call: _sum(call, "processing_ms", "store_ms", "session_wait_ms"),
    ),
    (
        "waiting for permits",
        "ms",
        "less",
        lambda call: _sum(call, "global_sem_wait_ms", "provider_sem_wait_ms"),
    ),
    ("cost of an answer", "USD", "less", lambda call: call.cost_usd),
    ("output", "tokens", "neither", lambda call: call.output_tokens or None),
)


def _sign_test(only_a: int, only_b: int) -> float:
    n = only_a + only_b
    if n == 0:
        return 1.0
    below = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, below / float(2 ** (n - 1)))
