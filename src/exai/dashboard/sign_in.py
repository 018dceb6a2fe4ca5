"""Signing in and out: a ticket is asked for with a token, and exchanged for a cookie by the page."""

from typing import Annotated

import msgspec
from starlette.responses import JSONResponse, Response

from exai.auth.attempts import Attempts
from exai.auth.scopes import DASHBOARD
from exai.auth.tickets import TICKET_S, Tickets
from exai.dashboard.browsers import COOKIE, BrowserSessions, cookie_of
from exai.dashboard.routes import Entry, Visit
from exai.errors import Unauthenticated

__all__ = ["SignIn"]

ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"


class _TicketShown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    ticket: Annotated[str, msgspec.Meta(max_length=200)]


class SignIn:
    """The entries of signing in and out."""

    def __init__(self, tickets: Tickets, browsers: BrowserSessions, attempts: Attempts) -> None:
        self._tickets = tickets
        self._browsers = browsers
        self._attempts = attempts

    def entries(self) -> list[Entry]:
        """For the table of the port."""
        return [
            Entry("POST", "/api/tickets", self._issue, scope=DASHBOARD, bearer_only=True),
            Entry("POST", "/api/sign-in", self._sign_in, page_only=True),
            Entry("POST", "/api/sign-out", self._sign_out, page_only=True),
        ]

    async def _issue(self, visit: Visit) -> Response:
        ticket = await self._tickets.issue(visit.caller.subject, visit.caller.credential)
        told = {"ticket": ticket, "expires_in": TICKET_S, "page": f"/#ticket={ticket}"}
        return JSONResponse(told, status_code=201)

    async def _sign_in(self, visit: Visit) -> Response:
        shown = await visit.body(_TicketShown)
        caller = await self._tickets.take(shown.ticket)
        if caller is None:
            self._attempts.refused(visit.address)
            raise Unauthenticated(
                "This ticket is not good: each is good once, for 30 seconds. Make another with `exai dashboard`.",
                presented=True,
            )
        if (before := cookie_of(visit.headers)) is not None:
            self._browsers.sign_out(before)
        return _with_cookie(self._browsers.sign_in(caller))

    async def _sign_out(self, visit: Visit) -> Response:
        if (cookie := cookie_of(visit.headers)) is not None:
            self._browsers.sign_out(cookie)
        return _with_cookie("", "; Max-Age=0")


def _with_cookie(value: str, further: str = "") -> Response:
    return Response(status_code=204, headers={"set-cookie": f"{COOKIE}={value}; {ATTRIBUTES}{further}"})
