"""Every route of the operations port, whatever it is, with every kind of token: generated from its table."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from exai import config
from exai.auth.authority import Authority
from exai.auth.scopes import ADMIN, DASHBOARD, ERRORS, OPERATE, SCOPES
from exai.dashboard.page import FOLDERS, PAGES
from exai.storage.database_file import FILE_NAME
from exai.storage.identity.tables import IdentityTables
from exai.web.routes import READ, Route
from support.migrated_databases import migrated_sqlite
from support.operations_ports import OWN_ORIGIN, Port, Reply, daemon_port, filled

OpenPort = Callable[..., Awaitable[Port]]

OPEN = {
    *((READ, path) for path in PAGES),
    *((READ, f"/page/{folder}{{file}}") for folder in FOLDERS),
    (READ, "/healthz"),
    (READ, "/readyz"),
    (("POST",), "/api/sign-in"),
    (("POST",), "/api/sign-out"),
}
"""What may be had without a token. A route that is to join them is written down here, or this test fails."""

BY_COOKIE = {
    (READ, "/metrics"): DASHBOARD,
    (READ, "/api/overview"): DASHBOARD,
    (READ, "/api/feed"): DASHBOARD,
    (READ, "/api/calls"): DASHBOARD,
    (READ, "/api/calls/export"): DASHBOARD,
    (READ, "/api/providers"): DASHBOARD,
    (READ, "/api/series"): DASHBOARD,
    (READ, "/api/usage"): DASHBOARD,
    (READ, "/api/usage/days"): DASHBOARD,
    (READ, "/api/usage/tools"): DASHBOARD,
    (READ, "/api/baselines"): DASHBOARD,
    (READ, "/api/system/settings"): DASHBOARD,
    (READ, "/api/system/runs"): DASHBOARD,
    (READ, "/api/errors"): ERRORS,
    (READ, "/api/auditor/observations"): ERRORS,
}
"""What a browser that signed in may see, and the local user without a token."""

BY_COOKIE_OF_ONE = {
    (READ, "/api/feed/{topic}"): DASHBOARD,
    (READ, "/api/calls/{call_id}"): DASHBOARD,
    (READ, "/api/baselines/{name}"): DASHBOARD,
    (READ, "/api/baselines/{name}/compare/{other}"): DASHBOARD,
    (READ, "/api/errors/{group}"): ERRORS,
    (READ, "/api/errors/{group}/occurrences"): ERRORS,
}
"""The same of one thing, which is not there in these tests."""

CONTROLS = {
    (("POST",), path): OPERATE
    for path in (
        "/api/calls/{call_id}/cancel",
        "/api/breakers/close",
        "/api/breakers/probe",
        "/api/sessions/{session}/end",
        "/api/errors/decide",
        "/api/errors/{group}/decide",
        "/api/errors/{group}/investigate",
        "/api/auditor/observations/{observation}/decide",
        "/api/baselines",
        "/api/baselines/{name}/stop",
    )
}
"""What the dashboard's own page may do by the cookie, and the local user from that page; no other page."""

NOT_THERE = {
    (READ, "/api/feed/{topic}"),
    (READ, "/api/calls/{call_id}"),
    (("POST",), "/api/calls/{call_id}/cancel"),
}
"""Where what is not there is 404, as its name could be one; everywhere else the name or the body is refused."""

WITH_A_TOKEN = {
    (("POST",), "/api/tickets"): DASHBOARD,
    (READ, "/api/tokens"): ADMIN,
    (("POST",), "/api/tokens"): ADMIN,
    (("DELETE",), "/api/tokens/{token_id}"): ADMIN,
    (("POST",), "/api/tokens/{token_id}/rotate"): ADMIN,
    (("POST",), "/api/revocations/token"): ADMIN,
    (("POST",), "/api/revocations/subject"): ADMIN,
    (READ, "/api/keys"): ADMIN,
    (("POST",), "/api/keys/rotate"): ADMIN,
}
"""What nobody does without one, in any mode. Nothing here runs a command or fetches what a caller names."""


