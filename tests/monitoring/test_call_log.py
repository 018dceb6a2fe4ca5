"""The lines that calls leave in the log."""

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import CapturedCall, CapturingLogger

from exai.callers import Caller, Door
from exai.costs import Usage
from exai.events.bus import EventBus
from exai.events.events import CallEnded, CallRefused
from exai.monitoring.call_log import log_calls
from support.request_records import record

CALLER = Caller.local(Door.STDIO)


def ended(**changed: Any) -> CallEnded:
    given = {
        "call_id": "call_1",
        "tool": "chat",
        "caller": CALLER,
        "outcome": "ok",
        "error_code": None,
        "provider": "glm",
        "model": "glm-5.3",
        "timings": {"latency_ms": 12.4},
    }
    return CallEnded(**{**given, **changed})


LinesOf = Callable[..., list[CapturedCall]]


@pytest.fixture
def lines_of(monkeypatch: pytest.MonkeyPatch) -> LinesOf:
    log = CapturingLogger()
    monkeypatch.setattr("exai.monitoring.call_log._log", log)
    bus = EventBus()
    log_calls(bus)

    def publish(*events: CallEnded | CallRefused) -> list[CapturedCall]:
        for event in events:
            bus.publish(event)
        return log.calls

    return publish


def test_a_call_leaves_a_line_that_says_what_it_took(lines_of: LinesOf) -> None:
    requests = (
        record("glm-5.3", Usage(input=10, output=5), cost_usd=0.25),
        record("kimi-k3", Usage(input=1), cost_usd=0.5),
        record("kimi-k3", None),
    )
    (line,) = lines_of(ended(requests=requests))
    said = line.kwargs
    assert (line.method_name, line.args, said["call_id"]) == ("info", ("call ended",), "call_1")
    assert (said["requests"], said["input"], said["output"], said["usd"]) == (3, 11, 5, 0.75)
    assert (said["caller"], said["door"], said["outcome"], said["milliseconds"]) == (
        "local",
        "stdio",
        "ok",
        12,
    )


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (ended(tool="status", provider=None, model=None), "debug"),
        (ended(outcome="failed", error_code="bad_arguments", provider=None, model=None), "info"),
        (CallRefused("chat", CALLER, "overloaded"), "info"),
    ],
)
def test_what_asked_nobody_is_told_at_info_only_where_it_failed(
    lines_of: LinesOf, event: CallEnded, level: str
) -> None:
    (line,) = lines_of(event)
    assert line.method_name == level
