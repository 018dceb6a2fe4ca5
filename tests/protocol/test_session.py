"""Resumable delivery without I/O: as conversations, by its table, and over a thousand seeded schedules."""

import json

import pytest
from benchmarks.simulate import Simulation

from exai.protocol.session import (
    TRANSITIONS,
    Ack,
    Bounds,
    End,
    Frame,
    Item,
    Open,
    State,
    Violation,
    read_frame,
    write_frame,
)

BOUNDS = Bounds(messages=5, bytes=1_000, age_s=60, credit=3)


def end(bounds: Bounds = BOUNDS, *, peer_heard: int = 0, credit: int = 100) -> End:
    one = End(bounds)
    one.attach(peer_heard=peer_heard, peer_credit=credit)
    return one


def item(number: int, ack: int = 0, text: str = "{}") -> Item:
    frame = read_frame(f'{{"t":"m","s":{number},"a":{ack},"m":{text}}}')
    assert isinstance(frame, Item)
    return frame


def frames(texts: list[str]) -> list[tuple[int, int, object]]:
    """Number, acknowledgement and message of each."""
    told = [json.loads(text) for text in texts]
    return [(each["s"], each["a"], each["m"]) for each in told]


def test_what_is_said_is_numbered_and_written_once() -> None:
    one = end()
    one.say('"a"', 0)
    one.say('"b"', 0)
    assert frames(one.due()) == [(1, 0, "a"), (2, 0, "b")]
    assert one.due() == []


def test_two_equal_messages_are_two_messages() -> None:
    one = end()
    assert one.hear(item(1, text='"again"'), 1) == b'"again"'
    assert one.hear(item(2, text='"again"'), 1) == b'"again"'


def test_after_a_cut_only_what_was_not_heard_is_said_again() -> None:
    one = end()
    for text in '"a"', '"b"', '"c"':
        one.say(text, 0)
    one.due()
    assert one.cut(1)
    one.say('"d"', 0)
    assert one.due() == []
    assert one.attach(peer_heard=2, peer_credit=100) == 2
    assert frames(one.due()) == [(3, 0, "c"), (4, 0, "d")]


def test_an_acknowledgement_says_what_was_processed_and_not_what_came_in() -> None:
    one = end()
    one.hear(item(1), 1)
    one.hear(item(2), 1)
    assert one.ack_due() == []
    one.done()
    assert one.ack_due() == ['{"t":"a","a":1}']
    assert one.ack_due() == []
    one.done()
    one.say('"x"', 0)
    assert frames(one.due()) == [(1, 2, "x")]
    assert one.ack_due() == []


def test_what_is_being_processed_while_the_socket_is_cut_does_not_come_again() -> None:
    one = end()
    one.hear(item(1), 1)
    one.cut(1)
    assert one.heard == 1
    one.attach(peer_heard=0, peer_credit=100)
    one.done()
    assert one.ack_due() == []


def test_the_other_ends_credit_is_not_exceeded() -> None:
    one = end(credit=2)
    for text in '"a"', '"b"', '"c"', '"d"':
        one.say(text, 0)
    assert [number for number, _, _ in frames(one.due())] == [1, 2]
    one.hear(Ack(1), 1)
    assert [number for number, _, _ in frames(one.due())] == [3]
    one.hear(Ack(3), 1)
    assert [number for number, _, _ in frames(one.due())] == [4]


def test_who_exceeds_our_credit_is_stopped() -> None:
    one = end()
    for number in 1, 2, 3:
        one.hear(item(number), 1)
    with pytest.raises(Violation, match="without an acknowledgement"):
        one.hear(item(4), 1)


@pytest.mark.parametrize("frame", [Ack(1), item(1, ack=7)])
def test_an_acknowledgement_from_the_future_is_a_violation(frame: Item | Ack) -> None:
    with pytest.raises(Violation, match="never sent"):
        end().hear(frame, 1)


def test_a_resumption_from_the_future_is_a_violation() -> None:
    with pytest.raises(Violation, match="never sent"):
        End(BOUNDS).attach(peer_heard=1, peer_credit=1)


def test_a_message_that_comes_again_is_dropped_and_counted() -> None:
    one = end()
    one.hear(item(1), 1)
    assert one.hear(item(1), 1) is None
    assert one.duplicates == 1


def test_a_hole_in_the_numbers_is_a_violation() -> None:
    with pytest.raises(Violation, match="1 was due"):
        end().hear(item(2), 1)


def test_a_newer_socket_fences_the_older_one() -> None:
    one = end()
    assert one.attach(peer_heard=0, peer_credit=100) == 2
    with pytest.raises(Violation, match="Another socket"):
        one.hear(item(1), 1)
    assert one.hear(item(1), 2) is not None
    assert not one.cut(1)
    assert one.state is State.ATTACHED


@pytest.mark.parametrize(
    ("bounds", "now"),
    [(Bounds(2, 1_000, 60, 3), 0), (Bounds(9, 6, 60, 3), 0), (Bounds(9, 1_000, 60, 3), 61)],
    ids=["messages", "bytes", "age"],
)
def test_bounds_give_up_the_oldest_and_the_gap_is_told(bounds: Bounds, now: float) -> None:
    one = End(bounds)
    one.attach(peer_heard=0, peer_credit=100)
    one.say('"a"', 0)
    one.say('"b"', now)
    one.say('"c"', now)
    one.cut(1)
    assert one.is_over_bounds(now)
    assert one.evict(now) == 1
    assert not one.is_over_bounds(now)
    assert one.oldest == 2
    one.attach(peer_heard=0, peer_credit=100)
    assert [number for number, _, _ in frames(one.due())] == [2, 3]
    other = end()
    other.skip_to(2)
    assert other.hear(item(2), 1) is not None


def test_every_state_has_a_row_and_what_has_none_is_refused() -> None:
    assert set(TRANSITIONS) == set(State)
    one = end()
    one.end()
    for step in (one.end, lambda: one.attach(peer_heard=0, peer_credit=1)):
        with pytest.raises(Violation, match="ended cannot"):
            step()
    assert one.due() == []
    with pytest.raises(Violation):
        one.hear(item(1), 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"t":"x"}',
        '{"t":"m","s":0,"a":0,"m":{}}',
        '{"t":"m","s":1,"a":-1,"m":{}}',
        '{"t":"m","s":1.5,"a":0,"m":{}}',
        '{"t":"m","s":1,"a":0}',
        '{"t":"m","s":1,"a":0,"m":{},"more":1}',
        '{"t":"a","a":99999999999999999999}',
        '{"t":"resume","session":"' + "x" * 300 + '","secret":"","last":0,"credit":1}',
        '{"t":"open","credit":"many"}',
        "[" * 100_000,
        '{"t":"m","s":1,"a":0,"m":' + "[" * 100_000,
    ],
)
def test_what_is_no_frame_is_a_violation(text: str) -> None:
    with pytest.raises(Violation):
        read_frame(text)


@pytest.mark.parametrize("frame", [Open(5), Ack(3), item(1, 2, '{"a":[1]}')])
def test_frames_are_read_as_they_are_written(frame: Frame) -> None:
    assert read_frame(write_frame(frame)) == frame


@pytest.mark.parametrize("block", range(10))
def test_no_schedule_of_cuts_loses_doubles_or_reorders(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        Simulation(seed).run()
