"""The HTTP side of one port: what a request passes before its route answers it.

    Host and Origin   421, 403        plain text; no row that takes any Host asks for its name
    path              404             plain text
    caller            401, 403, 429   in the form of the route's faults, with the headers of `challenge.py`
    method            405             the same, with `Allow`
    page and scope    403             in the form of the route's faults
    body              408, 413, 415, 503   the same, as the handler reads it

All but the last is judged by the request's head. No byte of a body has been read by then, and a client that waits for
`100 Continue` is answered without one. The path is the one of the request line, decoded once by the server; nothing is
decided on an address that was put together from other parts. A method that no row of a path has is answered 405 to
whom the path's first row lets in.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exai.callers import Door
from exai.errors import ExaiError, Incident, MalformedMessage, TooManyAttempts, Unauthenticated
from exai.events.events import Event
from exai.events.incidents import record_incident
from exai.runtime.bytes_in_flight import BytesInFlight
from exai.web.auth_gate import AuthGate, check_allowed
from exai.web.bodies import ClientGone
from exai.web.faults import BodyTooSlow, MethodRefused
from exai.web.hosts import HostRule
from exai.web.refusals import PlainRefusal
from exai.web.requests import AnswerBrokenOff, AuthorizedRequest
from exai.web.routes import Match, Route, RouteTable

__all__ = ["HttpPort"]

NO_HEADERS: Mapping[bytes, bytes] = MappingProxyType({})


class HttpPort:
    """The ASGI application of one port's HTTP requests."""

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        door: Door,
        hosts: HostRule,
        gate: AuthGate,
        publish: Callable[[Event], None],
        not_found: str = "Nothing is here.",
        headers: Mapping[bytes, bytes] = NO_HEADERS,
        incoming: BytesInFlight | None = None,
    ) -> None:
        """Set up the port.

        `headers` are added to every answer that has no such field of its own; `incoming` counts the bodies of all that
        are held while they come.
        """
        self.table = RouteTable(routes)
        self.gate = gate
        self._door = door
        self._hosts = hosts
        self._gate = gate
        self._publish = publish
        self._not_found = PlainRefusal(404, not_found)
        self._headers = headers
        self._incoming = incoming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(send, self._headers)
        if scope["type"] != "http":
            await _refuse_websocket(receive, send)
            return
        match = self.table.find(scope["path"])
        takes_any_host = match is not None and match.takes_any_host
        takes_any_origin = match is not None and match.takes_any_origin
        refusal = self._hosts.refusal(
            scope["headers"], takes_any_host=takes_any_host, takes_any_origin=takes_any_origin
        )
        if refusal is not None:
            await refusal.response()(scope, receive, answer.send)
        elif match is None:
            await self._not_found.response()(scope, receive, answer.send)
        else:
            await self._serve(match, scope, receive, answer)

    async def _serve(self, match: Match, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        route = match.route(scope["method"]) or match.routes[0]
        try:
            app = await self._app(match, route, scope, receive)
            await app(scope, receive, answer.send)
        except (ClientGone, AnswerBrokenOff):
            return
        except Exception as error:
            incident = record_incident(error, where=route.path, publish=self._publish)
            if answer.has_begun:
                raise  # the server breaks off the connection: the client must not take this for the end
            app = self._refusal(Incident(incident.sentence), route, scope)
            await app(scope, receive, answer.send)

    async def _app(self, match: Match, route: Route, scope: Scope, receive: Receive) -> ASGIApp:
        """Find what answers the request: its handler's answer, or a refusal."""
        try:
            caller = await self._gate.caller_of(scope, route, self._door)
            if scope["method"] not in route.methods:
                return _wrong_method(route, match.methods, scope)
            check_allowed(scope, route, caller)
            _check_address(scope)
            request = AuthorizedRequest(
                scope,
                receive,
                caller=caller,
                params=match.params,
                body=route.body,
                end_of=self._gate.end_of,
                incoming=self._incoming,
            )
            return await self._handle(route, request)
        except ExaiError as fault:
            return self._refusal(fault, route, scope)

    async def _handle(self, route: Route, request: AuthorizedRequest) -> ASGIApp:
        try:
            return await route.handler(request)
        except (
            Unauthenticated,
            TooManyAttempts,
        ) as fault:  # a bad ticket, or a token that was revoked meanwhile
            self._gate.note_refused(fault, self._door)
            raise

    def _refusal(self, fault: ExaiError, route: Route, scope: Scope) -> ASGIApp:
        response = route.fault_form(fault, scope)
        response.raw_headers += self._gate.challenge(fault, scope)
        if isinstance(fault, BodyTooSlow):
            response.headers["connection"] = "close"
        return response


class _Answer:
    """An answer on its way, with the headers that all of a port have."""

    def __init__(self, send: Send, headers: Mapping[bytes, bytes]) -> None:
        self._send = send
        self._headers = headers
        self.has_begun = False

    async def send(self, message: Message) -> None:
        """Pass a message on to the server."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            given = {name for name, _ in message["headers"]}
            further = [(name, value) for name, value in self._headers.items() if name not in given]
            message["headers"] = [*message["headers"], *further]
        await self._send(message)


def _check_address(scope: Scope) -> None:
    """Refuse NUL in path and query, which PostgreSQL takes in no text.

    Raises:
        MalformedMessage: there is one.
    """
    if "\0" in scope["path"] or b"%00" in scope["query_string"]:
        raise MalformedMessage("The address has a NUL character. Leave out `%00`.")


def _wrong_method(route: Route, methods: tuple[str, ...], scope: Scope) -> ASGIApp:
    allow = ", ".join(methods)
    response = route.fault_form(MethodRefused(f"Here are {allow}."), scope)
    response.headers["allow"] = allow
    return response


async def _refuse_websocket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008})
