"""MCP over Streamable HTTP at `/mcp`: plain calls, and the SDK's own application for the rest, behind our checks.

The checks answer what the SDK would answer less clearly: a body that is too large, no JSON, a batch,
nested too deep, or a call that its caller may not make. An answer that is under way when the caller's
credential is revoked is broken off; so is one without an end when the credential expires.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

from mcp.server.lowlevel import Server
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from exai import config
from exai.auth.revocation_state import EndReason
from exai.callers import Caller
from exai.errors import ExaiError, ScopeMissing, UnknownTool
from exai.protocol.jsonrpc import Message, Refusal, RequestId, encode
from exai.protocol.surrogates import repaired
from exai.runtime.clock import Clock
from exai.transports.http.answers import BreakableAnswer, IdentifiedRefusals, replayed
from exai.transports.http.faults import TooManySessions, ended_credential, rpc_fault
from exai.transports.http.plain_requests import HttpClient, PlainRequests, client_of_handshake
from exai.transports.http.running_requests import RunningRequests, Session
from exai.transports.http.sessions import HttpSessions, session_id_of
from exai.transports.parsing import MessageParser
from exai.transports.pump import STREAMING_METHODS
from exai.transports.resources.kind import check_read_scope
from exai.transports.server import CALLER_KEY, Engine
from exai.transports.traffic import Traffic
from exai.web.auth_gate import AuthGate
from exai.web.credential_watch import CredentialWatcher
from exai.web.faults import BodyTooLarge
from exai.web.requests import AuthorizedRequest

__all__ = ["HttpDoor"]


class HttpDoor:
    """Answers `/mcp`."""

    def __init__(
        self,
        server: Server[Any],
        engine: Engine,
        *,
        settings: config.Settings,
        gate: AuthGate,
        watcher: CredentialWatcher,
        traffic: Traffic,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._gate = gate
        self._watcher = watcher
        self._traffic = traffic
        self._parser = MessageParser(settings.websocket.max_json_depth)
        self._open = False
        self._running = RunningRequests()
        self._sessions = HttpSessions(server, settings, watcher, clock)
        self._plain = PlainRequests(server, self._sessions, self._running, watcher, self._refused)

    @asynccontextmanager
    async def sessions(self) -> AsyncIterator[None]:
        """Serve requests within this scope; leaving it ends every stream."""
        async with self._sessions.manager.run():
            self._open = True
            try:
                yield
            finally:
                self._open = False

    def sweep(self) -> None:
        """End the sessions that nobody uses."""
        self._sessions.sweep()

    async def __call__(self, request: AuthorizedRequest) -> ASGIApp:
        if not self._open:
            sentence = "EXAI is shutting down. Try again in a few seconds."
            return PlainTextResponse(sentence, status_code=503)
        if request.method != "POST":
            return partial(self._serve, request.caller, None, is_endless=True)
        try:
            return await self._message(request)
        except Refusal as refusal:
            return JSONResponse(refusal.answer, status_code=400)
        except BodyTooLarge as fault:
            raise BodyTooLarge(f"{fault} Send large texts as files.") from None

    async def _message(self, request: AuthorizedRequest) -> ASGIApp:
        """Read a POST; returns what serves it, once its body is one message that the caller may send.

        Raises:
            Refusal: it is none.
            RequestFault: the body is too large, or came too slowly.
        """
        body = await request.whole_body()
        message = await self._parser.parse(body, request.caller)
        try:
            self._check(message, request.caller)
        except (ScopeMissing, TooManySessions) as fault:
            return self._refused(fault, request.scope, message.get("id"))
        return partial(self._serve_message, request.caller, message, body)

    def _check(self, message: Message, caller: Caller) -> None:
        """Refuse here what HTTP can still say by a status; the engine checks scopes once more.

        Raises:
            ScopeMissing: the caller may not make this call, or read such a resource.
            TooManySessions: it may not begin another session.
        """
        method, params = message.get("method"), message.get("params")
        if method == "initialize" and self._sessions.has_too_many(caller):
            raise TooManySessions(
                "There is no room for another session. End some of yours by DELETE, or close their streams."
            )
        if not isinstance(params, dict):
            return
        if method == "resources/read" and isinstance(uri := params.get("uri"), str):
            check_read_scope(caller, uri)
        if method != "tools/call":
            return
        name, arguments = params.get("name"), params.get("arguments")
        if isinstance(name, str):
            with suppress(UnknownTool):
                self._engine.check_scopes(name, arguments if isinstance(arguments, dict) else None, caller)

    async def _serve_message(
        self, caller: Caller, message: Message, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        session_id = session_id_of(scope)
        session = None if session_id is None else (caller.subject, session_id)
        if self._plain.takes_response(session, message):
            await Response(status_code=202)(scope, receive, send)
            return
        is_endless = message.get("method") in STREAMING_METHODS
        client = self._plain.client_of(message, caller, scope)
        try:
            if client is not None and session_id is not None:
                with self._traffic:
                    await self._plain.serve(client, message, caller, session_id, scope, receive, send)
                return
            # A stream lasts as long as its client wants it, so a stop does not wait for it.
            with (
                self._request_of(session, message, body, send) as (sdk_body, sending),
                nullcontext() if is_endless else self._traffic,
            ):
                replay = replayed(sdk_body, receive)
                await self._serve(
                    caller,
                    message.get("id"),
                    scope,
                    replay,
                    sending,
                    is_endless=is_endless,
                    client=client_of_handshake(message),
                )
        except Refusal as refusal:
            await JSONResponse(refusal.answer, status_code=400)(scope, receive, send)

    @contextmanager
    def _request_of(
        self, session: Session | None, message: Message, body: bytes, send: Send
    ) -> Iterator[tuple[bytes, Send]]:
        """The scope in which a message is served: what the SDK reads, and what sends its answer."""
        if session is None or "method" not in message:
            yield repaired(body), send
        elif "id" not in message:
            yield encode(self._running.renamed(session, message)).encode(), send
        else:
            with self._running.running(session, message) as request:
                try:
                    yield request.body, self._running.answering(request, send)
                finally:
                    if not request.is_answered:
                        self._sessions.note_abandoned(session, request.own_id)

    async def _serve(
        self,
        caller: Caller,
        request_id: RequestId | None,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        is_endless: bool,
        client: HttpClient | None = None,
    ) -> None:
        """Have the SDK answer, as long as the caller's credential is good."""
        scope[CALLER_KEY] = caller
        answer = BreakableAnswer(IdentifiedRefusals(send, request_id).send)
        deadline = asyncio.timeout(None)
        end_reasons: list[EndReason] = []

        def end(reason: EndReason) -> None:
            if reason == "expired" and not is_endless:
                return  # it ends by itself
            if reason == "revoked" and (session_id := session_id_of(scope)) is not None:
                self._sessions.end(session_id, caller)
            if not end_reasons:
                end_reasons.append(reason)
                deadline.reschedule(asyncio.get_running_loop().time())

        try:
            async with deadline:
                with self._watcher.watching(caller, end):
                    await self._sessions.serve(caller, scope, receive, answer.send, client)
        except TimeoutError:
            if not end_reasons:
                raise
            refusal = self._refused(ended_credential(end_reasons[0]), scope, request_id)
            await answer.break_off(refusal, scope, receive, as_event=request_id is not None)

    def _refused(self, fault: ExaiError, scope: Scope, request_id: RequestId | None) -> Response:
        response = rpc_fault(fault, request_id)
        response.raw_headers += self._gate.challenge(fault, scope)
        return response
