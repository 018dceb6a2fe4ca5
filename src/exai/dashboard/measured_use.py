"""Baselines and the use of tools over HTTP: what `exai baseline` and `exai usage tools` do."""

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from starlette.responses import JSONResponse, Response

from exai.auth.scopes import DASHBOARD, OPERATE
from exai.dashboard.json_bodies import SMALL
from exai.dashboard.queries import query_of
from exai.monitoring.baselines.baselines import Baselines
from exai.monitoring.baselines.comparison import compare
from exai.monitoring.baselines.report import BaselineReport
from exai.monitoring.tool_use.reading import ToolReports
from exai.storage.baselines.runs import BaselineRow
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Handler, Route

__all__ = ["MeasuredUse"]

MOST_DAYS = 200
MOST_CALLERS = 100


class _NewBaseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    hours: Annotated[float, msgspec.Meta(gt=0, le=1_440)] = 24.0
    where: Annotated[str, msgspec.Meta(max_length=500)] = ""
    note: Annotated[str, msgspec.Meta(max_length=500)] = ""


class _Days(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    days: Annotated[float, msgspec.Meta(ge=1, le=400)] = 30.0


class MeasuredUse:
    """The routes of the pages Usage and Baselines."""

    def __init__(self, baselines: Baselines, tools: ToolReports) -> None:
        self._baselines = baselines
        self._tools = tools

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""

        def read(path: str, handler: Handler) -> Route:
            return Route(READ, path, handler, scope=DASHBOARD, accepts_cookie=True)

        return [
            read("/api/baselines", self._list),
            read("/api/baselines/{name}", self._show),
            read("/api/baselines/{name}/compare/{other}", self._compare),
            Route(("POST",), "/api/baselines", self._start, scope=OPERATE, accepts_cookie=True, body=SMALL),
            Route(("POST",), "/api/baselines/{name}/stop", self._stop, scope=OPERATE, accepts_cookie=True),
            read("/api/usage/tools", self._judged),
            read("/api/usage/days", self._days),
        ]

    async def _list(self, _: AuthorizedRequest) -> Response:
        rows = await self._baselines.listed()
        reports = [
            await self._baselines.report(row.name) if row.state != "collecting" else None for row in rows[:50]
        ]
        padded = [*reports, *([None] * len(rows))]
        return _json({"runs": [_shown(row, report) for row, report in zip(rows, padded, strict=False)]})

    async def _show(self, request: AuthorizedRequest) -> Response:
        report = await self._baselines.report(request.params["name"])
        row = report.baseline
        why = None if report.calls else "No call has ended within it so far."
        return _json({"run": _shown(row, report), "report": report, "why": why})

    async def _compare(self, request: AuthorizedRequest) -> Response:
        before, after = request.params["name"], request.params["other"]
        reports = [await self._baselines.report(name) for name in (before, after)]
        return _json({"before": before, "after": after, "changes": compare(*reports)})

    async def _start(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(_NewBaseline)
        lasts = timedelta(hours=asked.hours)
        row = await self._baselines.start(asked.name, lasts, where=asked.where, note=asked.note)
        sentence = f"{row.name} collects until {row.planned_end:%Y-%m-%d %H:%M} UTC."
        return _json({"run": _shown(row, None), "told": sentence}, status=201)

    async def _stop(self, request: AuthorizedRequest) -> Response:
        report = await self._baselines.stop(request.params["name"])
        row = report.baseline
        return _json(
            {"run": _shown(row, report), "told": f"{row.name} is {row.state}, with {report.calls} calls."}
        )

    async def _judged(self, request: AuthorizedRequest) -> Response:
        return _json(await self._tools.tools(query_of(request, _Days).days))

    async def _days(self, request: AuthorizedRequest) -> Response:
        days = query_of(request, _Days).days
        rows = await self._tools.days(days)
        callers = await self._tools.by_caller(days, MOST_CALLERS)
        cut = len(rows) > MOST_DAYS or len(callers) == MOST_CALLERS
        return _json({"days": rows[:MOST_DAYS], "callers": callers, "cut": cut})


def _shown(row: BaselineRow, report: BaselineReport | None) -> dict[str, Any]:
    return {
        "name": row.name,
        "state": row.state,
        "began_at": row.began_at,
        "planned_end": row.planned_end,
        "ended_at": row.ended_at,
        "coverage": None if report is None else report.coverage.share,
        "calls": None if report is None else report.calls,
        "note": row.note,
        "filter": row.filter,
        "compressed": row.speed > 1,
    }


def _json(body: Any, *, status: int = 200) -> Response:
    return JSONResponse(msgspec.to_builtins(body), status_code=status)
