"""The ledger: an entry per request, branches and turns, and stages that add up to the call's latency."""

import asyncio
import gc
from contextlib import nullcontext
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.costs import Cost, Usage
from exai.errors import ProviderFailed
from exai.events.requests import Purpose
from exai.routing.ledger import Entry, Ledger, Stage, Tried
from exai.runtime.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall=1_000.0)


@pytest.fixture
def ledger(clock: ManualClock) -> Ledger:
    return Ledger(clock)


def chat(ledger: Ledger, model: str = "m") -> Entry:
    return ledger.open(Purpose.CHAT, "p", model)


def test_an_entry_ends_as_its_scope_does(ledger: Ledger, clock: ManualClock) -> None:
    ends = []
    for error in (None, ProviderFailed("x"), asyncio.CancelledError(), KeyError("x")):
        entry = chat(ledger)
        with nullcontext() if error is None else pytest.raises(type(error)), entry:
            clock.advance(1)
            if error is not None:
                raise error
        ends.append(entry.outcome)
        assert entry.ended == clock.monotonic()
    assert ends == ["ok", "provider_failed", "cancelled", "internal_error"]


def test_a_record_has_all_of_an_entry_in_calendar_time(ledger: Ledger, clock: ManualClock) -> None:
    clock.advance(2)
    with chat(ledger) as entry:
        entry.attempts = 2
        entry.bill.add(Cost({"input": 0.5}), Usage(input=10, output=5))
        entry.spend(Stage.FIRST_TOKEN, 2.0, 3.25)
        clock.advance(1.5)
    clock.advance(100)
    (record,) = ledger.records()
    assert (record.number, record.purpose, record.provider, record.model) == (1, "chat", "p", "m")
    assert (record.attempts, record.outcome, record.cost_usd) == (2, "ok", 0.5)
    assert (record.usage, record.timings) == (Usage(input=10, output=5), {"first_token_ms": 1250.0})
    assert (record.began_at, record.ended_at) == (1_002.0, 1_003.5)


def test_what_is_still_open_when_the_call_ends_was_cancelled(ledger: Ledger, clock: ManualClock) -> None:
    chat(ledger)
    clock.advance(1)
    (record,) = ledger.records()
    assert (record.outcome, record.ended_at - record.began_at) == ("cancelled", 1.0)


def test_a_branch_has_its_own_requests_and_the_call_has_all(ledger: Ledger) -> None:
    one, other = ledger.branch(), ledger.branch()
    for branch, usd in ((one, 1.0), (other, 2.0), (one, 4.0)):
        chat(branch).bill.add(Cost({"input": usd}), Usage(input=1))
    assert [entry.number for entry in one.entries] == [1, 3]
    assert [each.bill.cost.usd for each in (one, other, ledger)] == [5.0, 2.0, 7.0]
    assert ledger.bill.usage == Usage(input=3)


def test_interleaved_requests_stay_with_their_turns(ledger: Ledger) -> None:
    first, second = ledger.turn("p", "a"), ledger.turn("p", "b")
    for turn, attempts in ((first, 1), (second, 2), (first, 3)):
        with turn.open(Purpose.CHAT, "p", "x") as entry:
            entry.attempts = attempts
    first.fail("tool_loop_exceeded")
    assert ledger.tried == (Tried("a", "p", "tool_loop_exceeded", 4), Tried("b", "p", "ok", 2))


def test_a_turn_counts_neither_searches_nor_token_counts(ledger: Ledger) -> None:
    turn = ledger.turn("p", "a")
    assert turn.summary() == Tried("a", "p", "not_asked", 0, was_asked=False)
    for purpose in (Purpose.COUNT, Purpose.WEB_SEARCH):
        with turn.open(purpose, "p", "a") as entry:
            entry.attempts = 1
    assert turn.summary() == Tried("a", "p", "not_asked", 0, was_asked=False)
    assert len(ledger.entries) == 2


def test_a_question_outside_of_a_turn_is_one(ledger: Ledger) -> None:
    with chat(ledger.branch()):
        pass
    assert ledger.tried == (Tried("m", "p", "ok", 0),)


