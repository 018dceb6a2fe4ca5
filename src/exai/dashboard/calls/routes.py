"""The routes of calls: searched, exported, and one of them whole."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
import structlog
from starlette.responses import JSONResponse, Response, StreamingResponse

from exai.auth.scopes import DASHBOARD, ERRORS
from exai.dashboard.calls.details import document_of
from exai.dashboard.calls.ranges import Cursors, Range, range_of
from exai.dashboard.calls.terms import Jump, Search, read_search
from exai.dashboard.documents.live import Live
from exai.dashboard.documents.moments import whole
from exai.dashboard.faults import UnknownCall
from exai.dashboard.queries import query_of
from exai.dashboard.shared_runs import SharedRuns
from exai.error_tracking.deciding import number_of
from exai.errors import BadArguments, StoreFailed
from exai.runtime.clock import Clock
from exai.storage.dashboard.call_details import CallDetails
from exai.storage.dashboard.call_search import CallPage, CallQuery, CallSearch, Condition, Place
from exai.tools.system_report import SystemReport
from exai.web.requests import AnswerBrokenOff, AuthorizedRequest
from exai.web.routes import READ, Route

__all__ = ["Calls"]

_log = structlog.get_logger(__name__)

MOST = 200
MOST_EXPORTED = 100_000
EXPORT_PAGE = 1_000
MOST_BYTES = 60 * 1024
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With what a spreadsheet would begin a formula."""
CSV_COLUMNS = (
    "call_id",
    "began_at",
    "tool",
    "caller",
    "client",
    "door",
    "model_requested",
    "model",
    "provider",
    "outcome",
    "error",
    "group",
    "requests",
    "conversation_id",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "without_price",
    "emulated",
    "latency_ms",
    "first_token_ms",
)


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The query of a list."""

    q: str = ""
    from_: str = ""
    to: str = ""
    at: str = ""
    cursor: str = ""
    most: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 50


class _Exported(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The query of an export."""

    q: str = ""
    from_: str = ""
    to: str = ""
    at: str = ""
    format: Literal["csv", "jsonl"] = "csv"


