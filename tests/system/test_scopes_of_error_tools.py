"""What a token has to allow for the tools of errors, by every door of their port and of the MCP port."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from exai.auth.scopes import ERRORS, FILES, MODELS, OPERATE, SCOPES, STATUS
from support.guarded_daemon import GuardedDaemon, bearer, guarded_daemon
from support.mcp_websocket import mcp_socket
from support.over_doors import over_every_door, sockets_of
from support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[GuardedDaemon]:
    async with guarded_daemon(tmp_path_factory.mktemp("guarded") / "data") as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


ERROR_TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "errors_list": (ERRORS, {}),
    "errors_show": (ERRORS, {"group": "E-1"}),
    "errors_report": (ERRORS, {"message": "x"}),
    "errors_investigate": (OPERATE, {"group": "E-99999"}),
    "errors_decide": (OPERATE, {"group": "E-1", "decision": "reopen"}),
    "observations": (ERRORS, {}),
    "observation_decide": (OPERATE, {"id": "obs_x", "acknowledge": True}),
}
"""The tools of the port of errors, with the scope and the least that each needs."""


async def test_every_tool_of_the_port_of_errors_needs_its_scope_and_no_other(
    guarded: GuardedDaemon, http: aiohttp.ClientSession, subtests: pytest.Subtests
) -> None:
    _, base = sockets_of(guarded)
    async with mcp_socket(base, headers=bearer(await guarded.token(FILES))) as client:
        listed = (await client.request("tools/list"))["result"]["tools"]
    assert {tool["name"] for tool in listed} == {*ERROR_TOOLS}
    for name, (scope, arguments) in ERROR_TOOLS.items():
        good = bearer(await guarded.token(scope))
        others = bearer(await guarded.token(*(each for each in SCOPES if each != scope)))
        with subtests.test(tool=name):
            async for answer in over_every_door(guarded, http, name, arguments, others, at=base):
                assert answer["error"]["code"] == -32007, answer
                assert answer["error"]["data"]["scope"] == scope
            async for answer in over_every_door(guarded, http, name, arguments, good, at=base):
                assert all(block["_meta"]["exai/provenance"] for block in answer["result"]["content"]), answer


async def test_the_one_tool_of_errors_needs_the_scope_of_what_it_does(
    guarded: GuardedDaemon, http: aiohttp.ClientSession
) -> None:
    decide = {"action": "decide", "group": "E-1", "decision": "archive"}
    for arguments, scopes in (
        ({}, (ERRORS,)),
        (decide, (ERRORS, OPERATE)),
        ({"action": "investigate", "group": "E-99999", "investigate": True}, (ERRORS, OPERATE)),
        ({"action": "judge", "id": "x", "verdict": "noise"}, (ERRORS, OPERATE)),
    ):
        for lacking in scopes:
            little = bearer(await guarded.token(*(each for each in SCOPES if each != lacking)))
            async for answer in over_every_door(guarded, http, "errors", arguments, little):
                assert answer["error"]["code"] == -32007
        good = bearer(await guarded.token(*scopes))
        async for answer in over_every_door(guarded, http, "errors", arguments, good):
            assert "result" in answer


async def test_an_agent_without_the_scope_is_shown_no_groups_of_errors(guarded: GuardedDaemon) -> None:
    with_scope = bearer(await guarded.token(MODELS, STATUS, ERRORS, subject="bob"))
    without = bearer(await guarded.token(MODELS, STATUS, subject="bob"))
    async with (
        mcp_socket(guarded.daemon.mcp_ws, headers=with_scope) as operator,
        mcp_socket(guarded.daemon.mcp_ws, headers=without) as agent,
    ):
        await agent.tool("chat", {"prompt": "x", "model": "no-such-model"})

        async def told(client: Any) -> dict[str, Any]:
            return dict((await client.tool("status", {"section": "errors"}))["structuredContent"])

        async def groups() -> Any:
            return (await told(operator)).get("groups")

        await wait_until(groups, what="the group is counted")
        shown = await told(agent)
        assert "groups" not in shown
        assert "E-1" not in json.dumps(shown)
