"""Watchers are called with the kinds they asked for, in order, and fail alone."""

from exai.callers import Caller, Door
from exai.events.bus import EventBus
from exai.events.events import ConnectionClosed, ConnectionOpened, Event, SessionOpened

CALLER = Caller.local(Door.STDIO)
OPENED = ConnectionOpened(Door.STDIO, CALLER)
CLOSED = ConnectionClosed(Door.STDIO, CALLER, "client")
BEGUN = SessionOpened(CALLER)


def test_a_watcher_is_called_with_the_kinds_it_asked_for_and_with_no_other() -> None:
    bus, seen = EventBus(), list[ConnectionOpened | ConnectionClosed]()
    bus.watch(seen.append, ConnectionOpened)
    bus.watch(seen.append, ConnectionClosed)
    for event in (OPENED, BEGUN, CLOSED):
        bus.publish(event)
    assert seen == [OPENED, CLOSED]


def test_the_base_class_is_every_kind() -> None:
    bus, seen = EventBus(), list[Event]()
    bus.watch(seen.append, Event)
    for event in (OPENED, BEGUN):
        bus.publish(event)
    assert seen == [OPENED, BEGUN]


def test_watchers_of_a_kind_are_called_in_the_order_in_which_they_subscribed() -> None:
    bus, calls = EventBus(), list[str]()
    bus.watch(lambda _: calls.append("first"), SessionOpened)
    bus.watch(lambda _: calls.append("second"), Event)
    bus.watch(lambda _: calls.append("third"), SessionOpened)
    bus.publish(BEGUN)
    assert calls == ["first", "second", "third"]


def test_a_watcher_that_comes_after_the_first_event_of_its_kind_is_called_with_the_next() -> None:
    bus, seen = EventBus(), list[Event]()
    bus.publish(OPENED)
    bus.watch(seen.append, ConnectionOpened)
    bus.publish(OPENED)
    assert seen == [OPENED]


def test_a_watcher_that_raises_keeps_no_event_from_the_others_or_from_its_publisher() -> None:
    def broken(_: Event) -> None:
        raise RuntimeError

    bus, seen = EventBus(), list[Event]()
    bus.watch(broken, Event)
    bus.watch(seen.append, Event)
    bus.publish(OPENED)
    assert seen == [OPENED]
