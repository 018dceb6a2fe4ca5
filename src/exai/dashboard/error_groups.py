"""Groups of faults over HTTP: what `exai errors` does, for callers with a token of the scope `errors` or `operate`.

A token is needed in every mode: a page of another origin must not read what went wrong here, nor decide on it.
"""

from typing import Annotated, Any, Literal

import msgspec
from starlette.responses import JSONResponse, Response

from exai.auth.scopes import ERRORS, OPERATE
from exai.dashboard.json_bodies import SMALL
from exai.error_tracking.console import Console, Sort
from exai.error_tracking.deciding import Decision, number_of
from exai.errors import BadArguments
from exai.storage.error_tracking.rows import State
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
        return _json(await self._console.shown(number_of(request.params["group"])))

    async def _decide(self, request: AuthorizedRequest) -> Response:
        asked = await request.json_body(Decision)
        number = number_of(request.params["group"])
        return _json(await asked.on(self._console, number, request.caller.subject))


def _json(body: Any) -> Response:
    return JSONResponse(msgspec.to_builtins(body))
