"""Health, readiness and metrics over HTTP, and what every answer of the port has in common."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from exai.auth.scopes import ADMIN, DASHBOARD
from exai.dashboard.readiness import Finding, State
from exai.events.events import IncidentRecorded
from exai.runtime.clock import ManualClock
from exai.web.unauthenticated import STATE_KEY, UnauthenticatedConnections
from support.operations_ports import Port

OpenPort = Callable[..., Awaitable[Port]]


async def well() -> Finding | None:
    return None


async def ill() -> Finding | None:
    return Finding(State.UNREADY, "the disk is full")


async def weak() -> Finding | None:
    return Finding(State.DEGRADED, "glm does not accept the key")


async def broken() -> Finding | None:
    raise KeyError("canary")


async def slow() -> Finding | None:
    await asyncio.Event().wait()
    return None


async def test_alive_whatever_the_checks_say(open_port: OpenPort) -> None:
    port = await open_port({"store": ill})
    assert (await port.ask("GET", "/healthz")).json == {"status": "ok"}


async def test_ready_when_every_check_is_well(open_port: OpenPort) -> None:
    port = await open_port({"store": well, "keys": well})
    answer = await port.ask("GET", "/readyz")
    assert (answer.status, answer.json) == (200, {"status": "ready", "checks": {"store": "ok", "keys": "ok"}})


async def test_what_still_serves_is_degraded_and_takes_calls(open_port: OpenPort) -> None:
    port = await open_port({"providers": weak, "keys": well})
    answer = await port.ask("GET", "/readyz")
    checks = {"providers": "glm does not accept the key", "keys": "ok"}
    assert (answer.status, answer.json) == (200, {"status": "degraded", "checks": checks})


async def test_not_ready_names_what_is_wrong_and_leaks_nothing(open_port: OpenPort) -> None:
    port = await open_port({"store": ill, "weak": weak, "keys": well, "schema": broken, "loop": slow})
    answer = await port.ask("GET", "/readyz")
    assert (answer.status, answer.json["status"]) == (503, "unready")
    assert answer.json["checks"] == {
        "store": "the disk is full",
        "weak": "glm does not accept the key",
        "keys": "ok",
        "schema": "failed: KeyError",
        "loop": "no answer within 2 s",
    }


async def test_metrics_are_prometheus_text_open_in_local_mode_alone(open_port: OpenPort) -> None:
    local = await open_port(mode="local")
    answer = await local.ask("GET", "/metrics")
    assert (answer.header("content-type") or "").startswith("text/plain; version=0.0.4")
    assert b'exai_build_info{version="1.2.3"} 1.0' in answer.body
    assert b"exai_dashboard_browsers 0.0" in answer.body
    required = await open_port()
    assert (await required.ask("GET", "/metrics")).status == 401
    token = (await required.authority.create("ops", "prometheus", [DASHBOARD])).access_token
    assert (await required.ask("GET", "/metrics", token=token)).status == 200


async def test_a_connection_counts_as_unauthenticated_until_a_request_of_it_is_authenticated(
    open_port: OpenPort,
) -> None:
    port, connections = await open_port(), UnauthenticatedConnections(ManualClock())
    port.state[STATE_KEY] = connections.add(3, lambda: None)
    token = (await port.authority.create("ops", "prometheus", [DASHBOARD])).access_token
    counted = []
    for path, shown in (("/healthz", token), ("/metrics", None), ("/metrics", token)):
        await port.ask("GET", path, token=shown)
        counted.append(len(connections))
    assert counted == [1, 1, 0]


async def test_before_the_day_on_which_tokens_are_required_the_dashboard_needs_one(
    open_port: OpenPort,
) -> None:
    port = await open_port(mode="optional-until 2999-01-01")
    for path in ("/metrics", "/api/overview", "/api/usage"):
        answer = await port.ask("GET", path)
        assert (answer.status, answer.json["error"]["scope"]) == (403, DASHBOARD)


async def test_foreign_names_and_origins_are_refused_whoever_asks(open_port: OpenPort) -> None:
    port = await open_port(server={"allowed_hosts": ["exai.example"]})
    token = (await port.authority.create("root", "all", [DASHBOARD, ADMIN])).access_token
    for path in ("/", "/healthz", "/readyz", "/metrics", "/api/tokens", "/nothing"):
        is_probed = path in {"/healthz", "/readyz"}
        for host in ("evil.example", "127.0.0.1.evil.example", None):
            assert (await port.ask("GET", path, host=host, token=token)).status == (200 if is_probed else 421)
        for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example"):
            assert (await port.ask("GET", path, headers={"origin": origin}, token=token)).status == 403
        for host in ("127.0.0.1", "localhost:8080", "[::1]", "exai.example"):
            assert (await port.ask("GET", path, host=host, token=token)).status in {200, 404}


async def test_a_probe_is_answered_under_the_address_of_its_pod(open_port: OpenPort) -> None:
    port = await open_port()
    for path in ("/healthz", "/readyz"):
        for host in ("10.1.2.3:8080", "[fd00::7]:8080", "exai.default.svc", "", None):
            assert (await port.ask("GET", path, host=host)).status == 200
            assert (await port.ask("HEAD", path, host=host)).status == 200


async def test_every_answer_forbids_frames_sniffing_caches_and_foreign_scripts(open_port: OpenPort) -> None:
    port = await open_port()
    answers = [
        await port.ask("GET", "/"),
        await port.ask("GET", "/healthz"),
        await port.ask("GET", "/metrics"),
        await port.ask("GET", "/nothing"),
        await port.ask("PUT", "/healthz"),
        await port.ask("GET", "/", host="evil.example"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 401, 404, 405, 421]
    for answer in answers:
        policy = (answer.header("content-security-policy") or "").split("; ")
        assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
        assert "unsafe" not in "".join(policy)
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("x-frame-options") == "DENY"
        assert answer.header("cache-control") == "no-store"
        assert answer.header("referrer-policy") == "no-referrer"
        assert answer.header("cross-origin-resource-policy") == "same-origin"
        assert answer.header("access-control-allow-origin") is None


async def test_a_preflight_is_answered_without_a_permission(open_port: OpenPort) -> None:
    port = await open_port(mode="local")
    asked = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    answer = await port.ask("OPTIONS", "/api/sign-in", headers=asked)
    assert answer.status == 405
    assert not [name for name, _ in answer.headers if name.startswith("access-control")]


async def test_a_method_that_a_path_has_not_is_405_to_the_local_user(open_port: OpenPort) -> None:
    port = await open_port(mode="local")
    for method in ("PUT", "POST", "DELETE", "OPTIONS"):
        answer = await port.ask(method, "/metrics")
        assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
    foreign = await port.ask("PUT", "/metrics", headers={"sec-fetch-site": "cross-site"})
    assert foreign.status == 403


async def test_an_unforeseen_failure_is_an_incident_and_tells_nothing(
    open_port: OpenPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = await open_port(mode="local")

    def fail() -> bytes:
        raise RuntimeError("canary")

    monkeypatch.setattr(port.metrics, "exposition", fail)
    answer = await port.ask("GET", "/metrics")
    assert answer.status == 500
    assert b"canary" not in answer.body
    (event,) = port.events
    assert isinstance(event, IncidentRecorded)
    assert event.incident_id in answer.json["error"]["message"]


async def test_a_websocket_finds_nothing_here(open_port: OpenPort) -> None:
    port = await open_port(mode="local")
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await port.app({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]
