"""B3: a planted bottleneck is named first, whichever stage it is, and with the advice of the table."""

import random

import pytest

from exai.monitoring.baselines.advice import RULES, Circumstances, Limits, advise
from exai.monitoring.baselines.attribution import LEAST_CALLS, Attribution, StageExcess, attribute
from exai.storage.schema import TIMINGS

STAGES = TIMINGS[:-1]
RUNS = 20
CALLS = 600
USUAL_MS = {"first_token_ms": 900.0, "generation_ms": 1_500.0, "connect_ms": 40.0, "store_ms": 8.0}
LIMITS = Limits(256, 96, 64)
ABOUT = Circumstances("glm", "glm-5.3", peak_per_s=20.0, holding_s=4.0, throttled=0.0)


def calls_with(stage: str, seed: int) -> list[tuple[float, ...]]:
    """Calls whose stages vary by a third, of which one in twelve is kept up by `stage` for about three seconds."""
    dice = random.Random(seed)
    calls = []
    for _ in range(CALLS):
        ms = {name: USUAL_MS.get(name, 3.0) * dice.lognormvariate(0, 0.33) for name in STAGES}
        if dice.random() < 0.08:
            ms[stage] += dice.uniform(2_000, 4_500)
        calls.append(tuple(ms.values()))
    return calls


@pytest.mark.parametrize("stage", STAGES)
def test_a_planted_bottleneck_is_named_first(stage: str) -> None:
    named = 0
    for seed in range(RUNS):
        found = attribute(calls_with(stage, seed), STAGES, seed=seed, resamples=40)
        assert found is not None
        first = found.stages[0]
        named += first.stage == stage and first.low > 0.5
        assert first.p95_without_ms <= found.p95_ms
        assert advise(found, ABOUT, LIMITS) == RULES[first.stage](ABOUT, LIMITS)
    assert named >= 19


def test_shares_add_up_to_the_whole_and_have_intervals() -> None:
    found = attribute(calls_with("provider_sem_wait_ms", 5), STAGES)
    assert found is not None
    assert sum(each.share for each in found.stages) == pytest.approx(1, abs=0.001)
    assert all(each.low <= each.share <= each.high for each in found.stages)
    assert sum(each.excess_ms for each in found.stages) == pytest.approx(
        found.tail_ms - found.body_ms, abs=0.1
    )


def test_too_few_calls_explain_nothing() -> None:
    calls = calls_with("store_ms", 1)
    assert attribute(calls[: LEAST_CALLS - 1], STAGES) is None
    assert attribute(calls[:LEAST_CALLS], STAGES) is not None


def test_what_is_slow_all_over_has_no_bottleneck() -> None:
    spread = tuple(StageExcess(name, 1.0, 1 / len(STAGES), 0.0, 0.2, 1.0) for name in STAGES)
    found = Attribution(100, 1.0, 1.0, 1.0, spread)
    assert "slow all over" in advise(found, ABOUT, LIMITS)


@pytest.mark.parametrize(
    ("about", "sentence"),
    [
        (
            {"model_full": 0.3},
            "Raise `admission.model_limit` from 64 to 100: it was reached in 30.0% of the time.",
        ),
        ({"provider_full": 0.2}, "Raise `admission.provider_limit` from 96 to 100"),
        ({"model_full": 0.3, "throttled": 0.02}, "glm itself is the limit: it refuses 2.0%"),
        ({"model_full": 0.01}, "short rushes: `admission.model_limit` (64) was reached in 1.0%"),
    ],
)
def test_waiting_for_a_provider_says_which_limit_to_change(about: dict[str, float], sentence: str) -> None:
    circumstances = Circumstances(
        "glm",
        "glm-5.3",
        peak_per_s=20.0,
        holding_s=4.0,
        throttled=about.get("throttled", 0.0),
        model_full=about.get("model_full", 0.0),
        provider_full=about.get("provider_full", 0.0),
    )
    assert sentence in RULES["provider_sem_wait_ms"](circumstances, LIMITS)


def test_every_stage_has_advice() -> None:
    assert set(RULES) == set(STAGES)
    assert "`admission.global_limit` from 256 to 257" in RULES["global_sem_wait_ms"](ABOUT, LIMITS)
    assert "no minute stands out" in RULES["processing_ms"](ABOUT, LIMITS)
