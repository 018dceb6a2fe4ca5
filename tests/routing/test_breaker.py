"""The breaker's states: when it opens, whom it lets through, and how it closes by itself."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

from exai import config, errors
from exai.errors import (
    AnswerBroken,
    CircuitOpen,
    ContentFiltered,
    ContextOverflow,
    DeadlineExceeded,
    ProviderDenied,
    ProviderFailed,
    ProviderFault,
    ProviderOverloaded,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnauthorized,
    ProviderUnconfigured,
    QuotaExhausted,
    ToolFault,
)
from exai.events.events import BreakerClosed, BreakerOpened, BreakerProbed, BreakerRefused, Event
from exai.routing.breaker import Attempt, Breaker, Breakers, State
from exai.routing.faults import FAULTS, Blame
from exai.runtime.clock import ManualClock

OK = None
FAILED = ProviderFailed("x")


def finish(attempt: Attempt, end: BaseException | None, work: Callable[[], None] = lambda: None) -> None:
    """Let a request end so."""
    with nullcontext() if end is None else pytest.raises(type(end)), attempt:
        work()
        if end is not None:
            raise end


class Bench:
    """One breaker on a clock that is moved by hand."""

    def __init__(self, dice: float = 0.0, **settings: Any) -> None:
        self.clock = ManualClock()
        self.events: list[Event] = []
        self.breaker = Breaker(
            "glm", "glm-5.3", config.Breaker(**settings), self.clock, self.events.append, lambda: dice
        )

    def request(self, end: BaseException | None = OK, seconds: float = 0.0) -> bool:
        """One request that ends so; whether it was let through."""
        try:
            attempt = self.breaker.attempt()
        except CircuitOpen:
            return False
        finish(attempt, end, lambda: self.clock.advance(seconds))
        return True

    def requests(self, *ends: BaseException | None) -> State:
        for end in ends:
            assert self.request(end)
        return self.breaker.state

    def said(self) -> list[str]:
        return [type(event).__name__ for event in self.events]


def opened(**settings: Any) -> Bench:
    bench = Bench(**settings)
    assert bench.requests(*[FAILED] * 5) is State.OPEN
    bench.events.clear()
    return bench


def test_it_opens_at_five_failures_in_a_row() -> None:
    bench = Bench()
    assert bench.requests(*[FAILED] * 4) is State.CLOSED
    assert bench.requests(OK, *[FAILED] * 4) is State.CLOSED
    assert bench.requests(FAILED) is State.OPEN
    (event,) = bench.events
    assert isinstance(event, BreakerOpened)
    assert (event.provider, event.model, event.cause, event.seconds, event.again) == (
        "glm",
        "glm-5.3",
        "provider_failed",
        10.0,
        False,
    )


def test_it_opens_at_half_of_ten() -> None:
    bench = Bench()
    assert bench.requests(*[OK, FAILED] * 4, OK) is State.CLOSED
    assert bench.requests(FAILED) is State.OPEN


def test_less_than_ten_and_less_than_half_leave_it_closed() -> None:
    assert Bench().requests(*[FAILED, OK] * 4, FAILED) is State.CLOSED
    assert Bench().requests(*[OK, OK, FAILED] * 20) is State.CLOSED


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    bench = Bench()
    bench.requests(*[FAILED, OK] * 4)
    bench.clock.advance(61)
    assert bench.requests(*[FAILED, OK] * 4) is State.CLOSED
    bench.clock.advance(25)
    assert bench.requests(OK, FAILED) is State.OPEN


@pytest.mark.parametrize(
    "end",
    [
        asyncio.CancelledError(),
        ProviderRefused("x"),
        ContextOverflow("x"),
        ContentFiltered("x"),
        ProviderDenied("x"),
        ProviderThrottled("x"),
        ProviderUnconfigured("x"),
        errors.AnswerEmpty("x"),
        errors.AbilityMissing("x"),
        errors.Overloaded("x"),
        errors.Stopping("x"),
        DeadlineExceeded("x"),
        DeadlineExceeded("x", unanswered_s=5.0),
        RuntimeError("a bug of ours"),
    ],
    ids=lambda end: type(end).__name__,
)
def test_what_is_not_the_providers_doing_counts_neither_way(end: BaseException) -> None:
    bench = Bench()
    assert bench.requests(*[end] * 50) is State.CLOSED
    bench.requests(*[FAILED] * 4, end, FAILED)
    assert state_of(bench) is State.OPEN, "it is no success either"


@pytest.mark.parametrize("kind", [kind for kind, row in FAULTS.items() if row.blames is Blame.PROVIDER])
def test_every_failure_of_the_provider_counts(kind: type[ToolFault]) -> None:
    assert Bench().requests(*[kind("x") for _ in range(5)]) is State.OPEN


def test_a_long_silence_that_only_the_calls_own_end_cut_short_counts() -> None:
    assert Bench().requests(*[DeadlineExceeded("x", unanswered_s=30.0)] * 5) is State.OPEN


def test_slow_answers_count_where_a_limit_is_set() -> None:
    bench = Bench()
    for _ in range(20):
        bench.request(OK, seconds=600)
    assert state_of(bench) is State.CLOSED
    bench = Bench(slow_call_s=5)
    for _ in range(5):
        bench.request(OK, seconds=5.1)
    assert bench.breaker.cause == "slow_call"


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        (ProviderUnauthorized("x"), 60),
        (QuotaExhausted("x"), 60),
        (QuotaExhausted("x", retry_after_s=600), 600),
        (QuotaExhausted("x", retry_after_s=86_400), 3_600),
        (QuotaExhausted("x", retry_after_s=0), 10),
    ],
)
def test_a_refused_account_opens_it_at_once_until_its_reset(end: ProviderFault, seconds: float) -> None:
    bench = Bench()
    assert bench.requests(end) is State.OPEN
    assert bench.breaker.retry_after_s == seconds
    with pytest.raises(CircuitOpen, match=end.code) as refused:
        bench.breaker.refuse_if_open()
    assert refused.value.retry_after_s == seconds


def test_a_reset_far_away_is_given_beside_the_next_probe() -> None:
    bench = Bench()
    bench.request(QuotaExhausted("x", retry_after_s=5 * 3600))
    with pytest.raises(CircuitOpen, match=r"used up for 5 h yet.*In 60 min a request"):
        bench.breaker.refuse_if_open()


def test_while_open_nobody_passes_and_the_refusal_says_when() -> None:
    bench = opened()
    bench.clock.advance(4)
    with pytest.raises(CircuitOpen, match=r"glm-5\.3 is not asked.*provider_failed.*In 6 s") as refused:
        bench.breaker.attempt()
    assert (refused.value.retry_after_s, refused.value.retryable, refused.value.code) == (
        6.0,
        True,
        "circuit_open",
    )
    assert bench.said() == ["BreakerRefused"]


def state_of(bench: Bench) -> State:
    return bench.breaker.state


def test_one_probe_at_a_time_and_its_answer_closes() -> None:
    bench = opened()
    bench.clock.advance(10)
    bench.breaker.refuse_if_open()
    with bench.breaker.attempt() as probe:
        assert probe.probes
        assert state_of(bench) is State.HALF_OPEN
        assert not bench.request()
        with pytest.raises(CircuitOpen):
            bench.breaker.refuse_if_open()
    assert state_of(bench) is State.CLOSED
    assert bench.said() == ["BreakerProbed", "BreakerRefused", "BreakerRefused", "BreakerClosed"]
    assert bench.requests(*[FAILED] * 4) is State.CLOSED, "what was counted before is forgotten"


def test_a_probe_is_over_with_its_first_word() -> None:
    bench = opened()
    bench.clock.advance(10)
    with pytest.raises(AnswerBroken), bench.breaker.attempt() as probe:
        probe.answer_started()
        assert state_of(bench) is State.CLOSED
        assert bench.request()
        raise AnswerBroken("x")
    assert state_of(bench) is State.CLOSED
    assert bench.requests(*[FAILED] * 4) is State.OPEN, "its own failure counts like any other"


def test_an_answer_that_starts_closes_no_closed_breaker() -> None:
    bench = Bench()
    with bench.breaker.attempt() as attempt:
        attempt.answer_started()
    assert bench.events == []


@pytest.mark.parametrize("end", [FAILED, QuotaExhausted("x")])
def test_a_probe_that_fails_opens_it_again(end: ProviderFault) -> None:
    bench = opened()
    bench.clock.advance(10)
    assert bench.request(end)
    assert state_of(bench) is State.OPEN
    assert bench.breaker.retry_after_s == (10 if end is FAILED else 60)
    assert bench.breaker.cause == end.code
    assert [event.again for event in bench.events if isinstance(event, BreakerOpened)] == [True]


def test_a_probe_without_a_verdict_leaves_the_turn_to_the_next_interval() -> None:
    bench = opened()
    bench.clock.advance(10)
    assert bench.request(asyncio.CancelledError())
    assert not bench.request()
    bench.clock.advance(10)
    assert bench.request(ProviderThrottled("x", retry_after_s=25.0))
    assert bench.breaker.retry_after_s == 25.0
    assert bench.breaker.cause == "provider_failed"
    bench.clock.advance(25)
    assert bench.requests(ProviderRefused("the request was at fault")) is State.CLOSED


def test_a_request_from_before_the_change_counts_for_nothing_after_it() -> None:
    bench = Bench()
    late = [bench.breaker.attempt() for _ in range(3)]
    bench.requests(*[FAILED] * 5)
    with late[0]:
        pass
    assert state_of(bench) is State.OPEN
    bench.clock.advance(10)
    with bench.breaker.attempt():
        with pytest.raises(ProviderFailed), late[1]:
            raise FAILED
        assert state_of(bench) is State.HALF_OPEN
    assert state_of(bench) is State.CLOSED
    with pytest.raises(ProviderUnauthorized), late[2]:
        raise ProviderUnauthorized("x")
    assert state_of(bench) is State.CLOSED


def test_chance_only_makes_it_longer() -> None:
    bench = Bench(dice=1.0)
    bench.requests(*[FAILED] * 5)
    assert bench.breaker.retry_after_s == pytest.approx(11.0)
    bench = Bench(dice=1.0)
    bench.request(QuotaExhausted("x", retry_after_s=3_000))
    assert bench.breaker.retry_after_s == pytest.approx(3_003.0)


def test_while_it_is_down_a_model_sees_one_probe_per_interval() -> None:
    bench = Bench()
    sent = 0
    for _ in range(100 * 60):  # a hundred calls a second for a minute
        sent += bench.request(FAILED)
        bench.clock.advance(0.01)
    assert sent <= 5 + 6


def test_the_breakers_of_two_models_know_nothing_of_each_other() -> None:
    events: list[Event] = []
    breakers = Breakers(config.Breaker(), ManualClock(), events.append)
    assert breakers.find("glm", "glm-5.3") is None
    for _ in range(5):
        with pytest.raises(ProviderOverloaded), breakers.of("glm", "glm-5.3").attempt():
            raise ProviderOverloaded("x")
    assert not breakers.available("glm", "glm-5.3")
    for other in (("glm", "glm-5.2"), ("kimi", "glm-5.3")):
        assert breakers.available(*other)
        breakers.of(*other).refuse_if_open()
    assert Counter(breaker.state for breaker in breakers) == {State.OPEN: 1, State.CLOSED: 2}
    assert len(events) == 1


# ---- any sequence of requests ----

ENDS: list[tuple[BaseException | None, str]] = [
    (OK, "success"),
    (FAILED, "failure"),
    (ProviderOverloaded("x"), "failure"),
    (ProviderThrottled("x"), "nothing"),
    (ProviderRefused("x"), "answered"),
    (asyncio.CancelledError(), "nothing"),
    (QuotaExhausted("x", retry_after_s=45.0), "refusal"),
]


@dataclass
class Reference:
    """The rules of the breaker, told by whole lists instead of counters."""

    state: State = State.CLOSED
    probe_at: float = 0.0
    in_a_row: int = 0
    counted: list[tuple[float, bool]] = field(default_factory=list)

    def lets_through(self, now: float) -> bool:
        return self.state is State.CLOSED or (self.state is State.OPEN and now >= self.probe_at)

    def ends(self, what: str, now: float, *, probes: bool) -> None:
        if what == "refusal":
            self.state, self.probe_at = State.OPEN, now + 45.0
        elif probes:
            closes = what in {"success", "answered"}
            self.state = State.CLOSED if closes else State.OPEN
            self.probe_at = now + 10.0
            self.in_a_row, self.counted = 0, []
        elif what in {"success", "failure"}:
            self.counted.append((now, what == "failure"))
            if what == "success":
                self.in_a_row = 0
                return
            self.in_a_row += 1
            recent = [failed for at, failed in self.counted if int(at / 10) > int(now / 10) - 6]
            if self.in_a_row >= 5 or (len(recent) >= 10 and sum(recent) * 2 >= len(recent)):
                self.state, self.probe_at = State.OPEN, now + 10.0
        if self.state is State.OPEN:
            self.in_a_row, self.counted = 0, []


@pytest.mark.parametrize("seed", range(300))
def test_any_sequence_of_requests_follows_the_rules(seed: int) -> None:
    dice = random.Random(seed)
    bench, reference = Bench(), Reference()
    weights = [dice.random() for _ in ENDS]
    running: list[tuple[Any, int]] = []
    epoch = 0
    for _ in range(400):
        bench.clock.advance(dice.choice((0.0, 0.5, 3.0, 12.0)))
        now = bench.clock.monotonic()
        if running and dice.random() < 0.5:
            attempt, began_in = running.pop(dice.randrange(len(running)))
            end, what = dice.choices(ENDS, weights)[0]
            before = reference.state
            finish(attempt, end)
            if began_in == epoch:
                reference.ends(what, now, probes=before is State.HALF_OPEN)
                epoch += reference.state is not before
        else:
            through = reference.lets_through(now)
            assert bench.breaker.available is through
            if not through:
                with pytest.raises(CircuitOpen) as refused:
                    bench.breaker.attempt()
                assert (refused.value.retry_after_s or 0) > 0
            else:
                attempt = bench.breaker.attempt()
                if reference.state is State.OPEN:
                    reference.state = State.HALF_OPEN
                    epoch += 1
                assert attempt.probes is (reference.state is State.HALF_OPEN)
                running.append((attempt, epoch))
        assert state_of(bench) is reference.state
        assert sum(attempt.probes and began_in == epoch for attempt, began_in in running) <= 1
    kinds = Counter(type(event) for event in bench.events)
    assert kinds[BreakerProbed] >= kinds[BreakerClosed]
    assert kinds.keys() <= {BreakerOpened, BreakerProbed, BreakerClosed, BreakerRefused}
