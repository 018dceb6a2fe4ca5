"""The spans of a call: they are what its stages are computed from."""

from collections import Counter
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from exai.dispatch.span_choice import SpanChoice
from exai.events.requests import Purpose
from exai.routing.ledger import LATENCY, Ledger, Stage
from exai.routing.timeline import Span, spans_of
from exai.runtime.clock import ManualClock

LENGTH = 60
"""Of the calls of these tests, in seconds; everything happens at whole ones."""

stretches = st.lists(
    st.tuples(st.integers(0, LENGTH), st.integers(0, 20), st.sampled_from(Stage)).map(
        lambda drawn: (drawn[0], min(drawn[0] + drawn[1], LENGTH), drawn[2])
    ),
    max_size=8,
)


def second_by_second(spans: list[Span]) -> Counter[str]:
    """Milliseconds by stage, each moment for the stage that ranks first of those under way."""
    spent: Counter[str] = Counter()
    for second in range(LENGTH):
        under_way = {
            span.stage
            for span in spans
            if span.began_ms <= second * 1000 and span.ended_ms >= second * 1000 + 1000
        }
        first = next((stage.value for stage in Stage if stage.value in under_way), "processing_ms")
        spent[first] += 1000
    return spent


@given(requests=st.lists(stretches, max_size=4), of_call=stretches)
def test_stages_are_the_union_of_spans_and_those_of_one_request_never_overlap(
    requests: list[list[tuple[int, int, Stage]]], of_call: list[tuple[int, int, Stage]]
) -> None:
    ledger = Ledger(ManualClock())
    for began, ended, stage in of_call:
        ledger.spend(stage, began, ended)
    for drawn in requests:
        entry = ledger.open(Purpose.CHAT, "p", "m")
        for began, ended, stage in drawn:
            entry.spend(stage, began, ended)
    spans = spans_of(ledger, 0.0)
    for number in range(1, len(requests) + 1):
        own = [span for span in spans if span.request == number]
        assert all(one.ended_ms <= other.began_ms for one, other in pairwise(own))
    timings = ledger.timings(0.0, LENGTH)
    assert timings.pop(LATENCY) == LENGTH * 1000
    assert {stage: ms for stage, ms in timings.items() if ms} == dict(second_by_second(spans))


def test_spans_say_which_attempt_of_which_model_they_are_of() -> None:
    ledger = Ledger(ManualClock())
    entry = ledger.open(Purpose.CHAT, "glm", "glm-5.3")
    entry.spend(Stage.FAILED_REQUESTS, 0.0, 1.0)
    entry.spend(Stage.BACKOFF, 1.0, 3.0)
    entry.spend(Stage.FIRST_TOKEN, 3.0, 4.0)
    spans = spans_of(ledger, -1.0)
    assert spans == [
        Span(1, "failed_requests_ms", 1000.0, 2000.0, 1, "glm/glm-5.3"),
        Span(1, "backoff_ms", 2000.0, 4000.0, 1, "glm/glm-5.3"),
        Span(1, "first_token_ms", 4000.0, 5000.0, 2, "glm/glm-5.3"),
    ]
    assert msgspec.json.decode(msgspec.json.encode(spans), type=list[Span]) == spans


def test_failed_and_slow_calls_and_a_share_of_all_are_chosen() -> None:
    choice = SpanChoice()
    latencies = [100 + (number * 37) % 100 for number in range(4_000)]
    kept = sum(choice.keeps("m", latency, failed=False) for latency in latencies)
    assert 200 <= kept <= 600
    assert choice.keeps("m", 1.0, failed=True)
    assert choice.keeps("m", 1_000.0, failed=False)
    assert choice.keeps("another", 1.0, failed=False)
    choice.keeps_all = True
    assert all(choice.keeps("m", 1.0, failed=False) for _ in range(100))
