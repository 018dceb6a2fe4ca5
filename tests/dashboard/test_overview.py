"""What the dashboard tells: everybody's calls, and no text of any."""

from collections.abc import Awaitable, Callable

from exai.auth.scopes import DASHBOARD
from exai.callers import Caller, Door
from exai.costs import Usage
from exai.dashboard.readiness import Finding, State
from exai.events.events import CallStarted, ConnectionOpened
from exai.runtime.clock import Clock
from exai.runtime.version import __version__
from exai.storage.calls.journal import CallBegun, CallEnd, Journal
from support.operations_ports import Port
from support.request_records import record

OpenPort = Callable[..., Awaitable[Port]]


async def ill() -> Finding | None:
    return Finding(State.UNREADY, "the disk is full")


async def keep_a_call(port: Port, clock: Clock, subject: str, cost: float) -> None:
    journal = Journal(port.database, clock)
    call_id = f"call_of_{subject}"
    await journal.begin(
        CallBegun(call_id, Caller(subject=subject, door=Door.HTTP), "chat", None, "conv_secret")
    )
    usage = Usage(input=10, output=5)
    requests = (record("glm-5.3", usage, cost_usd=cost),)
    journal.end_soon(CallEnd(call_id, "ok", None, "glm-5.3", "glm", "conv_secret", usage, cost, {}, requests))
    await port.tickets.issue("anybody")  # a later write: its commit has the end as well


async def test_the_overview_tells_how_things_stand_and_who_looks(open_port: OpenPort) -> None:
    port = await open_port({"store": ill})
    port.clock.advance(65)
    caller = Caller(subject="keycloak:bob", door=Door.WEBSOCKET, client="cursor <b>1</b>")
    port.bus.publish(CallStarted("call_1", "chat", caller))
    for who in (caller, Caller(subject="alice", door=Door.STDIO), caller):
        port.bus.publish(ConnectionOpened(who.door, who))
    port.clock.advance(2)
    token = (await port.authority.create("alice", "desk", [DASHBOARD])).access_token
    told = (await port.ask("GET", "/api/overview", token=token)).json
    assert told["service"] == {
        "version": __version__,
        "demo": False,
        "auth_mode": "required",
        "uptime_s": 67.0,
    }
    assert (told["you"]["subject"], told["you"]["scopes"], told["you"]["by"]) == (
        "alice",
        [DASHBOARD],
        "exai",
    )
    assert (told["status"], told["checks"]) == ("unready", {"store": "the disk is full"})
    assert told["check_states"] == {"store": "unready"}
    assert told["providers"] == [{"name": "glm", "configured": True}, {"name": "kimi", "configured": False}]
    assert told["duties"] == [{"name": "tidy", "runs": 3, "failed_in_a_row": 0, "error": None}]
    assert told["sessions"] == {"open": 3}
    assert told["connected"] == [
        {"caller": "keycloak:bob", "door": "websocket", "connections": 2},
        {"caller": "alice", "door": "stdio", "connections": 1},
    ]
    assert told["calls_running"] == 1
    assert told["calls"] == [
        {
            "call_id": "call_1",
            "tool": "chat",
            "caller": "keycloak:bob",
            "door": "websocket",
            "client": "cursor <b>1</b>",
            "seconds": 2.0,
        }
    ]


async def test_usage_is_everybodys_or_one_callers(open_port: OpenPort) -> None:
    port = await open_port()
    await keep_a_call(port, port.clock, "alice", 0.25)
    await keep_a_call(port, port.clock, "bob", 0.5)
    token = (await port.authority.create("ops", "desk", [DASHBOARD])).access_token
    answer = await port.ask("GET", "/api/usage?days=1", token=token)
    assert [(each["caller"], each["cost_usd"]) for each in answer.json["usage"]] == [
        ("bob", 0.5),
        ("alice", 0.25),
    ]
    assert b"conv_secret" not in answer.body
    one = (await port.ask("GET", "/api/usage?caller=alice", token=token)).json
    assert (one["days"], [each["caller"] for each in one["usage"]]) == (30.0, ["alice"])
    assert (await port.ask("GET", "/api/usage?caller=carol", token=token)).json["usage"] == []


async def test_days_that_cannot_be_are_refused(open_port: OpenPort) -> None:
    port = await open_port(mode="local")
    for days in ("0", "-1", "nan", "inf", "1e9", "x", ""):
        assert (await port.ask("GET", f"/api/usage?days={days}")).status == 400, days
