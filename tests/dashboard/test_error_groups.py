"""Groups of faults over HTTP: read with the scope `errors`, decided on with `operate`."""

from collections.abc import Awaitable, Callable

import pytest

from exai.auth.scopes import DASHBOARD, ERRORS, OPERATE
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
    assert (await decide(decision="split", fingerprint=moved))[1]["group"] == "E-2"


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
    ],
)
async def test_what_is_not_allowed_or_not_there_is_refused(
    port: Port, method: str, path: str, body: dict[str, object] | None, scopes: tuple[str, ...], status: int
) -> None:
    reply = await port.ask(method, path, token=await key(port, *scopes), json_body=body)
    assert reply.status == status
