"""The statistics, judged by scipy and by how often an interval holds a truth that is known."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exai.monitoring.statistics.discoveries import benjamini_hochberg
from exai.monitoring.statistics.histogram import Histogram
from exai.monitoring.statistics.paired import hodges_lehmann, least_visible, signed_rank_p
from exai.monitoring.statistics.quantiles import binomial_ranks, least_for, quantile_of
from exai.monitoring.statistics.resampling import percentile_interval
from exai.monitoring.statistics.shares import share_of, wilson

SAMPLES = 1_000


@pytest.mark.parametrize("share", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 40, 71, 72, 200, 367, 368, 1_000, 20_000])
def test_ranks_of_an_interval_are_those_of_scipy(share: float, n: int) -> None:
    places = list(range(n))
    interval = stats.quantile_test(places, p=share).confidence_interval(0.95)
    expected = tuple(None if math.isnan(end) else int(end) for end in interval)
    assert binomial_ranks(n, share) == expected


@pytest.mark.parametrize(("share", "n"), [(0.5, 6), (0.95, 72), (0.99, 368)])
def test_from_how_many_values_on_there_is_an_interval(share: float, n: int) -> None:
    assert least_for(share) == n
    fewer, enough = quantile_of(range(n - 1), share), quantile_of(range(n), share)
    assert None in {fewer.low, fewer.high}
    assert None not in {enough.low, enough.high}


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_intervals_of_percentiles_hold_the_truth_as_often_as_they_say(share: float) -> None:
    """B2: skewed values with a known quantile, 1,000 seeded samples."""
    truth = math.exp(0.7 * stats.norm.ppf(share))
    held = 0
    for seed in range(SAMPLES):
        dice = random.Random(seed)
        quantile = quantile_of(sorted(dice.lognormvariate(0, 0.7) for _ in range(400)), share)
        assert quantile.low is not None
        assert quantile.high is not None
        held += quantile.low <= truth <= quantile.high
    assert 0.94 <= held / SAMPLES <= 0.98


def test_failures_are_the_slowest_of_all() -> None:
    quantile = quantile_of([1.0] * 90 + [math.inf] * 10, 0.95)
    assert quantile.value is None
    assert quantile_of([1.0] * 90 + [math.inf] * 10, 0.5).value == 1.0


@given(st.integers(0, 400), st.integers(1, 400))
def test_a_share_has_the_interval_of_wilson(hits: int, more: int) -> None:
    of = hits + more
    expected = stats.binomtest(hits, of).proportion_ci(method="wilson")
    share = share_of(hits, of)
    assert (share.low, share.high) == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert share.share == hits / of


def test_of_nothing_every_share_is_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert share_of(0, 0).share == 0.0


@given(st.lists(st.integers(-40, 60), min_size=2, max_size=90))
def test_the_signed_rank_test_is_that_of_scipy(numbers: list[int]) -> None:
    values = [number / 7 for number in numbers]
    distinct = len({abs(v) for v in values if v}) == len([v for v in values if v])
    left = [v for v in values if v]
    if not left:
        assert signed_rank_p(values) == 1.0
        return
    method = "exact" if distinct and len(left) <= 50 else "asymptotic"
    expected = stats.wilcoxon(left, method=method).pvalue
    assert signed_rank_p(values) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [6, 11, 30, 50, 51, 200])
def test_estimate_interval_and_test_agree(n: int) -> None:
    """A shift lies in the interval as long as the test does not refuse it; which scipy says."""
    dice = random.Random(n)
    values = [dice.gauss(0.3, 1) for _ in range(n)]
    found = hodges_lehmann(values)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    for shift, is_in in ((found.low + 1e-3, True), (found.low - 1e-3, False), (found.high + 1e-3, False)):
        p = stats.wilcoxon([value - shift for value in values]).pvalue
        assert bool(p > 0.05) is is_in or p == pytest.approx(0.05, abs=0.004)


def test_five_pairs_are_too_few_for_an_interval() -> None:
    found = hodges_lehmann([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.value, found.low, found.high) == (3.0, None, None)
    assert least_visible([1.0]) is None


def test_the_least_visible_difference_is_seen_in_four_of_five_cases() -> None:
    dice, seen = random.Random(3), 0
    least = least_visible([dice.gauss(0, 1) for _ in range(20_000)])
    assert least is not None
    of_fifty = least * math.sqrt(20_000 / 50)
    for _ in range(400):
        seen += signed_rank_p([dice.gauss(of_fifty, 1) for _ in range(50)]) < 0.05
    assert 0.74 <= seen / 400 <= 0.87


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_values_are_those_of_scipy(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(list(stats.false_discovery_control(p_values)))


def test_drawing_again_is_the_same_and_holds_the_truth() -> None:
    held = 0
    for seed in range(200):
        dice = random.Random(seed)
        values = [dice.gauss(2, 1) for _ in range(80)]
        low, high, p = percentile_interval(
            values, lambda chosen: sum(chosen) / len(chosen), seed=1, resamples=200
        )
        held += low <= 2 <= high
        assert p < 0.05
    assert 180 <= held <= 198
    first = percentile_interval(values, max, seed=5, resamples=50)
    assert first == percentile_interval(values, max, seed=5, resamples=50)


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=200), st.integers(1, 5))
def test_a_histogram_adds_up_to_that_of_all_values(values: list[float], parts: int) -> None:
    whole, several = Histogram(), [Histogram() for _ in range(parts)]
    for place, value in enumerate(values):
        whole.add(value)
        several[place % parts].add(value)
    added = Histogram.sum_of(several)
    assert added.packed() == whole.packed()
    assert added.total == pytest.approx(whole.total)
    assert added.count == len(values)
    again = Histogram.unpacked([(place, count) for place, count in whole.packed()], whole.total)
    for share in (0.5, 0.95):
        truth = quantile_of(sorted(values), share).value
        assert again.quantile(share) == pytest.approx(truth, rel=0.0051, abs=0.0011)


def test_an_empty_histogram_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
