"""Who a request is from, and whether its route lets them in: by token, or by the cookie of a browser that signed in.

It decides by the request's own headers and its peer's address alone.
"""

from collections.abc import Callable
from typing import Protocol

from starlette.types import Scope

from exai.auth.attempts import Attempts
from exai.auth.revocation_state import EndReason
from exai.callers import Caller, Door, RawHeaders
from exai.errors import ExaiError, ScopeMissing, Unauthenticated
from exai.events.events import CallerRefused, Event
from exai.web.browser_sessions import BrowserSessions, cookie_of, is_fetched_by_another, is_page_of_our_own
from exai.web.challenge import Challenge, bearer_challenge
from exai.web.faults import NotOurPage
from exai.web.hosts import peer_address
from exai.web.routes import READ, Route
from exai.web.unauthenticated import note_authenticated

__all__ = ["AuthGate", "Authenticates", "check_allowed"]


class Authenticates(Protocol):
    """What the ports need of the authenticator."""

    @property
    def attempts(self) -> Attempts:
        """Refusals by address."""
        ...

    async def authenticate(self, headers: RawHeaders, *, door: Door, address: str) -> Caller:
        """Identify the sender of these headers.

        Raises:
            Unauthenticated: no token came although one must, or an invalid one.
            TooManyAttempts: that was so too often from this address.
            StoreFailed: only the database could tell, and it is out of reach.
        """
        ...

    def end_of(self, caller: Caller) -> EndReason | None:
        """Return how the credential of a caller ended; `None` while it is good."""
        ...

    def watch(self, on_change: Callable[[], None]) -> None:
        """Have `on_change` called whenever something was revoked."""
        ...


class AuthGate:
    """Authenticates the requests of one port."""

    def __init__(
        self,
        authenticator: Authenticates,
        publish: Callable[[Event], None],
        *,
        challenge: Challenge = bearer_challenge,
        browsers: BrowserSessions | None = None,
    ) -> None:
        """Set up the gate of a port.

        Args:
            challenge: the header fields of its refusals.
            browsers: who is signed in, where cookies are taken at all. Then a request without a token must come from
                no other page than the port's own: what lets it in, a cookie or the machine that it runs on, a browser
                adds by itself, for whichever page.
        """
        self.challenge = challenge
        self._authenticator = authenticator
        self._publish = publish
        self._browsers = browsers

    def end_of(self, caller: Caller) -> EndReason | None:
        """Return how the credential of a caller ended; `None` while it is good."""
        return self._authenticator.end_of(caller)

    async def authenticate(self, scope: Scope, door: Door) -> Caller:
        """Identify who sends a request, or begins a WebSocket, by its token.

        Raises:
            ExaiError: as `Authenticates.authenticate` does.
        """
        try:
            caller = await self._authenticator.authenticate(
                scope["headers"], door=door, address=peer_address(scope)
            )
        except ExaiError as fault:
            self.note_refused(fault, door)
            raise
        note_authenticated(scope)
        return caller

    async def caller_of(self, scope: Scope, route: Route, door: Door) -> Caller | None:
        """Identify who sends a request for a route; `None` where it is open to everybody.

        Raises:
            NotOurPage: a page sends it that may not.
            ExaiError: as `Authenticates.authenticate` does.
        """
        if route.is_open:
            return None
        headers: RawHeaders = scope["headers"]
        if not any(name == b"authorization" for name, _ in headers):
            if route.needs_token:
                fault = _token_needed(route)
                self.note_refused(fault, door)
                raise fault
            if self._browsers is not None:
                _check_page(scope, route)
                if route.accepts_cookie and (caller := _signed_in(self._browsers, headers)) is not None:
                    note_authenticated(scope)
                    return caller
        return await self.authenticate(scope, door)

    async def caller_of_socket(self, scope: Scope, door: Door) -> Caller:
        """Identify who begins a WebSocket, by token, or by the cookie of a browser that signed in.

        Raises:
            NotOurPage: a page begins it that is not this port's own.
            ExaiError: as `Authenticates.authenticate` does.
        """
        headers: RawHeaders = scope["headers"]
        if self._browsers is not None and not any(name == b"authorization" for name, _ in headers):
            if is_fetched_by_another(headers):
                raise NotOurPage("A page that is not the dashboard's asked for this.")
            if (caller := _signed_in(self._browsers, headers)) is not None:
                note_authenticated(scope)
                return caller
        return await self.authenticate(scope, door)

    def note_refused(self, fault: ExaiError, door: Door) -> None:
        """Publish that a caller was refused."""
        self._publish(CallerRefused(door, fault.code))


def check_allowed(scope: Scope, route: Route, caller: Caller | None) -> None:
    """Refuse what the route allows neither to this page nor to this caller.

    Raises:
        NotOurPage: only a page of the port itself may ask for this.
        ScopeMissing: the caller lacks the route's scope.
    """
    if route.own_page_only and not is_page_of_our_own(scope["headers"]):
        raise NotOurPage("Only the dashboard's own page may ask for this.")
    if route.scope is not None and (caller is None or not caller.may(route.scope)):
        raise ScopeMissing(f"This needs a token with the scope `{route.scope}`.", scope=route.scope)


def _token_needed(route: Route) -> Unauthenticated:
    return Unauthenticated(
        "This needs a token, in every mode: send `Authorization: Bearer <token>`. "
        f"`exai token create --scope {route.scope}` makes one.",
        presented=False,
    )


def _signed_in(browsers: BrowserSessions, headers: RawHeaders) -> Caller | None:
    cookie = cookie_of(headers)
    return None if cookie is None else browsers.caller(cookie)


def _check_page(scope: Scope, route: Route) -> None:
    headers: RawHeaders = scope["headers"]
    method = scope["method"]
    changes_something = method in route.methods and method not in READ  # another method is answered 405
    if is_fetched_by_another(headers) or (changes_something and not is_page_of_our_own(headers)):
        raise NotOurPage("A page that is not the dashboard's asked for this.")
