"""Noticing: one exception object is one occurrence, whoever sees it, and no text is formatted."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog
from typing_extensions import override

from exai.error_tracking.faults import MOST_EXCEPTIONS, MOST_FRAMES, Fault, FaultSource
from exai.error_tracking.noticing import FaultNotices, FaultSeen
from exai.error_tracking.sources import watch_sources
from exai.errors import BadArguments, Incident, ProviderThrottled, StartFault, StoreFailed
from exai.events.bus import EventBus
from exai.events.events import Event, IncidentRecorded, RequestRecovered
from exai.events.incidents import record_incident
from exai.runtime import tasks
from exai.runtime.clock import ManualClock
from support.tracked_faults import raised_in
from support.waiting import wait_until


class Watched:
    """A bus whose faults are listed."""

    def __init__(self) -> None:
        self.bus = EventBus()
        self.seen: list[FaultSeen] = []
        self.bus.watch(self.seen.append, FaultSeen)
        self.notices = FaultNotices(self.bus.publish, ManualClock(wall=1_000.0), release="1.0.0")

    @contextmanager
    def sources(self) -> Iterator[None]:
        with watch_sources(self.bus, self.notices):
            yield

    @property
    def faults(self) -> list[Fault]:
        """Of each occurrence the first sighting."""
        return [event.fault for event in self.seen if not event.again]


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_an_exception_is_noticed_with_its_chain_and_frames(watched: Watched) -> None:
    error = raised_in("not kept", StoreFailed)
    error.__cause__ = raised_in("x", KeyError)
    watched.notices.notice(error, FaultSource.CALL, tool="chat", provider="glm")
    (fault,) = watched.faults
    assert [each.type for each in fault.chain] == ["KeyError", "exai.errors.StoreFailed"]
    assert (fault.code, fault.fixable_by, fault.tool, fault.release) == (
        "store_failed",
        "operator",
        "chat",
        "1.0.0",
    )
    frame = fault.chain[0].frames[-1]
    assert frame.function == "raised_in"
    assert frame.file.endswith("tracked_faults.py")
    assert not frame.own


def test_an_object_seen_again_is_the_same_occurrence(watched: Watched) -> None:
    error = raised_in("x")
    first = watched.notices.notice(error, FaultSource.DOOR, incident_id="inc_1")
    incident = Incident("Something unforeseen")
    incident.__cause__ = error
    again = watched.notices.notice(incident, FaultSource.CALL, call_id="call_1")
    assert first == again
    assert [event.again for event in watched.seen] == [False, True]
    assert len({event.fault.occurrence_id for event in watched.seen}) == 1


def test_an_object_that_ends_a_further_call_is_a_further_occurrence(watched: Watched) -> None:
    error = raised_in("x")
    for call_id in ("call_1", "call_2"):
        watched.notices.notice(error, FaultSource.CALL, call_id=call_id)
    assert len({fault.occurrence_id for fault in watched.faults}) == 2


def test_an_error_with_a_sentence_more_is_the_same_occurrence(watched: Watched) -> None:
    fault = BadArguments("wrong")
    watched.notices.notice(fault, FaultSource.DOOR)
    watched.notices.notice(fault.adding("Try again."), FaultSource.CALL)
    assert len(watched.faults) == 1


def test_what_names_a_field_or_a_setting_is_grouped_by_it(watched: Watched) -> None:
    watched.notices.notice(BadArguments("Argument 'model': there is none"), FaultSource.CALL)
    watched.notices.notice(StartFault("The port of `server.port` is taken."), FaultSource.START)
    assert [fault.facts for fault in watched.faults] == [{"field": "model"}, {"setting": "server.port"}]


def test_long_chains_and_deep_stacks_are_bounded(watched: Watched) -> None:
    error: Exception = raised_in("0")
    for number in range(10):
        outer = raised_in(str(number))
        outer.__cause__ = error
        error = outer

    def down(depth: int) -> None:
        (down if depth % 2 else up)(depth - 1)

    def up(depth: int) -> None:
        if not depth:
            raise error
        (down if depth % 2 else up)(depth - 1)

    with pytest.raises(RuntimeError):
        down(600)
    watched.notices.notice(error, FaultSource.CALL)
    (fault,) = watched.faults
    assert len(fault.chain) == MOST_EXCEPTIONS
    assert len(fault.chain[-1].frames) <= MOST_FRAMES


def test_an_error_that_cannot_be_said_is_noticed(watched: Watched) -> None:
    class Unspeakable(Exception):
        @override
        def __str__(self) -> str:
            raise ValueError("no")

        @property
        def status(self) -> int:
            raise ValueError("no")

        @override
        def __eq__(self, other: object) -> bool:
            raise ValueError("no")

        __hash__ = None  # type: ignore[assignment]

    watched.notices.notice(Unspeakable(), FaultSource.CALL)
    assert watched.faults[0].chain[0].message == ""


async def test_every_source_is_noticed_once(watched: Watched) -> None:
    """What E1 asks of the sources that say it to the bus, to the log, or to a thread's hook."""

    async def ends_badly() -> None:
        raise LookupError("task")

    def watcher(_: Event) -> None:
        raise ArithmeticError("watcher")

    log = structlog.get_logger("exai.somewhere")
    before = threading.excepthook
    threading.excepthook = lambda _: None
    try:
        with watched.sources():
            record_incident(KeyError("door"), where="GET /", publish=watched.bus.publish)
            record_incident(IndexError("duty"), where="duty prune", publish=watched.bus.publish)
            watched.bus.publish(RequestRecovered("glm", "glm-5.3", ProviderThrottled("again")))
            watched.bus.watch(watcher, IncidentRecorded)
            watched.bus.publish(IncidentRecorded("inc_1", "x", EOFError("bus")))
            log.error("a write was dropped", operation="secret value")
            logging.getLogger("aiosqlite").error("cannot close %s", "x")
            log.warning("nothing to see")
            asyncio.get_running_loop().call_exception_handler(
                {"message": "callback failed", "exception": OSError(5, "loop")}
            )
            tasks.spawn(ends_badly(), name="bad")
            threading.Thread(target=lambda: int("thread")).start()
            await wait_until(lambda: len(watched.faults) >= 10, what="every source is noticed")
    finally:
        threading.excepthook = before
    kinds = {
        (fault.source.value, fault.chain[-1].type.rpartition(".")[2] if fault.chain else fault.message)
        for fault in watched.faults
    }
    assert len(watched.faults) == len(kinds)
    assert kinds == {
        ("call", "ProviderThrottled"),
        ("door", "EOFError"),
        ("log", "a write was dropped"),
        ("log", "cannot close %s"),
        ("door", "KeyError"),
        ("loop", "OSError"),
        ("task", "IndexError"),
        ("task", "LookupError"),
        ("task", "ValueError"),
        ("watcher", "ArithmeticError"),
    }
    assert [fault.handled for fault in watched.faults if fault.source is FaultSource.CALL] == [True]


async def test_what_ends_the_scope_is_noticed(watched: Watched) -> None:
    with pytest.raises(StartFault), watched.sources():
        raise StartFault("The port of `server.port` is taken.")
    assert [(fault.source, fault.code) for fault in watched.faults] == [(FaultSource.START, "cannot_start")]
