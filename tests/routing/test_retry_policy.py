"""What is asked again, how long is waited, and how few retries a provider in trouble gets."""

import random
from typing import Any

import pytest

from exai import config
from exai.errors import ProviderFault, ProviderOverloaded, ProviderThrottled, ProviderUnreachable
from exai.routing.faults import FAULTS, RetryKind
from exai.routing.retry import Decision, NoRetry, RetryPolicy
from exai.runtime.clock import ManualClock

LASTING = [kind for kind, row in FAULTS.items() if row.retry is None and issubclass(kind, ProviderFault)]


def policy(clock: ManualClock | None = None, dice: float = 1.0, **settings: Any) -> RetryPolicy:
    return RetryPolicy(config.Retry(**settings), clock or ManualClock(), lambda: dice)


def decided(
    fault: ProviderFault, retries: int = 0, *, left_s: float = 900, dice: float = 1.0, **more: Any
) -> Decision:
    settings = {name: more.pop(name) for name in list(more) if name in config.Retry.model_fields}
    return policy(dice=dice, **settings).decide(fault, provider="glm", retries=retries, left_s=left_s, **more)


@pytest.mark.parametrize("kind", sorted(LASTING, key=repr))
def test_what_does_not_pass_is_never_asked_again(kind: type[ProviderFault]) -> None:
    assert decided(kind("no")) == Decision(None)


@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        (ProviderThrottled("x"), [1.0, 2.0, 4.0, None]),
        (ProviderOverloaded("x"), [2.0, 4.0, 8.0, None]),
        (ProviderUnreachable("x"), [0.25, 0.5, None]),
    ],
)
def test_the_longest_wait_doubles_and_the_number_is_bounded(
    fault: ProviderFault, waits: list[float | None]
) -> None:
    for retries, wait_s in enumerate(waits):
        decision = decided(fault, retries)
        assert decision.kind is FAULTS[type(fault)].retry
        if wait_s is None:
            assert decision.no_retry is NoRetry.SPENT
        else:
            assert (decision.wait_s, decision.no_retry) == (wait_s, None)


def test_jitter_is_full() -> None:
    assert decided(ProviderOverloaded("x"), 2, dice=0.0).wait_s == 0.0
    assert decided(ProviderOverloaded("x"), 2, dice=0.5).wait_s == 4.0


def test_no_wait_of_ours_exceeds_its_bound() -> None:
    assert decided(ProviderThrottled("x"), 9, max_retries=10, max_backoff_s=30).wait_s == 30.0


def test_a_providers_own_wait_is_a_floor_that_the_jitter_comes_on_top_of() -> None:
    fault = ProviderThrottled("x", retry_after_s=7.0)
    assert decided(fault, dice=0.0).wait_s == 7.0
    assert decided(fault, 1, dice=0.5).wait_s == 8.0


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"max_retry_after_s": 6}, NoRetry.LONG_WAIT),
        ({"patience_s": 6.0}, NoRetry.LONG_WAIT),
        ({"left_s": 8.0}, NoRetry.DEADLINE),
        ({"is_breaker_open": True}, NoRetry.BREAKER),
        ({"max_retries": 0}, NoRetry.SPENT),
        ({"budget_reserve": 0}, NoRetry.BUDGET),
    ],
)
def test_a_wait_that_helps_nobody_is_not_waited(more: dict[str, Any], reason: NoRetry) -> None:
    fault = ProviderThrottled("x", retry_after_s=7.0)
    assert decided(fault).no_retry is None
    assert decided(fault, **more) == Decision(RetryKind.THROTTLE, no_retry=reason)


def test_patience_also_bounds_our_own_waits() -> None:
    assert decided(ProviderOverloaded("x"), 2, patience_s=5.0).wait_s == 5.0


def test_a_retry_that_is_not_made_costs_the_budget_nothing() -> None:
    asked = policy(budget_reserve=1, budget_share=0)
    fault = ProviderThrottled("x", retry_after_s=1e6)
    for _ in range(5):
        asked.decide(fault, provider="glm", retries=0, left_s=900)
    assert asked.budget("glm").take()
    assert not asked.budget("glm").take()
    assert asked.budget("kimi").take(), "each provider has its own"


def test_a_quiet_minute_fills_the_budget_and_never_beyond_its_reserve() -> None:
    clock = ManualClock()
    budget = policy(clock, budget_reserve=6, budget_share=0).budget("glm")
    assert [budget.take() for _ in range(7)] == [True] * 6 + [False]
    clock.advance(10)
    assert [budget.take() for _ in range(2)] == [True, False]
    clock.advance(3600)
    assert [budget.take() for _ in range(7)] == [True] * 6 + [False]


@pytest.mark.parametrize("calls_per_s", [5, 50, 500])
@pytest.mark.parametrize("fault", [ProviderOverloaded("x"), ProviderThrottled("x"), ProviderUnreachable("x")])
def test_a_total_outage_is_amplified_by_less_than_a_fifth(calls_per_s: int, fault: ProviderFault) -> None:
    """Without any breaker: the budget alone keeps the promise."""
    clock = ManualClock()
    asked = RetryPolicy(config.Retry(), clock, random.Random(7).random)
    calls, requests = 60 * calls_per_s, 0
    for _ in range(calls):
        asked.budget("glm").note_first_request()
        retries = 0
        while True:
            requests += 1
            if asked.decide(fault, provider="glm", retries=retries, left_s=900).no_retry is not None:
                break
            retries += 1
        clock.advance(1 / calls_per_s)
    assert calls < requests <= 1.2 * calls


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (ProviderThrottled("x"), "throttle_backoff_s"),
        (ProviderOverloaded("x"), "overload_backoff_s"),
        (ProviderUnreachable("x"), "transport_backoff_s"),
    ],
)
def test_the_first_wait_of_each_kind_is_its_setting_and_no_others(fault: ProviderFault, name: str) -> None:
    names = ("throttle_backoff_s", "overload_backoff_s", "transport_backoff_s")
    waits = dict.fromkeys(names, 20.0) | {name: 3.0}
    assert [decided(fault, retries, **waits).wait_s for retries in (0, 1)] == [3.0, 6.0]
    assert decided(fault, 1, **waits, max_backoff_s=4.0).wait_s == 4.0
