"""The operations port as a table: what each route needs, and what a request passes before it is answered.

The order is the rule: Host and Origin, the route, who asks, the scope, the body. The route is the one that the server
takes from the request line, and what decides is what answers: nothing is decided on an address that was put together.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import Message, Receive, Scope, Send

from exai.auth.attempts import Attempts
from exai.callers import Caller, Door, RawHeaders
from exai.dashboard.browsers import BrowserSessions, cookie_of, is_fetched_by_another, is_page_of_our_own
from exai.errors import ExaiError, Incident, RequestFault, ScopeMissing, TooManyAttempts, Unauthenticated
from exai.events.events import CallerRefused, Event
from exai.events.incidents import record_incident
from exai.web.challenge import refusal_headers
from exai.web.hosts import HostRule, peer_address
from exai.web.unauthenticated import note_authenticated

__all__ = ["Admits", "Answer", "Entrance", "Entry", "OperationsPort", "Visit"]

MAX_BODY_BYTES = 16 * 1024
BODY_S = 5.0
HEADERS = MappingProxyType(
    {
        b"content-security-policy": b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
        b"referrer-policy": b"no-referrer",
        b"x-content-type-options": b"nosniff",
        b"x-frame-options": b"DENY",
        b"cache-control": b"no-store",
    }
)
"""Of every answer, where it says nothing else."""

T = TypeVar("T")


class _BodyRefused(RequestFault):
    """The body cannot be what the route takes."""

    code = "bad_request"


class _BodyTooLarge(_BodyRefused):
    http_status = 413


class _BodyTooSlow(_BodyRefused):
    http_status = 408


class _BodyOfAnotherType(_BodyRefused):
    http_status = 415


class _NotOurPage(RequestFault):
    """A browser sends the request for a page that is not ours."""

    code = "not_our_page"
    http_status = 403


class Visit:
    """A request that may be answered."""

    def __init__(self, request: Request, caller: Caller | None) -> None:
        self.request = request
        self._caller = caller

    @property
    def caller(self) -> Caller:
        """Who asks; not of a route that is open to everybody."""
        if self._caller is None:
            raise LookupError("an open route does not ask who asks")
        return self._caller

    @property
    def headers(self) -> RawHeaders:
        """As they came."""
        headers: RawHeaders = self.request.scope["headers"]
        return headers

    @property
    def address(self) -> str:
        """Of the peer."""
        return peer_address(self.request.scope)

    async def body(self, form: type[T]) -> T:
        """The JSON body in its form; what the form does not know is refused.

        Raises:
            RequestFault: it is something else, too large or too slow.
        """
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise _BodyOfAnotherType("Send the body as JSON, with Content-Type: application/json.")
        try:
            async with asyncio.timeout(BODY_S):
                body = await self._read()
        except TimeoutError:
            raise _BodyTooSlow("The request's body came too slowly.") from None
        try:
            return msgspec.json.decode(body, type=form)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is no JSON"
            raise _BodyRefused(f"The body cannot be used: {reason}.") from None

    async def _read(self) -> bytes:
        body = b""
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise _BodyTooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")
        return body


Answer = Callable[[Visit], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: a method of a path, and what it needs."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    answer: Answer
    scope: str | None = None
    """What the caller must be allowed; `None`: open to everybody, and nobody is asked who he is."""
    bearer_only: bool = False
    """Whether a token is needed in local mode as well, and a browser's cookie is none."""
    page_only: bool = False
    """Whether only a page of our own may send it: it sets or takes away the cookie."""


class Admits(Protocol):
    """What this port needs of the authenticator."""

    attempts: Attempts

    async def authenticate(self, headers: RawHeaders, *, door: Door, address: str) -> Caller:
        """Who sends a request with these headers.

        Raises:
            Unauthenticated: no token came although one must, or one that is not believed.
            TooManyAttempts: that was so too often from this address.
        """
        ...