@pytest.fixture
async def open_port(tmp_path: Path) -> AsyncIterator[OpenPort]:
    """Opens the port with the routes of a daemon, under settings of `auth`."""
    async with AsyncExitStack() as scopes:

        async def opened(**auth: Any) -> Port:
            data_dir = tmp_path / "data"
            data_dir.mkdir(mode=0o700)
            migrated_sqlite(data_dir / FILE_NAME)
            settings = config.Auth.model_validate({"mode": "required", **auth})
            return await scopes.enter_async_context(daemon_port(data_dir, settings))

        yield opened


async def ask(port: Port, method: str, route: Route, token: str | None, **headers: str) -> Reply:
    path = filled(route.path)
    body: dict[str, Any] | None = {} if method == "POST" else None
    return await port.ask(method, path, token=token, json_body=body, headers=headers)


def key(route: Route) -> tuple[tuple[str, ...], str]:
    return route.methods, route.path


def closed(port: Port) -> list[tuple[str, Route]]:
    """Every method of every row that is not open."""
    return [(method, route) for route in port.app.table if not route.is_open for method in route.methods]


async def tokens_that_are_refused(port: Port) -> dict[str, str]:
    """By kind; each would have every scope."""
    everything = list(SCOPES)
    good = await port.authority.create("alice", "good", everything)
    expired = await port.authority.create("alice", "expired", everything, timedelta(minutes=1))
    revoked = await port.authority.create("alice", "revoked", everything)
    revoked_key = await port.authority.create_key("alice", "revoked key", everything)
    of_the_past = await port.authority.create("bob", "all of bob's", everything)
    elsewhere = Authority(
        config.Auth(mode="required", audience="another"),
        IdentityTables(port.database),
        port.authority._keys._folder.parent,
        port.clock,
    )
    other_audience = await elsewhere.create("alice", "other audience", everything)
    for each in (revoked, revoked_key):
        await port.authority.revoke(each.token_id)
    await port.authority.revoke_subject("bob")
    port.clock.advance(120)
    header, claims, signature = good.access_token.split(".")
    return {
        "nonsense": "nonsense",
        "no signature": f"{header}.{claims}.",
        "another's signature": f"{header}.{claims}.{expired.access_token.split('.')[2]}",
        "cut signature": f"{header}.{claims}.{signature[:-4]}",
        "a refresh token": good.refresh_token or "",
        "expired": expired.access_token,
        "revoked": revoked.access_token,
        "revoked key": revoked_key.access_token,
        "revoked principal": of_the_past.access_token,
        "other audience": other_audience.access_token,
    }


async def test_the_routes_are_these_and_no_others(open_port: OpenPort) -> None:
    table = list((await open_port()).app.table)
    assert {key(route) for route in table if route.is_open} == OPEN
    with_cookie = {key(route): route.scope for route in table if route.accepts_cookie}
    assert with_cookie == BY_COOKIE | BY_COOKIE_OF_ONE | CONTROLS
    assert {key(route): route.scope for route in table if route.needs_token} == WITH_A_TOKEN
    assert len(table) == len(OPEN) + len(with_cookie) + len(WITH_A_TOKEN)


async def test_no_route_but_an_open_one_answers_without_a_good_token(open_port: OpenPort) -> None:
    port = await open_port(failures_per_minute=10_000)
    refused = await tokens_that_are_refused(port)
    for method, route in closed(port):
        answer = await ask(port, method, route, None)
        challenge = answer.header("www-authenticate")
        if method in READ or route.needs_token:
            assert (answer.status, challenge) == (401, 'Bearer realm="exai"'), key(route)
        else:
            assert answer.status == 403, key(route)
        for kind, token in refused.items():
            answer = await ask(port, method, route, token, origin=OWN_ORIGIN)
            expected = (
                'Bearer realm="exai", error="invalid_token", error_description="The token is not accepted'
            )
            assert answer.status == 401, (key(route), kind)
            assert (answer.header("www-authenticate") or "").startswith(expected), (key(route), kind)
            assert token not in answer.body.decode()


async def test_a_method_that_a_path_does_not_have_is_told_to_whom_the_path_lets_in(
    open_port: OpenPort,
) -> None:
    port = await open_port()
    for route in port.app.table:
        scope = route.scope or DASHBOARD
        token = (await port.authority.create("alice", "right", [scope])).access_token
        of_path = [method for other in port.app.table if other.path == route.path for method in other.methods]
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - set(of_path):
            answer = await ask(port, method, route, token, origin=OWN_ORIGIN)
            assert (answer.status, answer.header("allow")) == (405, ", ".join(of_path)), (method, key(route))
            stranger = await ask(port, method, route, None, origin=OWN_ORIGIN)
            assert stranger.status == (405 if route.is_open else 401), (method, key(route))


