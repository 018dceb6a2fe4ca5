"""Signing in and out: a client asks for a ticket with its token, and the page exchanges it for a cookie."""

from typing import Annotated

import msgspec
from starlette.responses import JSONResponse, Response

from exai.auth.attempts import Attempts
from exai.auth.scopes import DASHBOARD
from exai.auth.tickets import BROWSER_SCOPES, TICKET_S, Tickets
from exai.dashboard.json_bodies import SMALL
from exai.errors import Unauthenticated
from exai.web.browser_sessions import COOKIE, BrowserSessions, cookie_of
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Route

__all__ = ["SignIn"]

POST = ("POST",)
ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"


class _TicketShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ticket: Annotated[str, msgspec.Meta(max_length=200)]


class SignIn:
    """The routes of signing in and out."""

    def __init__(self, tickets: Tickets, browsers: BrowserSessions, attempts: Attempts) -> None:
        self._tickets = tickets
        self._browsers = browsers
        self._attempts = attempts

    def routes(self) -> list[Route]:
        """List the rows for the table of the port."""
        return [
            Route(POST, "/api/tickets", self._issue, scope=DASHBOARD, needs_token=True),
            Route(POST, "/api/sign-in", self._sign_in, is_open=True, own_page_only=True, body=SMALL),
            Route(POST, "/api/sign-out", self._sign_out, is_open=True, own_page_only=True),
        ]

    async def _issue(self, request: AuthorizedRequest) -> Response:
        caller = request.caller
        scopes = frozenset(scope for scope in BROWSER_SCOPES if caller.may(scope))
        ticket = await self._tickets.issue(caller.subject, caller.credential, scopes)
        body = {"ticket": ticket, "expires_in": TICKET_S, "page": f"/#ticket={ticket}"}
        return JSONResponse(body, status_code=201)

    async def _sign_in(self, request: AuthorizedRequest) -> Response:
        shown = await request.json_body(_TicketShown)
        caller = await self._tickets.take(shown.ticket)
        if caller is None:
            self._attempts.refused(request.address)
            raise Unauthenticated(
                "This ticket is not good: each is good once, for 30 seconds. Make another with `exai dashboard`.",
                presented=True,
            )
        if (before := cookie_of(request.headers)) is not None:
            self._browsers.sign_out(before)
        return _with_cookie(self._browsers.sign_in(caller))

    async def _sign_out(self, request: AuthorizedRequest) -> Response:
        if (cookie := cookie_of(request.headers)) is not None:
            self._browsers.sign_out(cookie)
        return _with_cookie("", "; Max-Age=0")


def _with_cookie(value: str, further: str = "") -> Response:
    return Response(status_code=204, headers={"set-cookie": f"{COOKIE}={value}; {ATTRIBUTES}{further}"})
