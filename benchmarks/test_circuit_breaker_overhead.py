"""What a closed circuit breaker costs a request that goes well, against libraries that are well known."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pybreaker
import pytest
from purgatory import SyncCircuitBreakerFactory

from exai import config
from exai.routing.breaker import Breakers
from exai.runtime.clock import SystemClock


def _nothing() -> None:
    """What is guarded."""


def _bare() -> Callable[[], None]:
    def run() -> None:
        with nullcontext():
            _nothing()

    return run


def _ours() -> Callable[[], None]:
    breaker = Breakers(config.Breaker(), SystemClock(), lambda _: None).of("glm", "glm-5.3")

    def run() -> None:
        breaker.refuse_if_open()
        with breaker.attempt():
            _nothing()

    return run


def _check() -> Callable[[], None]:
    return Breakers(config.Breaker(), SystemClock(), lambda _: None).of("glm", "glm-5.3").refuse_if_open


def _pybreaker() -> Callable[[], None]:
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=10)

    def run() -> None:
        with breaker.calling():
            _nothing()

    return run


def _purgatory() -> Callable[[], None]:
    breaker = SyncCircuitBreakerFactory(default_threshold=5, default_ttl=10).get_breaker("glm")

    def run() -> None:
        with breaker:
            _nothing()

    return run


ARMS = {
    "no breaker (an empty scope)": _bare,
    "EXAI, the check alone": _check,
    "EXAI, check and request": _ours,
    "pybreaker": _pybreaker,
    "purgatory": _purgatory,
}


@pytest.mark.parametrize("arm", ARMS)
def test_closed_breaker(benchmark: Any, arm: str) -> None:
    benchmark.group = "breaker"
    benchmark.extra_info.update(arm=arm)
    benchmark(ARMS[arm]())
