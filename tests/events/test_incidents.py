"""An incident has one id in the log, in the event and in what the caller reads; its text is in the log alone."""

import io
import json
import re
from collections.abc import Iterator

import pytest

from exai import config
from exai.events.events import Event, IncidentRecorded
from exai.events.incidents import record_incident
from exai.monitoring import logs

CANARY = "canary-text-of-a-caller"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(config.Logging(level="error", format="json"), stream=stream)
    yield stream
    logs.configure(config.Logging(level="error", format="json"))


def fail() -> None:
    raise RuntimeError(CANARY)


def caught() -> Exception:
    with pytest.raises(RuntimeError) as found:
        fail()
    return found.value


def test_log_event_and_caller_have_the_same_id(log: io.StringIO) -> None:
    error, events = caught(), list[Event]()
    incident = record_incident(error, where="chat", publish=events.append)
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    (event,) = events
    assert isinstance(event, IncidentRecorded)
    assert re.fullmatch(r"inc_[0-9a-f]{12}", incident.id)
    assert line["incident_id"] == event.incident_id == incident.id
    assert incident.id in incident.sentence
    assert (line["where"], event.where) == ("chat", "chat")
    assert "in fail" in line["exception"]


def test_the_event_carries_the_exception_and_its_repr_does_not_show_it() -> None:
    error, events = caught(), list[Event]()
    incident = record_incident(error, where="chat", publish=events.append)
    (event,) = events
    assert isinstance(event, IncidentRecorded)
    assert event.error is error
    assert event.error.__traceback__ is not None
    assert event.kind == "RuntimeError"
    for text in (repr(event), str(event), f"{event}", f"{[event]}", incident.sentence, repr(incident)):
        assert CANARY not in text


def test_each_has_an_id_of_its_own() -> None:
    found = {record_incident(caught(), where="chat", publish=lambda _: None).id for _ in range(20)}
    assert len(found) == 20