def test_stretches_of_one_request_cannot_overlap(ledger: Ledger, clock: ManualClock) -> None:
    entry = chat(ledger)
    entry.spend(Stage.PROVIDER_WAIT, 0.0, 2.0)
    entry.spend(Stage.FIRST_TOKEN, 1.0, 3.0)
    entry.spend(Stage.GENERATION, 0.0, 2.5)
    assert entry.stages == {Stage.PROVIDER_WAIT: 2.0, Stage.FIRST_TOKEN: 1.0}


def test_a_moment_of_parallel_requests_counts_once_for_what_ranks_first(ledger: Ledger) -> None:
    one, other = chat(ledger), chat(ledger)
    one.spend(Stage.FIRST_TOKEN, 0.0, 2.0)
    one.spend(Stage.GENERATION, 2.0, 6.0)
    other.spend(Stage.FIRST_TOKEN, 1.0, 5.0)
    other.spend(Stage.GENERATION, 5.0, 9.0)
    timings = ledger.timings(0.0, 10.0)
    assert timings == {
        "first_token_ms": 2_000.0,
        "generation_ms": 7_000.0,
        "processing_ms": 1_000.0,
        "latency_ms": 10_000.0,
    }


def test_a_search_of_a_tool_is_the_tools_time(ledger: Ledger, clock: ManualClock) -> None:
    with ledger.stage(Stage.TOOLS), ledger.open(Purpose.WEB_SEARCH, "p", "web-search") as entry:
        clock.advance(3)
        entry.spend(Stage.FIRST_TOKEN, 0.5, 2.5)
    assert ledger.timings(0.0, 3.0)["tools_ms"] == 3_000.0
    assert entry.stages == {Stage.FIRST_TOKEN: 2.0}


def test_what_is_outside_of_the_call_is_not_its_time(ledger: Ledger) -> None:
    ledger.spend(Stage.STORE, 0.0, 5.0)
    ledger.spend(Stage.BACKOFF, 8.0, 12.0)
    assert ledger.timings(2.0, 10.0) == {
        "store_ms": 3_000.0,
        "backoff_ms": 2_000.0,
        "processing_ms": 3_000.0,
        "latency_ms": 8_000.0,
    }


moments = st.integers(0, 40)
intervals = st.lists(st.tuples(moments, moments, st.sampled_from(list(Stage))), max_size=12)


@given(intervals)
def test_the_stages_always_add_up_and_none_exceeds_its_union(drawn: list[tuple[int, int, Stage]]) -> None:
    began, ended = 10, 30
    ledger = Ledger(ManualClock())
    busy: dict[Stage, set[int]] = {}
    for one, other, stage in drawn:
        start, end = sorted((one, other))
        ledger.spend(stage, start, end)
        busy.setdefault(stage, set()).update(range(max(start, began), min(end, ended)))
    timings = ledger.timings(began, ended)
    latency = timings.pop("latency_ms")
    assert latency == 20_000.0
    assert sum(timings.values()) == latency
    assert timings.pop("processing_ms") == (20 - len(set().union(*busy.values()))) * 1000
    taken: set[int] = set()
    for stage in Stage:
        mine = busy.get(stage, set()) - taken
        assert timings.pop(stage, 0.0) == len(mine) * 1000
        taken |= mine
    assert timings == {}


@given(st.lists(st.tuples(moments, moments, st.sampled_from(list(Stage))), max_size=8))
def test_the_stages_of_a_request_never_exceed_its_duration(drawn: list[tuple[int, int, Stage]]) -> None:
    ledger = Ledger(ManualClock())
    entry = chat(ledger)
    for one, other, stage in drawn:
        entry.spend(stage, *sorted((one, other)))
    assert sum(entry.stages.values()) <= 40
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(sorted(entry.intervals)))


def test_a_ledger_is_freed_without_the_garbage_collector(clock: ManualClock) -> None:
    def use() -> None:
        ledger = Ledger(clock)
        with ledger.branch().turn("p", "m").open(Purpose.CHAT, "p", "m") as entry, ledger.stage(Stage.STORE):
            entry.spend(Stage.GENERATION, 0.0, 1.0)
        assert ledger.tried

    use()
    gc.collect()
    gc.disable()
    try:
        use()
        assert gc.collect() == 0
    finally:
        gc.enable()
