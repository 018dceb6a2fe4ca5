"""The state of the daemon, and who used what: everybody's calls, and no text of any."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice

from msgspec import to_builtins
from starlette.responses import JSONResponse, Response

from exai.auth.scopes import DASHBOARD
from exai.callers import Caller
from exai.dashboard.readiness import Check, readiness_of
from exai.errors import MalformedMessage
from exai.monitoring.open_connections import OpenConnections
from exai.monitoring.running_calls import RunningCalls
from exai.tools.system_report import SystemReport
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route

__all__ = ["Overview"]

MOST_DAYS = 3_650.0
MOST_CALLERS = 200
"""Shown of those who are connected; those with the most connections."""
MOST_CALLS = 200
"""Shown of those that run; the oldest."""


@dataclass(frozen=True)
class Overview:
    """The routes that show the state of the daemon."""

    report: SystemReport
    auth_mode: str
    checks: Mapping[str, Check]
    sessions: Callable[[], Mapping[str, float]]
    """Figures of the resumable sessions."""
    running: RunningCalls
    connected: OpenConnections

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""
        return [
            Route(READ, "/api/overview", self._overview, scope=DASHBOARD, accepts_cookie=True),
            Route(READ, "/api/usage", self._usage, scope=DASHBOARD, accepts_cookie=True),
        ]

    async def _overview(self, request: AuthorizedRequest) -> Response:
        calls = list(self.running)
        service = self.report.service()
        readiness = await readiness_of(self.checks)
        body = {
            "service": {
                "version": service.version,
                "demo": service.demo,
                "auth_mode": self.auth_mode,
                "uptime_s": service.uptime_s,
            },
            "you": _who(request.caller),
            "status": readiness.state.word,
            "checks": readiness.verdicts,
            "check_states": readiness.states,
            "providers": [
                {"name": provider.name, "configured": provider.configured}
                for provider in self.report.providers()
            ],
            "duties": to_builtins(self.report.duty_states()),
            "sessions": self.sessions(),
            "connected": [asdict(each) for each in islice(self.connected, MOST_CALLERS)],
            "calls_running": len(calls),
            "calls": [
                {
                    "call_id": call.call_id,
                    "tool": call.tool,
                    "caller": call.caller.subject,
                    "door": call.caller.door,
                    "client": call.caller.client,
                    "seconds": round(call.seconds, 1),
                }
                for call in calls[:MOST_CALLS]
            ],
        }
        return JSONResponse(body)

    async def _usage(self, request: AuthorizedRequest) -> Response:
        asked = request.query
        try:
            days = float(asked.get("days", "30"))
        except ValueError:
            days = 0.0
        if not 0 < days <= MOST_DAYS:
            raise MalformedMessage(f"`days` is a number above 0 and up to {MOST_DAYS:g}.")
        report = await self.report.usage.report(days=days, caller=asked.get("caller"))
        return JSONResponse({"days": days, "usage": [asdict(each) for each in report]})


def _who(caller: Caller) -> dict[str, object]:
    credential = caller.credential
    return {
        "subject": caller.subject,
        "scopes": sorted(caller.scopes),
        "signed_in_until": None if credential is None else credential.expires_at,
        "by": None if credential is None else credential.issuer,
    }