async def test_a_token_of_every_scope_but_the_right_one_is_forbidden_and_told_what_is_missing(
    open_port: OpenPort,
) -> None:
    port = await open_port()
    for method, route in closed(port):
        others = [scope for scope in SCOPES if scope != route.scope]
        token = (await port.authority.create("alice", "others", others)).access_token
        answer = await ask(port, method, route, token)
        assert answer.status == 403, key(route)
        assert answer.json["error"]["scope"] == route.scope
        expected = f'Bearer realm="exai", error="insufficient_scope", scope="{route.scope}", '
        assert (answer.header("www-authenticate") or "").startswith(expected)


async def test_the_right_scope_alone_is_let_in(open_port: OpenPort) -> None:
    port = await open_port()
    for method, route in closed(port):
        assert route.scope is not None
        for made in (
            await port.authority.create("alice", "right", [route.scope]),
            await port.authority.create_key("alice", "right", [route.scope]),
        ):
            answer = await ask(port, method, route, made.access_token)
            assert answer.status not in {401, 403, 405, 500}, key(route)


async def test_in_local_mode_a_bad_token_is_refused_and_administration_still_needs_a_good_one(
    open_port: OpenPort,
) -> None:
    port = await open_port(mode="local", failures_per_minute=10_000)
    for method, route in closed(port):
        without = await ask(port, method, route, None)
        unknown = 404 if key(route) in NOT_THERE else 400
        if key(route) in BY_COOKIE_OF_ONE:
            assert without.status == unknown, key(route)
        elif key(route) in CONTROLS:
            assert without.status == 403, key(route)
            own_page = await port.ask(
                method, filled(route.path), json_body={}, headers={"origin": OWN_ORIGIN}
            )
            assert own_page.status == unknown, key(route)
        else:
            assert without.status == (200 if key(route) in BY_COOKIE else 401), key(route)
        foreign = await port.ask(method, filled(route.path), headers={"origin": "http://localhost:3000"})
        assert foreign.status in ({401} if route.needs_token else {403}), key(route)
        assert (await ask(port, method, route, "nonsense", origin=OWN_ORIGIN)).status == 401, key(route)
        assert (await ask(port, method, route, "", origin=OWN_ORIGIN)).status == 401, key(route)


async def test_a_token_in_the_address_or_in_a_body_is_none(open_port: OpenPort) -> None:
    port = await open_port()
    token = (await port.authority.create("alice", "good", [DASHBOARD, ADMIN])).access_token
    for name in ("access_token", "token", "authorization"):
        assert (await port.ask("GET", f"/metrics?{name}={token}")).status == 401
        assert (await port.ask("POST", "/api/tokens", json_body={name: token})).status == 401
    for name in ("x-authorization", "cookie", "proxy-authorization"):
        assert (await port.ask("GET", "/metrics", headers={name: f"Bearer {token}"})).status == 401
    twice = {"authorization": f"Bearer {token}"}
    assert (await port.ask("GET", "/metrics", token=token, headers=twice)).status == 401


async def test_a_path_is_what_it_is_and_not_what_it_could_be_taken_for(open_port: OpenPort) -> None:
    port = await open_port()
    for path in (
        "/metrics/",
        "//metrics",
        "/healthz/../metrics",
        "/api/tokens/",
        "/METRICS",
        "/healthz/metrics",
    ):
        assert (await port.ask("GET", path)).status == 404, path
    assert (await port.ask("GET", "/metrics", host="localhost/healthz")).status in {401, 421}


async def test_refused_too_often_an_address_is_told_so_and_good_tokens_go_on(open_port: OpenPort) -> None:
    port = await open_port(failures_per_minute=5)
    token = (await port.authority.create("alice", "good", [DASHBOARD])).access_token
    assert (await port.ask("GET", "/metrics", token=token)).status == 200
    statuses = [(await port.ask("GET", "/metrics", token=f"bad{n}")).status for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    late = await port.ask("GET", "/metrics", token="bad")
    assert 1 <= int(late.header("retry-after") or "0") <= 60
    assert (await port.ask("GET", "/metrics", token=token)).status == 200
