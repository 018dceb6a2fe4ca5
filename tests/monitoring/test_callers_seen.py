"""Callers in figures: who runs calls now, and series whose number nobody can make grow."""

from exai.callers import Caller, Door
from exai.costs import Usage
from exai.events.bus import EventBus
from exai.events.events import CallEnded, CallStarted, ConnectionClosed, ConnectionOpened
from exai.monitoring.call_metrics import UsageMetrics
from exai.monitoring.caller_labels import MOST_CALLERS, OTHERS, CallerLabels
from exai.monitoring.metrics import Metrics
from exai.monitoring.open_connections import ConnectedCaller, OpenConnections
from exai.monitoring.running_calls import RunningCalls
from exai.runtime.clock import ManualClock
from support.request_records import record


def ended(call_id: str, subject: str) -> CallEnded:
    return CallEnded(
        call_id=call_id,
        tool="chat",
        caller=Caller(subject=subject, door=Door.HTTP),
        outcome="ok",
        error_code=None,
        provider="glm",
        model="glm-5.3",
        timings={"latency_ms": 1.0},
        requests=(record("glm-5.3", Usage(input=10, output=2), cost_usd=0.5),),
    )


def test_the_first_callers_have_a_label_of_their_own_and_keep_it() -> None:
    labels = CallerLabels(most=2)
    assert [labels.of(subject) for subject in ("a", "b", "c", "a", "d", "b")] == [
        "a",
        "b",
        OTHERS,
        "a",
        OTHERS,
        "b",
    ]


def test_calls_tokens_and_cost_are_counted_by_caller_in_a_bounded_number_of_series() -> None:
    metrics, bus = Metrics(version="1"), EventBus()
    UsageMetrics(metrics).watch(bus)
    for number in range(MOST_CALLERS + 20):
        for _ in range(2):
            bus.publish(ended("call", f"team-{number}"))
    lines = metrics.exposition().decode().splitlines()
    calls = [line for line in lines if line.startswith("exai_caller_calls_total{")]
    assert len(calls) == MOST_CALLERS + 1
    assert 'exai_caller_calls_total{caller="team-3",outcome="ok"} 2.0' in calls
    assert f'exai_caller_calls_total{{caller="{OTHERS}",outcome="ok"}} 40.0' in calls
    assert 'exai_caller_tokens_total{caller="team-3",kind="input"} 20.0' in lines
    assert 'exai_caller_cost_usd_total{caller="team-3"} 1.0' in lines


def test_a_call_is_known_from_its_start_to_its_end() -> None:
    clock = ManualClock()
    running, bus = RunningCalls(clock), EventBus()
    running.watch(bus)
    for number in (1, 2):
        bus.publish(CallStarted(f"call_{number}", "chat", Caller(subject=f"s{number}", door=Door.HTTP)))
        clock.advance(1)
    assert [(call.call_id, call.caller.subject, call.seconds) for call in running] == [
        ("call_1", "s1", 2),
        ("call_2", "s2", 1),
    ]
    bus.publish(ended("call_1", "s1"))
    assert [call.call_id for call in running] == ["call_2"]
    bus.publish(ended("call_2", "s2"))
    assert len(running) == 0


def test_callers_are_known_by_their_connections_until_the_last_is_closed() -> None:
    connected, bus = OpenConnections(), EventBus()
    connected.watch(bus)
    alice, bob = Caller(subject="alice", door=Door.WEBSOCKET), Caller(subject="bob", door=Door.STDIO)
    for caller in (bob, alice, alice):
        bus.publish(ConnectionOpened(caller.door, caller))
    assert list(connected) == [
        ConnectedCaller("alice", Door.WEBSOCKET, 2),
        ConnectedCaller("bob", Door.STDIO, 1),
    ]
    for caller in (bob, alice):
        bus.publish(ConnectionClosed(caller.door, caller, "client"))
    assert list(connected) == [ConnectedCaller("alice", Door.WEBSOCKET, 1)]
    bus.publish(ConnectionClosed(alice.door, alice, "client"))
    assert list(connected) == []