class Entrance:
    """Who asks, by token or by the cookie of a browser that is signed in."""

    def __init__(self, authenticator: Admits, browsers: BrowserSessions) -> None:
        self._authenticator = authenticator
        self._browsers = browsers

    async def admit(self, scope: Scope, entry: Entry) -> Caller | None:
        """The caller of an entry; `None` where it is open to everybody.

        Raises:
            RequestFault: it may not come in, or may not do this.
        """
        headers: RawHeaders = scope["headers"]
        if entry.page_only and not is_page_of_our_own(headers):
            raise _NotOurPage("Only the dashboard's own page may ask for this.")
        if entry.scope is None:
            return None
        caller = await self._caller(scope, entry)
        note_authenticated(scope)
        if not caller.may(entry.scope):
            raise ScopeMissing(f"This needs a token with the scope `{entry.scope}`.", scope=entry.scope)
        return caller

    async def _caller(self, scope: Scope, entry: Entry) -> Caller:
        headers: RawHeaders = scope["headers"]
        has_token = any(name == b"authorization" for name, _ in headers)
        if entry.bearer_only and not has_token:
            raise Unauthenticated(
                "This needs a token, in every mode: send `Authorization: Bearer <token>`. "
                f"`exai token create --scope {entry.scope}` makes one.",
                presented=False,
            )
        if not has_token:
            # What lets the request in now is sent by the browser by itself, or is the machine that it runs on.
            if is_fetched_by_another(headers) or (entry.method != "GET" and not is_page_of_our_own(headers)):
                raise _NotOurPage("A page that is not the dashboard's asked for this.")
            cookie = cookie_of(headers)
            if cookie is not None and (caller := self._browsers.caller(cookie)) is not None:
                return caller
        return await self._authenticator.authenticate(
            headers, door=Door.OPERATIONS, address=peer_address(scope)
        )


class OperationsPort:
    """The ASGI application of the operations port."""

    def __init__(
        self,
        table: Iterable[Entry],
        *,
        hosts: HostRule,
        entrance: Entrance,
        publish: Callable[[Event], None],
    ) -> None:
        self.table = tuple(table)
        self._hosts = hosts
        self._entrance = entrance
        self._publish = publish
        self._router = Router(
            [Route(entry.path, self._endpoint(entry), methods=[entry.method]) for entry in self.table],
            redirect_slashes=False,
            default=_nothing_here,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in HEADERS.items() if name not in said),
                ]
            await send(message)

        if scope["type"] != "http":
            await _refuse_websocket(receive, send)
        elif (refused := self._hosts.refusal(scope["headers"])) is not None:
            await PlainTextResponse(refused.sentence, refused.status)(scope, receive, send_guarded)
        else:
            await self._router(scope, receive, send_guarded)

    def _endpoint(self, entry: Entry) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                caller = await self._entrance.admit(request.scope, entry)
                return await entry.answer(Visit(request, caller))
            except ExaiError as fault:
                if isinstance(fault, Unauthenticated | TooManyAttempts):
                    self._publish(CallerRefused(Door.OPERATIONS, fault.code))
                return _fault(fault)
            except ClientDisconnect:
                return Response(status_code=400)
            except Exception as error:  # noqa: BLE001 - a door answers whatever happens
                return self._incident(entry, error)

        return endpoint

    def _incident(self, entry: Entry, error: Exception) -> Response:
        incident = record_incident(error, where=entry.path, publish=self._publish)
        body = {"error": {"code": Incident.code, "message": incident.sentence}}
        return JSONResponse(body, status_code=500)


def _fault(fault: ExaiError) -> Response:
    error: dict[str, object] = {"code": fault.code, "message": str(fault)}
    if isinstance(fault, ScopeMissing):
        error["scope"] = fault.scope
    answer = JSONResponse({"error": error}, status_code=fault.http_status)
    answer.raw_headers += refusal_headers(fault)
    if isinstance(fault, _BodyTooSlow | _BodyTooLarge):
        answer.headers["connection"] = "close"
    return answer


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("Nothing is here.", status_code=404)(scope, receive, send)


async def _refuse_websocket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})
