"""The operations port, put together: health and metrics for monitors, the dashboard for people, administration.

`/healthz` and `/readyz` are open, as those who ask them have no tokens; they tell nothing that is anybody's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response

from exai.auth.authenticator import Authenticator
from exai.auth.authority import Authority
from exai.auth.scopes import DASHBOARD
from exai.auth.tickets import Tickets
from exai.dashboard.administration import Administration
from exai.dashboard.browsers import BrowserSessions
from exai.dashboard.overview import Check, Overview, verdicts_of
from exai.dashboard.page import page_entries
from exai.dashboard.routes import Entrance, Entry, OperationsPort, Visit
from exai.dashboard.sign_in import SignIn
from exai.events.events import Event
from exai.monitoring.metrics import CONTENT_TYPE, Metrics
from exai.runtime.clock import Clock
from exai.web.hosts import HostRule

__all__ = ["Identity", "operations_port"]


@dataclass(frozen=True)
class Identity:
    """Who may come in, and how that is changed."""

    authenticator: Authenticator
    authority: Authority
    tickets: Tickets


def operations_port(
    *,
    identity: Identity,
    overview: Overview,
    metrics: Metrics,
    hosts: HostRule,
    clock: Clock,
    publish: Callable[[Event], None],
) -> OperationsPort:
    """The ASGI application of the operations port."""
    authenticator = identity.authenticator
    browsers = BrowserSessions(clock, authenticator.end_of)
    metrics.read_samples(browsers.samples)
    return OperationsPort(
        [
            *health_entries(overview.checks),
            _metrics_entry(metrics),
            *page_entries(),
            *overview.entries(),
            *SignIn(identity.tickets, browsers, authenticator.attempts).entries(),
            *Administration(identity.authority).entries(),
        ],
        hosts=hosts,
        entrance=Entrance(authenticator, browsers),
        publish=publish,
    )


def health_entries(checks: Mapping[str, Check]) -> list[Entry]:
    """Whether the process answers, and whether it can serve."""

    async def healthz(_: Visit) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Visit) -> Response:
        verdicts = await verdicts_of(checks)
        is_ready = all(verdict == "ok" for verdict in verdicts.values())
        body = {"status": "ready" if is_ready else "unready", "checks": verdicts}
        return JSONResponse(body, status_code=200 if is_ready else 503)

    return [Entry("GET", "/healthz", healthz), Entry("GET", "/readyz", readyz)]


def _metrics_entry(metrics: Metrics) -> Entry:
    async def exposition(_: Visit) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE)

    return Entry("GET", "/metrics", exposition, scope=DASHBOARD)
