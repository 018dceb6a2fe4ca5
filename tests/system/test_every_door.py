"""Every route of the three ports and every tool against tokens of every fate; the rows are those of the daemon."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol
from yarl import URL

from exai.app.ports import Ports, build_ports
from exai.app.services import build
from exai.auth.scopes import ERRORS, FILES, MODELS, SCOPES, STATUS
from exai.config import Settings
from exai.dashboard.page import FOLDERS, PAGES
from exai.web.routes import READ, Route
from support.forged_tokens import forged, own_signer
from support.guarded_daemon import GuardedDaemon, bearer, guarded_daemon
from support.mcp_websocket import mcp_socket
from support.operations_ports import filled
from support.over_doors import BOTH, over_every_door, sockets_of, tool_call
from support.scripted_engine import VERSION
from support.session_socket import session_socket

pytestmark = pytest.mark.asyncio(loop_scope="module")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
OPEN = {
    "/": ("GET", "HEAD"),
    "/auth/token": ("POST",),
    "/.well-known/jwks.json": ("GET", "HEAD"),
    "/.well-known/oauth-protected-resource": ("GET", "HEAD"),
    "/.well-known/oauth-protected-resource/mcp": ("GET", "HEAD"),
    "/.well-known/{name}": ("GET", "HEAD"),
    "/.well-known/{name}/{path}": ("GET", "HEAD"),
    "/mcp/.well-known/{name}": ("GET", "HEAD"),
    "/files/tickets/{ticket}": ("POST",),
    "/authorize": ("GET", "HEAD"),
    "/register": ("POST",),
    "/token": ("POST",),
}
"""What the MCP port serves to whoever may connect. A route that is new here takes somebody's decision."""
OPEN_OPERATIONS = {
    **dict.fromkeys(PAGES, READ),
    **{f"/page/{folder}{{file}}": READ for folder in FOLDERS},
    "/healthz": READ,
    "/readyz": READ,
    "/api/sign-in": ("POST",),
    "/api/sign-out": ("POST",),
}
"""The same of the operations port."""
REPORTS = {
    **{
        f"{prefix}/api/{{project}}/{name}": ("POST", "OPTIONS")
        for prefix in ("", "/{prefix_a}", "/{prefix_a}/{prefix_b}")
        for name in ("envelope", "store")
    },
    "/v1/errors": ("POST",),
    "/v1/logs": ("POST",),
}
"""Where programs report: there a key of a project counts, which opens nothing else."""
OPEN_ERRORS = {path: methods for path, methods in OPEN.items() if not path.startswith("/files")} | REPORTS
"""The same of the port of errors."""
SOCKETS = [(path, subprotocol) for path in ("/", "/mcp") for subprotocol in ("mcp", "exai.mcp.v1", None)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded") / "data"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(data_dir: Path) -> AsyncIterator[GuardedDaemon]:
    sources = data_dir.parent / "sources"
    sources.mkdir()
    (sources / "x.py").write_text("x = 1\n")
    (sources / "heron.py").write_text("def wade():\n    return 1\n")
    async with guarded_daemon(data_dir, EXAI_FILES__ROOTS=json.dumps([str(sources)])) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ports(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ports]:
    """The ports as the daemon builds them."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("tables"))
    async with build(settings, version=VERSION, runs_jobs=False) as services:
        yield build_ports(services, settings)


@dataclass(frozen=True)
class Row:
    """A row of either port, at the address where the daemon serves it."""

    route: Route
    port: str
    methods: tuple[str, ...]
    """All that its path has."""

    @property
    def headers(self) -> dict[str, str]:
        """Of a page of the port itself, so that nothing but the token is refused."""
        return BOTH | {"Origin": self.port}

    @property
    def urls(self) -> list[str]:
        """With every spelling of its path that is served."""
        url = self.port + filled(self.route.path)
        return [url, f"{url}/"] if self.route.path == "/mcp" else [url]


def rows(guarded: GuardedDaemon, ports: Ports) -> list[Row]:
    tables = {
        root(guarded): ports.mcp.http.table,
        guarded.daemon.operations: ports.operations.table,
        guarded.daemon.errors: ports.errors.http.table,
    }
    return [
        Row(route, port, tuple(m for other in table if other.path == route.path for m in other.methods))
        for port, table in tables.items()
        for route in table
    ]


def root(guarded: GuardedDaemon) -> str:
    return guarded.daemon.mcp_http.removesuffix("/mcp")


def arguments_for(schema: dict[str, Any]) -> dict[str, Any]:
    """The least that a tool takes."""
    samples = {"string": "x", "integer": 1, "boolean": False, "array": []}
    needed = {name: schema["properties"][name] for name in schema.get("required", ())}
    return {
        name: chosen(form["enum"]) if "enum" in form else samples[form["type"]]
        for name, form in needed.items()
    }


def chosen(choices: list[str]) -> str:
    """The choice that needs no further argument, where there is one."""
    return "list" if "list" in choices else choices[0]


FURTHER: dict[str, dict[str, Any]] = {
    "think": {"problem": "x"},
    "debug": {"problem": "x"},
    "review": {"paths": ["x.py"]},
    "write": {"paths": ["x.py"]},
    "analyze": {"question": "x"},
}
"""What a tool needs that its schema does not require, as another form of it does without."""


async def tools(guarded: GuardedDaemon) -> dict[str, dict[str, Any]]:
    async with mcp_socket(guarded.daemon.mcp_ws, headers=bearer(await guarded.token(FILES))) as client:
        listed = (await client.request("tools/list"))["result"]["tools"]
    return {
        tool["name"]: arguments_for(tool["inputSchema"]) | FURTHER.get(tool["name"], {}) for tool in listed
    }


async def test_what_is_open_is_decided_here(guarded: GuardedDaemon, ports: Ports) -> None:
    open_rows = [row for row in rows(guarded, ports) if row.route.is_open]
    on_port = {
        port: {row.route.path: row.methods for row in open_rows if row.port == port}
        for port in (root(guarded), guarded.daemon.operations, guarded.daemon.errors)
    }
    assert list(on_port.values()) == [OPEN, OPEN_OPERATIONS, OPEN_ERRORS]


async def test_every_guarded_route_and_method_refuses_every_bad_token(
    guarded: GuardedDaemon, ports: Ports, http: aiohttp.ClientSession, subtests: pytest.Subtests
) -> None:
    closed = [row for row in rows(guarded, ports) if not row.route.is_open]
    assert {row.port for row in closed} == {root(guarded), guarded.daemon.operations, guarded.daemon.errors}
    for row, method in product(closed, METHODS):
        with subtests.test(method=method, port=row.port, path=row.route.path):
            for url, (fate, token) in product(row.urls, guarded.refused.items()):
                headers = row.headers | bearer(token)
                async with http.request(method, f"{url}?access_token=x", headers=headers) as response:
                    assert response.status == 401, fate
                    challenge = response.headers["WWW-Authenticate"]
                    assert challenge.startswith("Bearer "), fate
                    assert ('error="invalid_token"' in challenge) == (token is not None), fate
                    if method != "HEAD":
                        assert (await response.json())["error"]["code"] in {-32006, "unauthenticated"}, fate


async def test_every_guarded_route_serves_the_right_scope_and_no_other(
    guarded: GuardedDaemon, ports: Ports, http: aiohttp.ClientSession, subtests: pytest.Subtests
) -> None:
    for row, method in product(rows(guarded, ports), METHODS):
        if row.route.is_open or (method in row.methods and method not in row.route.methods):
            continue
        scope = row.route.scope
        good = bearer(await guarded.token(scope or FILES))
        others = bearer(await guarded.token(*(each for each in SCOPES if each != scope)))
        for url in row.urls:
            with subtests.test(method=method, url=url):
                async with http.request(method, url, headers=row.headers | good) as response:
                    assert response.status not in {401, 403}
                    assert response.status < 500
                    assert (response.status == 405) == (method not in row.methods)
                if scope is not None and method in row.methods:
                    async with http.request(method, url, headers=row.headers | others) as response:
                        assert response.status == 403
                        assert f'scope="{scope}"' in response.headers["WWW-Authenticate"]


async def test_what_is_open_is_so_with_any_token_and_has_no_other_methods(
    guarded: GuardedDaemon, ports: Ports, http: aiohttp.ClientSession
) -> None:
    for row, method in product(rows(guarded, ports), METHODS):
        if not row.route.is_open or row.route.path in REPORTS:
            continue
        for token in (None, "nonsense"):
            headers = {"Origin": row.port} | bearer(token)
            async with http.request(method, row.urls[0], headers=headers) as response:
                assert response.status not in {401, 403}
                assert (response.status == 405) == (method not in row.methods), (method, row.route.path)


async def test_a_token_of_any_fate_opens_and_closes_nothing_where_programs_report(
    guarded: GuardedDaemon, ports: Ports, http: aiohttp.ClientSession
) -> None:
    """There the key of a project counts: a good token is none, and a bad one refuses no report."""
    fates = {**guarded.refused, "good": await guarded.token(*SCOPES)}
    reports = [row for row in rows(guarded, ports) if row.route.path in REPORTS]
    assert len(reports) == 14
    for row, method in product(reports, METHODS):
        if method not in row.route.methods:
            continue
        answers = {}
        for (fate, token), slash in product(fates.items(), ("", "/")):
            url = f"{row.urls[0]}{slash}"
            async with http.request(method, url, data=b"[]", headers=bearer(token)) as response:
                answers[fate, slash] = response.status, await response.read()
        assert len(set(answers.values())) == 1, row.route.path
        assert answers["good", ""][0] == (204 if method == "OPTIONS" else 403), row.route.path


async def test_no_other_path_is_served(guarded: GuardedDaemon, http: aiohttp.ClientSession) -> None:
    good = bearer(await guarded.token(*SCOPES))
    for path in (
        "/metrics",
        "/api/tokens",
        "//mcp",
        "/mcp/x",
        "/%2e/mcp",
        "/MCP",
        "/mcp%00",
        "/auth",
        "/.well-known",
    ):
        url = URL(root(guarded) + path, encoded=True)
        async with http.post(url, headers=BOTH | good) as response:
            assert response.status == 404, path


async def test_every_socket_refuses_every_bad_token(
    guarded: GuardedDaemon, subtests: pytest.Subtests
) -> None:
    good = bearer(await guarded.token(FILES))
    for base, (path, subprotocol) in product(sockets_of(guarded), SOCKETS):
        offered = None if subprotocol is None else [Subprotocol(subprotocol)]
        for fate, token in guarded.refused.items():
            with subtests.test(base=base, path=path, subprotocol=subprotocol, fate=fate):
                with pytest.raises(InvalidStatus) as refused:
                    await connect(
                        f"{base}{path}?token=x", subprotocols=offered, additional_headers=bearer(token)
                    )
                assert refused.value.response.status_code == 401
                assert refused.value.response.headers["WWW-Authenticate"].startswith("Bearer ")
        async with connect(base + path, subprotocols=offered, additional_headers=good) as socket:
            assert socket.subprotocol == subprotocol


async def test_a_session_is_carried_on_with_no_bad_token(guarded: GuardedDaemon) -> None:
    url = guarded.daemon.mcp_ws
    async with session_socket(url, bearer(await guarded.token(FILES))) as owner:
        opened = await owner.open()
        for token in guarded.refused.values():
            with pytest.raises(InvalidStatus) as refused:
                async with session_socket(url, bearer(token)):
                    pass
            assert refused.value.response.status_code == 401
        async with session_socket(url, bearer(await guarded.token(*SCOPES, subject="mallory"))) as thief:
            stolen = await thief.resume(opened, last=0)
            guessed = await thief.resume({**opened, "session": "x" * 22}, last=0)
            assert stolen == guessed
            assert stolen["code"] == "unknown_session"
    async with session_socket(url, bearer(await guarded.token(FILES))) as again:
        assert (await again.resume(opened, last=0))["t"] == "resumed"


async def test_every_tool_needs_its_scope_and_no_other(
    guarded: GuardedDaemon, http: aiohttp.ClientSession, subtests: pytest.Subtests
) -> None:
    rows = [(name, arguments) for name, arguments in (await tools(guarded)).items()]
    assert len(rows) >= 4
    rows.append(("chat", {"prompt": "x", "use_websearch": True}))
    rows.append(("chat", {"prompt": "x", "send_secrets": True}))
    little = bearer(await guarded.token(ERRORS))
    for name, arguments in rows:
        with subtests.test(tool=name, arguments=arguments):
            message, headers = tool_call(name, arguments)
            async with http.post(guarded.daemon.mcp_http, json=message, headers=headers | little) as response:
                assert response.status == 403
                needed = (await response.json())["error"]["data"]["scope"].split()
                challenge = response.headers["WWW-Authenticate"]
                assert f'error="insufficient_scope", scope="{" ".join(needed)}"' in challenge
            assert set(needed) <= {scope for scope in SCOPES if scope.startswith(("tools:", "files"))}
            for lacking in needed:
                token = bearer(await guarded.token(*(scope for scope in SCOPES if scope != lacking)))
                for answer in [
                    answer async for answer in over_every_door(guarded, http, name, arguments, token)
                ]:
                    assert answer["error"]["code"] == -32007
                    assert answer["error"]["data"] == {
                        "code": "insufficient_scope",
                        "retryable": False,
                        "scope": " ".join(needed),
                    }
            token = bearer(await guarded.token(*needed))
            for answer in [answer async for answer in over_every_door(guarded, http, name, arguments, token)]:
                assert not answer["result"]["isError"], answer


async def test_a_refresh_token_is_renewed_at_the_door_and_the_new_one_opens_it(
    guarded: GuardedDaemon, http: aiohttp.ClientSession
) -> None:
    issued = await guarded.authority.create("alice", "renewed", [FILES])
    form = {"grant_type": "refresh_token", "refresh_token": issued.refresh_token}
    async with http.post(f"{root(guarded)}/auth/token", data=form) as response:
        assert response.status == 200
        told = await response.json()
    async with mcp_socket(guarded.daemon.mcp_ws, headers=bearer(told["access_token"])) as client:
        assert "result" in await client.request("tools/list")
    async with http.post(f"{root(guarded)}/auth/token", data=form) as response:
        assert (response.status, (await response.json())["error"]) == (400, "invalid_grant")
    async with http.get(f"{root(guarded)}/.well-known/jwks.json") as response:
        (key,) = (await response.json())["keys"]
        assert key["kty"] == "EC"
        assert "d" not in key


async def test_what_an_administrator_revokes_ends_open_sockets(guarded: GuardedDaemon) -> None:
    """How soon is proved in `test_revocation_delay.py`."""
    issued = await guarded.authority.create("alice", "to be revoked", [MODELS])
    url, headers = guarded.daemon.mcp_ws, bearer(issued.access_token)
    async with (
        session_socket(url, headers) as session,
        connect(url, subprotocols=[Subprotocol("mcp")], additional_headers=headers) as plain,
        mcp_socket(url, headers=bearer(await guarded.token(FILES))) as bystander,
    ):
        opened = await session.open()
        await guarded.authority.revoke(issued.token_id)
        ends = await asyncio.gather(*(closing(connection) for connection in (session.connection, plain)))
        assert ends == [(4401, "revoked")] * 2
        assert "result" in await bystander.request("tools/list")
    async with session_socket(url, bearer(await guarded.token(MODELS))) as again:
        assert (await again.resume(opened, last=0))["code"] == "unknown_session"


async def closing(connection: Any) -> tuple[int, str]:
    """The code and the reason with which the daemon closes."""
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await connection.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_a_socket_does_not_outlive_its_token_and_its_session_is_resumed_with_a_fresh_one(
    guarded: GuardedDaemon,
) -> None:
    life_s = 2.0
    issued = await guarded.authority.create("alice", "short", [STATUS], timedelta(seconds=life_s))
    token, expires_at = issued.access_token, issued.expires_at
    assert expires_at is not None
    async with session_socket(guarded.daemon.mcp_ws, bearer(token)) as session:
        opened = await session.open()
        await session.call(1, "models")
        assert "result" in (await session.message())[1]
        assert await closing(session.connection) == (4401, "expired")
        assert time.time() >= expires_at
    with pytest.raises(InvalidStatus):
        await connect(guarded.daemon.mcp_ws, additional_headers=bearer(token))
    async with session_socket(guarded.daemon.mcp_ws, bearer(await guarded.token(FILES))) as again:
        assert (await again.resume(opened, last=1))["t"] == "resumed"
        await again.call(2, "models")
        assert (await again.message())[1]["error"]["code"] == -32007


HEADS = {
    "http": "PUT /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n",
    **{
        subprotocol: "GET /mcp HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {subprotocol}\r\n"
        for subprotocol in ("mcp", "exai.mcp.v1")
    },
}
"""A request for each door, up to its token. Raw, as no client would send what some of the tokens hold."""


async def test_no_forged_token_opens_a_door(guarded: GuardedDaemon) -> None:
    genuine = await guarded.token(*SCOPES)
    corpus = [
        (each.name, each.token)
        for each in forged(own_signer(genuine, guarded.its_data))
        if "\n" not in each.token  # which ends a header, wherever it comes
    ]
    assert len(corpus) >= 300
    for door, head in HEADS.items():
        assert await status_of(guarded, head, genuine) == (405 if door == "http" else 101)
        statuses = {name: await status_of(guarded, head, token) for name, token in corpus}
        refusals = {400, 401, 431}  # what is no header at all, no token, and a head that is too long
        assert {name: status for name, status in statuses.items() if status not in refusals} == {}, door
        assert sum(status == 401 for status in statuses.values()) > 0.9 * len(corpus), door
        twice = f"{genuine}\r\nAuthorization: Bearer {genuine}"
        assert await status_of(guarded, head, twice) == 401, door
    async with mcp_socket(guarded.daemon.mcp_ws, headers=bearer(genuine)) as client:
        assert not (await client.tool("status"))["isError"]
    assert "incident" not in guarded.daemon.log
    assert "Traceback" not in guarded.daemon.log


async def status_of(guarded: GuardedDaemon, head: str, token: str) -> int:
    """The status with which a raw request with this token is answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(guarded.daemon.mcp_http).port)
    try:
        writer.write(f"{head}Authorization: Bearer {token}\r\n\r\n".encode(errors="surrogateescape"))
        async with asyncio.timeout(30):
            return int((await reader.readline()).split()[1])
    finally:
        writer.transport.abort()