class Calls:
    """The routes of calls of the journal."""

    def __init__(
        self, search: CallSearch, details: CallDetails, report: SystemReport, live: Live, clock: Clock
    ) -> None:
        self._search = search
        self._details = details
        self._report = report
        self._live = live
        self._clock = clock
        self._runs = SharedRuns()

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""
        return [
            Route(READ, "/api/calls", self._list, scope=DASHBOARD, accepts_cookie=True),
            Route(READ, "/api/calls/export", self._export, scope=DASHBOARD, accepts_cookie=True),
            Route(READ, "/api/calls/{call_id}", self._show, scope=DASHBOARD, accepts_cookie=True),
        ]

    async def _list(self, request: AuthorizedRequest) -> Response:
        asked = query_of(request, _Asked)
        search = read_search(asked.q)
        if search.jump is not None:
            return JSONResponse({"calls": [], "next": None, "jump": await self._jump(search.jump)})
        cursors = Cursors(asked.q, asked.from_, asked.to, asked.at)
        range_, after = self._where(asked, cursors)
        query = CallQuery(search.conditions, range_.since, range_.until)
        page = await self._runs.run(
            (query, after, asked.most), lambda: self._fitting(query, after, asked.most)
        )
        place = page.next
        body = {
            "calls": page.calls,
            "next": None if place is None else cursors.write(range_, place),
            "searched_to": page.searched_to,
            "range": {"from": range_.since, "to": range_.until},
            "terms": [_term(each) for each in search.conditions],
            "jump": None,
        }
        return JSONResponse(msgspec.to_builtins(body))

    def _where(self, asked: _Asked, cursors: Cursors) -> tuple[Range, Place | None]:
        if asked.cursor:
            return cursors.read(asked.cursor)
        now = self._clock.utc()
        return range_of(asked.from_, asked.at or asked.to, now), None

    async def _fitting(self, query: CallQuery, after: Place | None, most: int) -> CallPage:
        """Find a page that is not too large to be sent."""
        page = await self._search.page(query, after, most)
        while len(msgspec.json.encode(page)) > MOST_BYTES and len(page.calls) > 1:
            kept = page.calls[: len(page.calls) // 2]
            place = (kept[-1]["began_at"], kept[-1]["call_id"])
            page = CallPage(kept, place, place[0])
        return page

    async def _jump(self, jump: Jump) -> dict[str, Any]:
        """Say where an id leads, or that it leads nowhere."""
        call_id, number = None, None
        if jump.kind == "error":
            number = number_of(jump.id)
        elif jump.kind == "incident":
            call_id, number = await self._details.of_incident(jump.id)
        elif self._live.row(jump.id) is not None or await self._report.call(jump.id, None) is not None:
            call_id = jump.id
        if call_id is not None:
            return {"kind": "call", "id": call_id, "page": f"/calls/{call_id}", "why": None}
        if number is not None:
            return {"kind": "error", "id": f"E-{number}", "page": f"/errors/E-{number}", "why": None}
        why = "Nothing with this id is kept; it may have been deleted by its age."
        return {"kind": jump.kind, "id": jump.id, "page": None, "why": why}

    async def _show(self, request: AuthorizedRequest) -> Response:
        call_id = request.params["call_id"]
        found = await self._report.call(call_id, None)
        if found is None:
            running = self._live.row(call_id)
            if running is None:
                raise UnknownCall("The journal has no call of this id; it may have been deleted by its age.")
            return JSONResponse({"call": None, "running": running})
        around = await self._details.around(found.facts)
        shows_errors = request.caller.may(ERRORS)
        document = document_of(found, around, self._live, shows_errors=shows_errors)
        return JSONResponse(_bounded(document))

    async def _export(self, request: AuthorizedRequest) -> Response:
        asked = query_of(request, _Exported)
        search: Search = read_search(asked.q)
        if search.jump is not None:
            raise BadArguments("q: An export takes terms, and no id.")
        range_ = range_of(asked.from_, asked.at or asked.to, self._clock.utc())
        query = CallQuery(search.conditions, range_.since, range_.until)
        kind = "text/csv; charset=utf-8" if asked.format == "csv" else "application/jsonl"
        # What refuses a search refuses it before anything is sent.
        pages = self._pages(request, query, await self._search.page(query, None, EXPORT_PAGE))
        rows = _csv(pages) if asked.format == "csv" else _jsonl(pages)
        name = f"calls-{whole(range_.until)}.{asked.format}".replace(":", "")
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(rows, media_type=kind, headers=headers)

    async def _pages(
        self, request: AuthorizedRequest, query: CallQuery, page: CallPage
    ) -> AsyncIterator[list[dict[str, Any]]]:
        """Yield page after page; a revoked token or a failing database breaks off what nobody is to take for all."""
        left = MOST_EXPORTED
        while True:
            left -= len(page.calls)
            yield page.calls
            if page.next is None or left <= 0:
                return
            if request.is_revoked:
                raise AnswerBrokenOff
            try:
                page = await self._search.page(query, page.next, min(EXPORT_PAGE, left))
            except StoreFailed as fault:
                _log.warning("export broken off", error=fault.code, by=request.caller.subject)
                raise AnswerBrokenOff from fault


async def _csv(pages: AsyncIterator[list[dict[str, Any]]]) -> AsyncIterator[str]:
    yield ",".join(CSV_COLUMNS) + "\r\n"
    async for calls in pages:
        text = io.StringIO()
        writer = csv.writer(text)
        for call in calls:
            plain = msgspec.to_builtins(call)
            writer.writerow([_cell(plain[name]) for name in CSV_COLUMNS])
        yield text.getvalue()


async def _jsonl(pages: AsyncIterator[list[dict[str, Any]]]) -> AsyncIterator[bytes]:
    async for calls in pages:
        yield msgspec.json.Encoder().encode_lines(calls)


def _term(condition: Condition) -> dict[str, Any]:
    is_text = bool(condition.values)
    return {
        "field": condition.field,
        "op": condition.op,
        "negated": condition.negated,
        "value": list(condition.values) if is_text else condition.number,
    }


def _cell(value: Any) -> Any:
    """Write a cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _bounded(document: dict[str, Any]) -> dict[str, Any]:
    """Shorten what may be long until it can be sent, and say so."""
    for name, short in (("report", None), ("occurrences", []), ("log", document["log"][-20:]), ("log", [])):
        if len(msgspec.json.encode(document)) <= MOST_BYTES:
            break
        document = {**document, name: short, "cut": True}
    return document
