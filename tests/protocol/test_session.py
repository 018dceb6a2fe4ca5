"""Resumable delivery without I/O: as conversations, by its table, and over a thousand seeded schedules."""

import json
import re

import pytest
from benchmarks.simulate import Simulation

from exai.protocol import session
from exai.protocol.session import (
    TRANSITIONS,
    Ack,
    Bounds,
    Endpoint,
    Frame,
    Item,
    Open,
    State,
    Violation,
    read_frame,
    write_frame,
)

BOUNDS = Bounds(messages=5, bytes=1_000, age_s=60, credit=3)


def attached(bounds: Bounds = BOUNDS, *, peer_received: int = 0, credit: int = 100) -> Endpoint:
    one = Endpoint(bounds)
    one.attach(peer_received=peer_received, peer_credit=credit)
    return one


def item(number: int, ack: int = 0, text: str = "{}") -> Item:
    frame = read_frame(f'{{"t":"m","s":{number},"a":{ack},"m":{text}}}')
    assert isinstance(frame, Item)
    return frame


def frames(texts: list[str]) -> list[tuple[int, int, object]]:
    """Number, acknowledgement and message of each."""
    parsed = [json.loads(text) for text in texts]
    return [(each["s"], each["a"], each["m"]) for each in parsed]


def test_a_message_is_numbered_and_written_once() -> None:
    one = attached()
    one.send('"a"', 0)
    one.send('"b"', 0)
    assert frames(one.frames_to_send()) == [(1, 0, "a"), (2, 0, "b")]
    assert one.frames_to_send() == []


def test_what_is_kept_is_counted_in_bytes_and_not_in_characters() -> None:
    one = attached()
    for text in ('"a"', '"ä"', '"中"', '"🙂"'):
        one.send(text, 0)
    assert one.pending_bytes == 3 + 4 + 5 + 6
    assert [message for _, _, message in frames(one.frames_to_send())] == ["a", "ä", "中", "🙂"]


def test_two_equal_messages_are_two_messages() -> None:
    one = attached()
    assert one.receive(item(1, text='"again"'), 1) == b'"again"'
    assert one.receive(item(2, text='"again"'), 1) == b'"again"'


def test_after_a_cut_only_what_was_not_received_is_sent_again() -> None:
    one = attached()
    for text in '"a"', '"b"', '"c"':
        one.send(text, 0)
    one.frames_to_send()
    assert one.cut(1)
    one.send('"d"', 0)
    assert one.frames_to_send() == []
    assert one.attach(peer_received=2, peer_credit=100) == 2
    assert frames(one.frames_to_send()) == [(3, 0, "c"), (4, 0, "d")]


def test_an_acknowledgement_means_processed_and_not_received() -> None:
    one = attached()
    one.receive(item(1), 1)
    one.receive(item(2), 1)
    assert one.ack_to_send() == []
    one.mark_processed()
    assert one.ack_to_send() == ['{"t":"a","a":1}']
    assert one.ack_to_send() == []
    one.mark_processed()
    one.send('"x"', 0)
    assert frames(one.frames_to_send()) == [(1, 2, "x")]
    assert one.ack_to_send() == []


def test_a_message_in_progress_during_a_cut_is_not_sent_again() -> None:
    one = attached()
    one.receive(item(1), 1)
    one.cut(1)
    assert one.last_received == 1
    one.attach(peer_received=0, peer_credit=100)
    one.mark_processed()
    assert one.ack_to_send() == []


def test_the_peers_credit_is_not_exceeded() -> None:
    one = attached(credit=2)
    for text in '"a"', '"b"', '"c"', '"d"':
        one.send(text, 0)
    assert [number for number, _, _ in frames(one.frames_to_send())] == [1, 2]
    one.receive(Ack(1), 1)
    assert [number for number, _, _ in frames(one.frames_to_send())] == [3]
    one.receive(Ack(3), 1)
    assert [number for number, _, _ in frames(one.frames_to_send())] == [4]


def test_exceeding_our_credit_is_a_violation() -> None:
    one = attached()
    for number in 1, 2, 3:
        one.receive(item(number), 1)
    with pytest.raises(Violation, match="without an acknowledgement"):
        one.receive(item(4), 1)


@pytest.mark.parametrize("frame", [Ack(1), item(1, ack=7)])
def test_an_acknowledgement_from_the_future_is_a_violation(frame: Item | Ack) -> None:
    with pytest.raises(Violation, match="never sent"):
        attached().receive(frame, 1)


def test_a_resumption_from_the_future_is_a_violation() -> None:
    with pytest.raises(Violation, match="never sent"):
        Endpoint(BOUNDS).attach(peer_received=1, peer_credit=1)


def test_a_duplicate_is_dropped_and_counted() -> None:
    one = attached()
    one.receive(item(1), 1)
    assert one.receive(item(1), 1) is None
    assert one.duplicates == 1


def test_a_hole_in_the_numbers_is_a_violation() -> None:
    with pytest.raises(Violation, match="1 was due"):
        attached().receive(item(2), 1)


def test_a_newer_socket_fences_the_older_one() -> None:
    one = attached()
    assert one.attach(peer_received=0, peer_credit=100) == 2
    with pytest.raises(Violation, match="Another socket"):
        one.receive(item(1), 1)
    assert one.receive(item(1), 2) is not None
    assert not one.cut(1)
    assert one.state is State.ATTACHED


@pytest.mark.parametrize(
    ("bounds", "now"),
    [(Bounds(2, 1_000, 60, 3), 0), (Bounds(9, 6, 60, 3), 0), (Bounds(9, 1_000, 60, 3), 61)],
    ids=["messages", "bytes", "age"],
)
def test_bounds_evict_the_oldest_and_the_gap_is_reported(bounds: Bounds, now: float) -> None:
    one = Endpoint(bounds)
    one.attach(peer_received=0, peer_credit=100)
    one.send('"a"', 0)
    one.send('"b"', now)
    one.send('"c"', now)
    one.cut(1)
    assert one.is_over_bounds(now)
    assert one.evict(now) == 1
    assert not one.is_over_bounds(now)
    assert one.oldest == 2
    one.attach(peer_received=0, peer_credit=100)
    assert [number for number, _, _ in frames(one.frames_to_send())] == [2, 3]
    other = attached()
    other.skip_to(2)
    assert other.receive(item(2), 1) is not None


def test_the_theory_shows_the_transitions() -> None:
    shown = re.findall(r"^    ([A-Z]+) +(\w+) +([A-Z]+)  ", session.__doc__ or "", re.MULTILINE)
    assert shown
    assert sorted(shown) == sorted(
        (state.name, event, following.name)
        for state, row in TRANSITIONS.items()
        for event, following in row.items()
    )


def test_every_state_has_a_row_and_other_events_are_refused() -> None:
    assert set(TRANSITIONS) == set(State)
    one = attached()
    one.end()
    for step in (one.end, lambda: one.attach(peer_received=0, peer_credit=1)):
        with pytest.raises(Violation, match="ended cannot"):
            step()
    assert one.frames_to_send() == []
    with pytest.raises(Violation):
        one.receive(item(1), 1)


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
def test_an_unreadable_frame_is_a_violation(text: str) -> None:
    with pytest.raises(Violation):
        read_frame(text)


@pytest.mark.parametrize("frame", [Open(5), Ack(3), item(1, 2, '{"a":[1]}')])
def test_frames_are_read_as_they_are_written(frame: Frame) -> None:
    assert read_frame(write_frame(frame)) == frame


@pytest.mark.parametrize("block", range(10))
def test_no_schedule_of_cuts_loses_duplicates_or_reorders(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        Simulation(seed).run()
