"""Who comes in by the MCP port, who does not, and how that is told: over HTTP and both WebSocket subprotocols."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from exai import config
from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority
from exai.auth.scopes import MODELS, STATUS
from exai.callers import Door
from exai.events.events import CallerRefused
from exai.runtime.clock import SystemClock
from exai.storage.database import Database
from exai.storage.identity.tables import IdentityTables
from support.mcp_websocket import mcp_socket
from support.open_doors import Doors, open_doors
from support.session_socket import ENVELOPE, session_socket
from support.waiting import wait_until

BOTH = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}
METADATA = "/.well-known/oauth-protected-resource"
STRANGERS: list[tuple[dict[str, str], bool]] = [
    ({}, False),
    ({"Authorization": "Bearer nobodys"}, True),
    ({"Authorization": "Basic YTpi"}, True),
]


def call(tool: str) -> tuple[dict[str, Any], dict[str, str]]:
    params = {"name": tool, "arguments": {}, "_meta": ENVELOPE}
    message = {"jsonrpc": "2.0", "id": "x", "method": "tools/call", "params": params}
    return message, {**BOTH, "Mcp-Method": "tools/call", "Mcp-Name": tool}


def root(doors: Doors) -> str:
    return doors.http.removesuffix("/mcp")


async def denied(doors: Doors, subprotocol: str, headers: dict[str, str]) -> Any:
    with pytest.raises(InvalidStatus) as refused:
        await connect(doors.ws, subprotocols=[Subprotocol(subprotocol)], additional_headers=headers)
    return refused.value.response


@pytest.mark.parametrize(("headers", "presented"), STRANGERS)
async def test_a_refusal_says_how_to_authenticate(headers: dict[str, str], presented: bool) -> None:
    async with open_doors(auth={"mode": "required"}) as doors, aiohttp.ClientSession() as http:
        doors.authenticator.issue("good", "alice")
        challenges = []
        for method in ("POST", "GET", "DELETE", "PUT"):
            async with http.request(method, doors.http, headers={**BOTH, **headers}) as response:
                assert response.status == 401
                challenges.append(response.headers["WWW-Authenticate"])
                assert (await response.json())["error"]["code"] == -32006
        for subprotocol in ("mcp", "exai.mcp.v1"):
            response = await denied(doors, subprotocol, headers)
            assert response.status_code == 401
            challenges.append(response.headers["WWW-Authenticate"])
        (challenge,) = set(challenges)
        assert challenge.startswith('Bearer realm="exai"')
        assert f'resource_metadata="{root(doors)}{METADATA}/mcp"' in challenge
        assert f'scope="{MODELS} {STATUS}"' in challenge
        assert ('error="invalid_token"' in challenge) == presented
        assert challenge.count('"') % 2 == 0
        async with http.get(f"{root(doors)}{METADATA}/mcp") as response:
            assert (await response.json())["resource"] == doors.http
    assert doors.engine.callers == []
    refused = [event for event in doors.events if isinstance(event, CallerRefused)]
    assert (
        refused
        == [CallerRefused(Door.HTTP, "unauthenticated")] * 4
        + [CallerRefused(Door.WEBSOCKET, "unauthenticated")] * 2
    )


async def test_too_many_attempts_are_answered_with_when_to_come_back(doors: Doors) -> None:
    doors.authenticator.throttled = True
    async with aiohttp.ClientSession() as http, http.post(doors.http) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "12"
        assert "WWW-Authenticate" not in response.headers
    for subprotocol in ("mcp", "exai.mcp.v1"):
        response = await denied(doors, subprotocol, {})
        assert (response.status_code, response.headers["Retry-After"]) == (429, "12")


async def test_a_caller_comes_in_with_its_token_over_every_door(doors: Doors) -> None:
    headers = doors.authenticator.issue("good", "alice", MODELS)
    message, routing = call("echo")
    async with (
        aiohttp.ClientSession() as http,
        http.post(doors.http, json=message, headers=routing | headers) as response,
    ):
        assert "result" in await response.json()
    async with mcp_socket(doors.ws, headers=headers) as plain:
        await plain.tool("echo")
    async with session_socket(doors.ws, headers) as session:
        await session.open()
        await session.call(1, "echo")
        await session.message()
    assert [caller.subject for caller in doors.engine.callers] == ["alice"] * 3
    assert [caller.door for caller in doors.engine.callers] == ["http", "websocket", "websocket"]


async def test_a_missing_scope_is_403_over_http_and_an_error_over_sockets(doors: Doors) -> None:
    headers = doors.authenticator.issue("little", "alice", STATUS)
    message, routing = call("echo")
    async with (
        aiohttp.ClientSession() as http,
        http.post(doors.http, json=message, headers=routing | headers) as response,
    ):
        assert response.status == 403
        challenge = response.headers["WWW-Authenticate"]
        assert f'error="insufficient_scope", scope="{MODELS}"' in challenge
        answer = await response.json()
        assert answer["id"] == "x"
        errors = [answer["error"]]
    async with mcp_socket(doors.ws, headers=headers) as plain:
        assert "result" in await plain.request("tools/list")
        errors.append((await plain.request("tools/call", {"name": "echo"}))["error"])
    async with session_socket(doors.ws, headers) as session:
        await session.open()
        await session.call(1, "echo")
        errors.append((await session.message())[1]["error"])
    assert {error["code"] for error in errors} == {-32007}
    assert {json.dumps(error["data"], sort_keys=True) for error in errors} == {
        json.dumps({"code": "insufficient_scope", "retryable": False, "scope": MODELS})
    }
    assert doors.engine.callers == []


async def test_a_token_in_the_address_is_not_looked_at(doors: Doors) -> None:
    doors.authenticator.issue("good", "alice")
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{doors.http}?access_token=good&authorization=Bearer%20good") as response,
    ):
        assert response.status == 401


async def test_where_no_token_is_asked_for_nothing_points_to_one(doors: Doors) -> None:
    async with aiohttp.ClientSession() as http:
        for path in (METADATA, f"{METADATA}/mcp"):
            async with http.get(root(doors) + path) as response:
                assert response.status == 404
                assert "token" in await response.text()


ASKED_BY_CLIENTS = [
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/oauth-authorization-server/mcp"),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/.well-known/openid-configuration/mcp"),
    ("GET", "/mcp/.well-known/openid-configuration"),
    ("GET", "/authorize"),
    ("POST", "/register"),
    ("POST", "/token"),
]
ISSUER = {"issuer": "https://id.example.org", "audience": "exai", "jwks_url": "https://id.example.org/keys"}


@pytest.mark.parametrize(
    ("auth", "word"),
    [
        ({"mode": "local"}, "without one"),
        ({"mode": "optional-until 2099-01-01"}, "exai token create"),
        ({"mode": "required"}, "exai token create"),
        ({"mode": "required", "issuers": {"id": ISSUER}}, "oauth-protected-resource/mcp"),
    ],
)
async def test_a_client_that_looks_for_an_authorization_server_reads_where_tokens_come_from(
    auth: dict[str, Any], word: str
) -> None:
    async with open_doors(auth=auth) as doors, aiohttp.ClientSession() as http:
        for method, path in ASKED_BY_CLIENTS:
            async with http.request(method, root(doors) + path, json={"client_name": "x"}) as response:
                assert response.status == 404, path
                assert response.content_type == "application/json"
                answer = await response.json()
                assert answer["error"] == "access_denied"
                assert word in answer["error_description"]


async def test_the_metadata_name_the_public_address_and_who_issues_tokens() -> None:
    issuer = {
        "issuer": "https://id.example.org/",
        "audience": "exai",
        "jwks_url": "https://id.example.org/keys",
    }
    async with (
        open_doors(
            auth={"mode": "required", "issuers": {"team": {**issuer, "scopes": [MODELS]}}},
            server={"public_url": "https://exai.example.org/"},
        ) as doors,
        aiohttp.ClientSession() as http,
    ):
        for path in (METADATA, f"{METADATA}/mcp"):
            async with http.get(root(doors) + path, headers={"Host": "exai.example.org"}) as response:
                assert await response.json() == {
                    "resource": "https://exai.example.org/mcp",
                    "resource_name": "EXAI",
                    "bearer_methods_supported": ["header"],
                    "authorization_servers": ["https://id.example.org/"],
                    "scopes_supported": [STATUS],
                }


async def test_the_challenge_names_the_host_that_was_asked_and_none_with_odd_characters() -> None:
    async with open_doors(auth={"mode": "required"}) as doors, aiohttp.ClientSession() as http:
        doors.authenticator.issue("good", "alice")
        port = doors.http.split(":")[2].split("/")[0]
        for host, told in (
            (f"LOCALHOST:{port}", f"http://localhost:{port}/"),
            (f"[::1]:{port}", f"http://[::1]:{port}/"),
        ):
            async with http.post(doors.http, headers={"Host": host}) as response:
                assert response.status == 401
                assert f'resource_metadata="{told}' in response.headers["WWW-Authenticate"]
        async with http.post(doors.http, headers={"Host": 'localhost:1", evil="'}) as response:
            assert response.status == 421
            assert "evil" not in str(response.headers)


async def test_a_405_lists_the_methods_of_the_path(doors: Doors) -> None:
    async with aiohttp.ClientSession() as http:
        for path, allowed in (("/", "GET, HEAD"), ("/mcp", "GET, POST, DELETE")):
            async with http.put(root(doors) + path) as response:
                assert response.status == 405
                assert response.headers["Allow"] == allowed


async def test_no_caller_takes_the_place_of_all_others() -> None:
    async with open_doors(websocket={"max_per_caller": 2}, sessions={"max_per_caller": 1}) as doors:
        greedy = doors.authenticator.issue("greedy", "alice")
        second = doors.authenticator.issue("second", "alice")
        modest = doors.authenticator.issue("modest", "bob")
        async with session_socket(doors.ws, greedy) as one, session_socket(doors.ws, second) as two:
            assert (await one.open())["t"] == "opened"
            assert (await two.open())["code"] == "too_many_sessions"
            response = await denied(doors, "mcp", greedy)
            assert response.status_code == 429
            async with session_socket(doors.ws, modest) as other:
                assert (await other.open())["t"] == "opened"

        async def is_let_in() -> bool:
            with suppress(InvalidStatus):
                async with mcp_socket(doors.ws, headers=greedy) as again:
                    await again.tool("echo")
            return doors.engine.callers != []

        await wait_until(is_let_in, what="a socket of the greedy one is let in again")


async def test_guesses_are_counted_on_every_door_together_and_good_tokens_pass(tmp_path: Path) -> None:
    database = await Database.open(config.Database(), tmp_path)
    auth, clock = config.Auth(mode="required", failures_per_minute=4), SystemClock()
    judge = await Authenticator.open(auth, IdentityTables(database), clock)
    authority = Authority(auth, IdentityTables(database), tmp_path, clock, changed=judge.refresh)
    issued = [await authority.create("alice", "test") for _ in range(2)]
    known, unmet = ({"Authorization": f"Bearer {each.access_token}"} for each in issued)
    async with open_doors(judge=judge, auth={"mode": "required"}) as doors, aiohttp.ClientSession() as http:
        async with mcp_socket(doors.ws, headers=known) as client:
            await client.tool("echo")
        bad = {"Authorization": "Bearer guess"}
        for _ in range(2):
            async with http.put(doors.http, headers=bad) as response:
                assert response.status == 401
            assert (await denied(doors, "mcp", bad)).status_code == 401
        async with http.put(doors.http, headers=bad) as response:
            assert response.status == 429
            assert 0 < int(response.headers["Retry-After"]) <= 60
        async with http.post(
            f"{root(doors)}/auth/token", data={"grant_type": "refresh_token", "refresh_token": "x"}
        ) as response:
            assert response.status == 429
        assert (await denied(doors, "exai.mcp.v1", bad)).status_code == 429
        for good in (known, unmet):
            async with mcp_socket(doors.ws, headers=good) as client:
                await client.tool("echo")
        async with http.put(doors.http, headers=known) as response:
            assert response.status == 405
        async with http.put(doors.http) as response:
            assert response.status == 401, "who shows nothing guesses nothing"
    await database.close()
