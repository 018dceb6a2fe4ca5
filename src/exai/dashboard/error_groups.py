"""Groups of faults over HTTP: what `exai errors` does, for callers with the scope `errors` or `operate`.

A cookie, or nothing in local mode, will do for the dashboard's own page: a page of another origin must not read what
went wrong here, nor decide on it, and the auth gate refuses it.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import JSONResponse, Response

from exai.auth.scopes import ERRORS, OPERATE
from exai.dashboard.calls.ranges import TextCursors, moment_of
from exai.dashboard.json_bodies import SMALL
from exai.dashboard.queries import query_of
from exai.error_tracking.console import Console, Sort
from exai.error_tracking.deciding import Decision, number_of
from exai.error_tracking.places import place_after, place_in
from exai.errors import BadArguments
from exai.runtime.clock import Clock
from exai.storage.error_tracking.rows import State
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Handler, Route

__all__ = ["ErrorGroups"]

MOST = 200
MOST_BYTES = 56 * 1024
"""Of the rows of an answer."""


class _Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list."""

    state: State | Literal["all"] = "open"
    matching: Annotated[str, msgspec.Meta(max_length=200)] = ""
    sort: Sort = "last"
    at: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """An earlier moment, of which the groups are shown."""
    most: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 50
    cursor: Annotated[str, msgspec.Meta(max_length=400)] = ""


class _Occurrences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list of occurrences."""

    most: Annotated[int, msgspec.Meta(ge=1, le=50)] = 20
    cursor: Annotated[str, msgspec.Meta(max_length=400)] = ""


class ErrorGroups:
    """The routes of groups of faults."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""

        def read(path: str, handler: Handler) -> Route:
            return Route(READ, path, handler, scope=ERRORS, accepts_cookie=True)

        return [
            read("/api/errors", self._list),
            read("/api/errors/{group}", self._show),
            read("/api/errors/{group}/occurrences", self._list_occurrences),
            Route(
                ("POST",),
                "/api/errors/{group}/decide",
                self._decide,
                scope=OPERATE,
                accepts_cookie=True,
                body=SMALL,
            ),
        ]

    async def _list(self, request: AuthorizedRequest) -> Response:
        asked = query_of(request, _Listing)
        if asked.at:
            return await self._list_then(asked)
        cursors = TextCursors(asked.state, asked.matching, asked.sort)
        found = await self._console.listed(
            state=None if asked.state == "all" else asked.state,
            matching=asked.matching,
            sort=asked.sort,
            most=asked.most,
            after=place_in(cursors.read(asked.cursor), asked.sort) if asked.cursor else None,
        )
        days = await self._console.days_of(found)
        groups = list(_within({**msgspec.to_builtins(line), "days": days[line.group]} for line in found))
        kept = len(groups)
        has_more = kept < len(found) or len(found) == asked.most
        place = place_after(found[kept - 1], asked.sort) if kept and has_more else None
        return _json({"groups": groups, "next": None if place is None else cursors.write(place)})

    async def _list_then(self, asked: _Listing) -> Response:
        at = moment_of("at", asked.at, self._clock.utc())
        if asked.sort == "callers" or asked.sort == "cost" or asked.cursor:  # noqa: PLR1714 - narrows its type
            raise BadArguments(
                f"sort: Of an earlier moment the {MOST} first groups are listed, by `last`, `first` or `seen`."
            )
        found = await self._console.listed_then(
            at,
            state=None if asked.state == "all" else asked.state,
            matching=asked.matching,
            sort=asked.sort,
            most=asked.most,
        )
        groups = list(_within(map(msgspec.to_builtins, found)))
        return _json({"at": at, "groups": groups, "next": None, "more": len(groups) == asked.most})

    async def _list_occurrences(self, request: AuthorizedRequest) -> Response:
        asked = query_of(request, _Occurrences)
        number = number_of(request.params["group"])
        cursors = TextCursors("occurrences", str(number))
        after = cursors.read(asked.cursor) if asked.cursor else None
        found = await self._console.occurrences(number, asked.most, after)
        occurrences: list[dict[str, Any]] = []
        size = 0
        for each in found:
            shown = {**msgspec.structs.asdict(each), "body": msgspec.json.decode(each.body)}
            size += len(each.body)
            if occurrences and size > MOST_BYTES:
                break
            occurrences.append(shown)
        has_more = len(occurrences) < len(found) or len(found) == asked.most
        cursor = occurrences[-1]["occurrence_id"] if occurrences and has_more else None
        place = None if cursor is None else cursors.write(cursor)
        return _json({"occurrences": occurrences, "next": place})

    async def _show(self, request: AuthorizedRequest) -> Response:
        return _json(await self._console.shown(number_of(request.params["group"])))

    async def _decide(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(Decision)
        number = number_of(request.params["group"])
        return _json(await asked.on(self._console, number, request.caller.subject))


def _within(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield as many rows as an answer may hold, and one at least."""
    size = 0
    for number, row in enumerate(rows):
        size += len(msgspec.json.encode(row))
        if number and size > MOST_BYTES:
            return
        yield row


def _json(body: Any) -> Response:
    return JSONResponse(msgspec.to_builtins(body))
