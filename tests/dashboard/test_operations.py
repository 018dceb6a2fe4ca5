"""Health, readiness and metrics over HTTP."""

import asyncio
from collections.abc import Mapping

from starlette.testclient import TestClient

from exai import config
from exai.auth.hosts import HostRule
from exai.clock import SystemClock
from exai.dashboard.operations import Check, operations_app
from exai.monitoring.loop_lag import LoopLag
from exai.monitoring.metrics import Metrics


def client(checks: Mapping[str, Check], host: str = "localhost") -> TestClient:
    metrics = Metrics(version="1.2.3", loop_lag=LoopLag(SystemClock()))
    hosts = HostRule(config.Server(allowed_hosts=("exai.example",)))
    app = operations_app(checks=checks, metrics=metrics, hosts=hosts)
    return TestClient(app, base_url=f"http://{host}:8080")


async def well() -> str | None:
    return None


async def ill() -> str | None:
    return "the disk is full"


async def broken() -> str | None:
    raise KeyError("canary")


async def slow() -> str | None:
    await asyncio.Event().wait()
    return None


def test_alive_whatever_the_checks_say() -> None:
    assert client({"store": ill}).get("/healthz").json() == {"status": "ok"}


def test_ready_when_every_check_is_well() -> None:
    answer = client({"store": well, "keys": well}).get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "checks": {"store": "ok", "keys": "ok"}}


def test_not_ready_names_what_is_wrong_and_leaks_nothing() -> None:
    answer = client({"store": ill, "keys": well, "schema": broken, "loop": slow}).get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "store": "the disk is full",
        "keys": "ok",
        "schema": "failed: KeyError",
        "loop": "no answer within 2 s",
    }


def test_metrics_are_prometheus_text() -> None:
    answer = client({}).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'exai_build_info{version="1.2.3"} 1.0' in answer.text


def test_foreign_host_names_are_refused() -> None:
    assert client({}, "evil.example").get("/metrics").status_code == 421
    for host in ("127.0.0.1", "[::1]", "exai.example"):
        assert client({}, host).get("/healthz").status_code == 200


def test_pages_of_foreign_origins_are_refused() -> None:
    for path in ("/", "/healthz", "/metrics", "/nothing"):
        assert client({}).get(path, headers={"origin": "https://evil.example"}).status_code == 403
        assert client({}).get(path, headers={"origin": "null"}).status_code == 403
    assert client({}).get("/healthz", headers={"origin": "http://localhost:3000"}).status_code == 200
