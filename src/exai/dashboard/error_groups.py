"""Groups of faults over HTTP: what `exai errors` does, for callers with a token of the scope `errors` or `operate`.

A token is needed in every mode: a page of another origin must not read what went wrong here, nor decide on it.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import JSONResponse, Response

from exai.auth.scopes import ERRORS, OPERATE
from exai.dashboard.json_bodies import SMALL
from exai.error_tracking.console import Console, GroupLine, Sort
from exai.error_tracking.states import archive, reopen, resolve
from exai.errors import BadArguments
from exai.storage.error_tracking.rows import Change, GroupRow, State
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route

__all__ = ["ErrorGroups"]

MOST = 200


class _Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a list."""

    state: State | Literal["all"] = "open"
    matching: Annotated[str, msgspec.Meta(max_length=200)] = ""
    sort: Sort = "last"
    most: Annotated[int, msgspec.Meta(ge=1, le=MOST)] = 50


class _Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    decision: Literal["resolve", "archive", "reopen", "merge", "split"]
    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """That was looked at; another one is refused."""
    note: Annotated[str, msgspec.Meta(max_length=2_000)] = ""
    release: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    """Of `resolve`: it comes back from this release on; `next`: from the first that is seen after now."""
    days: Annotated[float, msgspec.Meta(gt=0, le=3_650)] | None = None
    more: Annotated[int, msgspec.Meta(ge=1)] | None = None
    hourly: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Of `archive`: until then; whichever comes first."""
    groups: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    """Of `merge`: those that become part of it."""
    fingerprint: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Of `split`: its first digits."""


class ErrorGroups:
    """The routes of groups of faults."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""
        return [
            Route(READ, "/api/errors", self._list, scope=ERRORS, needs_token=True),
            Route(READ, "/api/errors/{group}", self._show, scope=ERRORS, needs_token=True),
            Route(
                ("POST",),
                "/api/errors/{group}/decide",
                self._decide,
                scope=OPERATE,
                needs_token=True,
                body=SMALL,
            ),
        ]

    async def _list(self, request: AuthorizedRequest) -> Response:
        try:
            asked = msgspec.convert(dict(request.query), _Listing, strict=False)
        except msgspec.ValidationError as error:
            raise BadArguments(f"The query is not as it has to be: {error}.") from None
        found = await self._console.listed(
            state=None if asked.state == "all" else asked.state,
            matching=asked.matching,
            sort=asked.sort,
            most=asked.most,
        )
        return _json({"groups": found})

    async def _show(self, request: AuthorizedRequest) -> Response:
        return _json(await self._console.shown(_number(request.params["group"])))

    async def _decide(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(_Decision)
        return _json(await self._decided(_number(request.params["group"]), asked, request.caller.subject))

    async def _decided(self, number: int, asked: _Decision, actor: str) -> GroupLine:
        console, note = self._console, asked.note
        if asked.decision == "merge":
            return await console.merge(number, list(map(_number, asked.groups)), actor=actor, note=note)
        if asked.decision == "split":
            return await console.split(number, asked.fingerprint, actor=actor, note=note)

        def change(group: GroupRow) -> Change:
            now = datetime.now(UTC)
            if asked.decision == "resolve":
                return resolve(group, at=now, release=asked.release)
            if asked.decision == "archive":
                until = None if asked.days is None else now + timedelta(days=asked.days)
                return archive(group, until=until, more=asked.more, hourly=asked.hourly)
            return reopen(group)

        return await console.decide(number, change, version=asked.version, actor=actor, note=note)


def _number(name: str) -> int:
    digits = name.strip().upper().removeprefix("E-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise BadArguments("Groups are named as E-17.")
    return int(digits)


def _json(body: Any) -> Response:
    return JSONResponse(msgspec.to_builtins(body))
