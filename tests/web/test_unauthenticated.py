"""Which connections make room when there are too many on which nobody was admitted."""

import resource
from typing import Any

import pytest

from exai.runtime.clock import ManualClock
from exai.web import unauthenticated as module
from exai.web.unauthenticated import (
    STATE_KEY,
    UnauthenticatedConnection,
    UnauthenticatedConnections,
    note_authenticated,
)


class Room:
    """UnauthenticatedConnections with names, and who was closed."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.connections = UnauthenticatedConnections(self.clock)
        self.closed: list[str] = []

    def add(self, name: str, descriptor: int = 3) -> UnauthenticatedConnection:
        return self.connections.add(descriptor, lambda: self.closed.append(name))


class Log:
    """What a log was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def warning(self, _: str, **values: Any) -> None:
        self.told.append(values)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(module, "_log", log)
    return log


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(module, "MOST", 3)
    return Room()


def test_who_was_answered_goes_first_and_else_who_waits_longest(room: Room) -> None:
    room.add("first")
    second, third = room.add("second"), room.add("third")
    third.note_answered()
    second.note_answered()
    room.add("fourth")
    assert room.closed == ["third"], "of the answered the one that was answered first"
    room.add("fifth")
    room.add("sixth")
    assert room.closed == ["third", "second", "first"]
    assert len(room.connections) == 3


def test_who_was_admitted_or_has_gone_counts_no_more_and_is_not_closed(room: Room) -> None:
    first, second = room.add("first"), room.add("second")
    note_authenticated({"state": {STATE_KEY: first}})
    second.note_answered()
    second.leave()
    second.leave()
    first.note_answered()
    for name in ("third", "fourth", "fifth"):
        room.add(name)
    assert room.closed == []
    note_authenticated({"type": "websocket"})


def test_it_is_half_of_few_descriptors_and_the_last_ones_are_kept_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    room = Room()
    for number in range(33):
        room.add(str(number))
    assert room.closed == ["0"]
    few = Room()
    few.add("one", descriptor=47)
    few.add("two", descriptor=48)
    assert few.closed == ["one"]


def test_that_connections_are_closed_is_logged_once_a_minute(room: Room, log: Log) -> None:
    for number in range(10):
        room.add(str(number))
    room.clock.advance(61)
    room.add("last")
    assert [line["closed"] for line in log.told] == [1, 7]


def test_that_descriptors_run_out_is_logged_also_when_nobody_could_be_closed(
    monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 64))
    Room().add("one", descriptor=60)
    assert [(line["descriptor"], line["limit"], line["closed"]) for line in log.told] == [(60, 64, 0)]
