"""The state of the daemon, and who used what: everybody's calls, and no text of any."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice

from msgspec import to_builtins
from starlette.responses import JSONResponse, Response

from exai.auth.scopes import DASHBOARD
from exai.callers import Caller
from exai.errors import MalformedMessage
from exai.monitoring.open_connections import OpenConnections
from exai.monitoring.running_calls import RunningCalls
from exai.tools.system_report import SystemReport
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route

__all__ = ["Check", "Overview", "verdicts_of"]

Check = Callable[[], Awaitable[str | None]]
"""Asks one thing the daemon needs; `None` when it is well, else a sentence."""

CHECK_TIMEOUT_S = 2.0
MOST_DAYS = 3_650.0
MOST_CALLERS = 200
"""Shown of those who are connected; those with the most connections."""
MOST_CALLS = 200
"""Shown of those that run; the oldest."""


async def verdicts_of(checks: Mapping[str, Check]) -> dict[str, str]:
    """Run all checks; a sentence for each that fails, `ok` for the others."""
    names = list(checks)
    verdicts = await asyncio.gather(*(_verdict(checks[name]) for name in names))
    return {name: verdict or "ok" for name, verdict in zip(names, verdicts, strict=True)}


async def _verdict(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT_S:g} s"
    except Exception as error:  # noqa: BLE001 - a check that breaks is a check that fails
        return f"failed: {type(error).__name__}"


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
        body = {
            "service": {
                "version": service.version,
                "auth_mode": self.auth_mode,
                "uptime_s": service.uptime_s,
            },
            "you": _who(request.caller),
            "checks": await verdicts_of(self.checks),
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
