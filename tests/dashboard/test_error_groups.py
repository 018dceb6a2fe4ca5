"""Groups of faults over HTTP: read with the scope `errors`, decided on with `operate`."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from exai.auth.scopes import DASHBOARD, ERRORS, OPERATE
from exai.error_tracking.console import Console
from exai.error_tracking.states import resolve
from exai.runtime.clock import ManualClock
from exai.storage.dashboard.groups_then import SortThen
from exai.storage.database import Database
from exai.storage.error_tracking.rows import State
from support.operations_ports import Port
from support.tracked_faults import tracked

OpenPort = Callable[..., Awaitable[Port]]


@pytest.fixture
async def port(open_port: OpenPort) -> Port:
    """A port of a daemon that has seen two faults."""
    port = await open_port()
    process = await tracked(port.database)
    for kind in (KeyError, IndexError):
        process.fail("broke", kind)
    await process.tracker.flush()
    return port


async def key(port: Port, *scopes: str) -> str:
    return (await port.authority.create_key("ann", "key", list(scopes))).access_token


async def test_groups_are_read_and_decided_on(port: Port) -> None:
    reader, operator = await key(port, ERRORS), await key(port, OPERATE)
    listed = await port.ask("GET", "/api/errors?sort=seen&most=1", token=reader)
    assert [group["group"] for group in listed.json["groups"]] == ["E-2"]
    assert listed.json["groups"][0]["provenance"] == "own"
    first = (await port.ask("GET", "/api/errors/E-1", token=reader)).json
    assert first["report"]["cause"] == "ours"
    assert (first["provenance"]["group.title"], first["provenance"]["history.note"]) == ("own", "outside")

    async def decide(**asked: object) -> tuple[int, dict[str, object]]:
        reply = await port.ask("POST", "/api/errors/1/decide", token=operator, json_body=asked)
        return reply.status, reply.json

    status, group = await decide(decision="resolve", version=1, release="next", note="mended")
    assert (status, group["state"], group["version"]) == (200, "resolved", 2)
    assert (await decide(decision="archive"))[0] == 409
    status, refused = await decide(decision="reopen", version=1)
    assert status == 409
    assert "version 2" in str(refused)
    assert (await decide(decision="reopen"))[1]["state"] == "open"
    assert (await decide(decision="merge", groups=["E-2"]))[1]["seen"] == 2
    shown = (await port.ask("GET", "/api/errors/1", token=reader)).json
    assert [turn["actor"] for turn in shown["history"]] == ["exai", "ann", "ann", "ann"]
    moved = shown["grouped_by"][1]["hash"]
    for stale in ({"decision": "split", "fingerprint": moved}, {"decision": "merge", "groups": ["E-2"]}):
        status, refused = await decide(**stale, version=1)
        assert (status, refused["error"]["code"]) == (409, "decision_refused")  # type: ignore[index]
    assert (await decide(decision="split", fingerprint=moved))[1]["group"] == "E-2"


async def test_groups_are_listed_as_they_were_at_an_earlier_moment(database: Database) -> None:
    clock = ManualClock()
    process = await tracked(database, clock)
    console = Console(database, clock)
    moments = []

    async def at(hours: int, *kinds: type[Exception]) -> None:
        clock.advance(hours * 3_600)
        for kind in kinds:
            process.fail("broke", kind)
        await process.tracker.flush()
        moments.append(clock.utc())

    await at(0, KeyError)
    await at(2, KeyError, IndexError)
    await console.decide(1, lambda group: resolve(group, at=clock.utc()), version=None, actor="ann")
    await at(2, IndexError)
    await at(2, KeyError)

    async def then(
        number: int, state: State | None = None, sort: SortThen = "last"
    ) -> list[tuple[str, str, int]]:
        found = await console.listed_then(moments[number], state=state, matching="broke", sort=sort, most=10)
        return [(each.group, each.state, each.seen) for each in found]

    assert await then(0) == [("E-1", "open", 1)]
    assert await then(2) == [("E-2", "open", 2), ("E-1", "resolved", 2)]
    assert await then(2, "resolved") == [("E-1", "resolved", 2)]
    assert await then(3, "open", "seen") == [("E-1", "open", 3), ("E-2", "open", 2)]
    assert await then(3, sort="first") == [("E-2", "open", 2), ("E-1", "open", 3)]
    earlier = moments[0] - timedelta(seconds=1)
    assert await console.listed_then(earlier, state=None, matching="", sort="last", most=10) == []


async def test_an_earlier_moment_is_asked_for_over_http(port: Port) -> None:
    reader = await key(port, ERRORS)
    shown = (await port.ask("GET", "/api/errors?state=all&at=2100-01-01T00:00:00Z", token=reader)).json
    assert [group["group"] for group in shown["groups"]] == ["E-2", "E-1"]
    for query in ("at=yesterday", "at=-1h&sort=cost", "at=-1h&cursor=x"):
        refused = await port.ask("GET", f"/api/errors?{query}", token=reader)
        assert refused.status == 400
        assert refused.json["error"]["message"].endswith(".")


@pytest.mark.parametrize(
    ("method", "path", "body", "scopes", "status"),
    [
        ("GET", "/api/errors", None, (OPERATE, DASHBOARD), 403),
        ("GET", "/api/errors/1", None, (OPERATE,), 403),
        ("POST", "/api/errors/1/decide", {"decision": "resolve"}, (ERRORS,), 403),
        ("GET", "/api/errors?sort=loudest", None, (ERRORS,), 400),
        ("GET", "/api/errors/nine", None, (ERRORS,), 400),
        ("GET", "/api/errors/9", None, (ERRORS,), 404),
        ("POST", "/api/errors/9/decide", {"decision": "resolve"}, (OPERATE,), 404),
        ("POST", "/api/errors/1/decide", {"decision": "forget"}, (OPERATE,), 400),
        ("POST", "/api/errors/1/decide", {"decision": "archive", "more": 2**62}, (OPERATE,), 400),
        ("POST", "/api/errors/1/decide", {"decision": "archive", "hourly": 2**31}, (OPERATE,), 400),
        ("POST", "/api/errors/1/decide", {"decision": "reopen", "version": 2**70}, (OPERATE,), 400),
    ],
)
async def test_what_is_not_allowed_or_not_there_is_refused(
    port: Port, method: str, path: str, body: dict[str, object] | None, scopes: tuple[str, ...], status: int
) -> None:
    reply = await port.ask(method, path, token=await key(port, *scopes), json_body=body)
    assert reply.status == status
