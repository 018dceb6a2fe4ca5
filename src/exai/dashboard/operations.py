"""The operations port, put together: health and metrics for monitors, the dashboard for people, administration.

`/healthz` and `/readyz` are open, as those who ask them have no tokens; they tell nothing that is anybody's.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from starlette.responses import JSONResponse, Response

from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority
from exai.auth.scopes import DASHBOARD
from exai.auth.tickets import Tickets
from exai.callers import Door
from exai.dashboard.administration import Administration
from exai.dashboard.error_groups import ErrorGroups
from exai.dashboard.overview import Overview
from exai.dashboard.page import page_routes
from exai.dashboard.readiness import Check, State, readiness_of
from exai.dashboard.sign_in import SignIn
from exai.error_tracking.console import Console
from exai.events.events import Event
from exai.monitoring.metrics import CONTENT_TYPE, Metrics
from exai.runtime.clock import Clock
from exai.web.auth_gate import AuthGate
from exai.web.browser_sessions import BrowserSessions
from exai.web.hosts import HostRule
from exai.web.port import HttpPort
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route

__all__ = ["Identity", "health_routes", "operations_port"]

HEADERS = MappingProxyType(
    {
        b"content-security-policy": b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
        b"referrer-policy": b"no-referrer",
        b"x-content-type-options": b"nosniff",
        b"x-frame-options": b"DENY",
        b"cache-control": b"no-store",
    }
)
"""Of every answer that has no such field of its own."""


@dataclass(frozen=True)
class Identity:
    """Who is let in, and how that is changed."""

    authenticator: Authenticator
    authority: Authority
    tickets: Tickets
    browsers: BrowserSessions | None = None
    """Who is signed in to the dashboard; `None`: the port begins without anybody."""


def operations_port(
    *,
    identity: Identity,
    overview: Overview,
    errors: Console,
    metrics: Metrics,
    hosts: HostRule,
    clock: Clock,
    publish: Callable[[Event], None],
    further: Iterable[Route] = (),
) -> HttpPort:
    """Make the ASGI application of the operations port; `further` routes are served beside its own."""
    authenticator = identity.authenticator
    browsers = identity.browsers or BrowserSessions(clock, authenticator.end_of)
    metrics.read_samples(browsers.samples)
    return HttpPort(
        [
            *health_routes(overview.checks),
            _metrics_route(metrics),
            *page_routes(),
            *overview.routes(),
            *SignIn(identity.tickets, browsers, authenticator.attempts).routes(),
            *Administration(identity.authority).routes(),
            *ErrorGroups(errors, clock).routes(),
            *further,
        ],
        door=Door.OPERATIONS,
        hosts=hosts,
        gate=AuthGate(authenticator, publish, browsers=browsers),
        publish=publish,
        headers=HEADERS,
    )


def health_routes(checks: Mapping[str, Check]) -> list[Route]:
    """Make the routes that say whether the process answers, and whether it can serve.

    They are answered under any name: a probe knows the address of its pod or container, and no other.
    """

    async def healthz(_: AuthorizedRequest) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: AuthorizedRequest) -> Response:
        readiness = await readiness_of(checks)
        body = {"status": readiness.state.word, "checks": readiness.verdicts}
        return JSONResponse(body, status_code=503 if readiness.state is State.UNREADY else 200)

    return [
        Route(READ, path, handler, is_open=True, takes_any_host=True)
        for path, handler in (("/healthz", healthz), ("/readyz", readyz))
    ]


def _metrics_route(metrics: Metrics) -> Route:
    async def exposition(_: AuthorizedRequest) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return Route(READ, "/metrics", exposition, scope=DASHBOARD, accepts_cookie=True)
