"""MCP over Streamable HTTP at `/mcp`: the SDK's own application, behind our checks.

The checks answer what the SDK would answer less clearly: a body that is too large, no JSON, a batch,
nested too deep, or a call that its caller may not make. An answer that is under way when the caller's
credential is revoked is broken off; so is one without an end when the credential expires.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from typing import Any

from mcp.server.lowlevel import Server
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

from exai import config
from exai.auth.revocation_state import Ending
from exai.callers import Caller
from exai.errors import ScopeMissing, Unauthenticated, UnknownTool
from exai.protocol.jsonrpc import INVALID_REQUEST, Message, Refusal, error_message, parse
from exai.runtime.clock import Clock
from exai.transports.http.sessions import HttpSessions, session_id_of
from exai.transports.pump import STREAMING_METHODS
from exai.transports.server import CALLER_KEY, Engine
from exai.transports.traffic import Traffic
from exai.web.bodies import read_body, replayed
from exai.web.credential_watch import CredentialWatcher
from exai.web.entrance import Entrance

__all__ = ["HttpDoor"]

RequestId = str | int | None


class HttpDoor:
    """The ASGI application of `/mcp`; the caller stands in the request's scope."""

    def __init__(
        self,
        server: Server[Any],
        engine: Engine,
        *,
        settings: config.Settings,
        entrance: Entrance,
        watcher: CredentialWatcher,
        traffic: Traffic,
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._entrance = entrance
        self._watcher = watcher
        self._traffic = traffic
        self._max_body_bytes = settings.server.max_body_bytes
        self._body_timeout_s = settings.server.body_timeout_s
        self._max_json_depth = settings.websocket.max_json_depth
        self._open = False
        self._running: set[tuple[str, bytes, str]] = set()
        """Subject, session and id of each handshake-era request; the SDK, for which 1 and "1" are one, would mix up
        two."""
        self._sessions = HttpSessions(server, settings, watcher, clock)

    @asynccontextmanager
    async def sessions(self) -> AsyncIterator[None]:
        """The scope in which requests can be served; leaving it ends every stream."""
        async with self._sessions.manager.run():
            self._open = True
            try:
                yield
            finally:
                self._open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._open:
            sentence = "EXAI is shutting down. Try again in a few seconds."
            await PlainTextResponse(sentence, status_code=503)(scope, receive, send)
        elif scope["method"] == "POST":
            await self._take_message(scope, receive, send)
        else:
            await self._serve(None, scope, receive, send, is_endless=True)

    async def _take_message(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a POST, once its body is one message that the caller may send."""
        caller: Caller = scope[CALLER_KEY]
        try:
            body = await self._body(receive)
            message = parse(body, self._max_json_depth)
            self._check(message, caller)
            is_endless = message.get("method") in STREAMING_METHODS
            # A stream lasts as long as its client wants it, so a stop does not wait for it.
            with (
                self._running_once(message, caller, session_id_of(scope)),
                nullcontext() if is_endless else self._traffic,
            ):
                request_id = message.get("id")
                await self._serve(request_id, scope, replayed(body, receive), send, is_endless=is_endless)
        except _Refused as refused:
            await refused.answer(scope, receive, send)
        except Refusal as refusal:
            await JSONResponse(refusal.answer, status_code=400)(scope, receive, send)
        except ScopeMissing as fault:
            await self._entrance.answer(fault, scope, message.get("id"))(scope, receive, send)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            _Refused: it came too slowly, or is larger than it may be.
        """
        try:
            body = await read_body(receive, max_bytes=self._max_body_bytes, timeout_s=self._body_timeout_s)
        except TimeoutError:
            sentence = "The request's body came too slowly. Send it again over a better connection."
            raise _Refused(408, sentence, headers={"connection": "close"}) from None
        if body is None:
            raise _Refused(
                413, f"The request is larger than {self._max_body_bytes} bytes. Send large texts as files."
            )
        return body

    def _check(self, message: Message, caller: Caller) -> None:
        """Refuse here what can still be told as HTTP tells it; the engine looks at scopes once more.

        Raises:
            ScopeMissing: the caller may not make this call.
            _Refused: it may not begin another session.
        """
        method, params = message.get("method"), message.get("params")
        if method == "initialize" and self._sessions.has_too_many(caller):
            sentence = (
                "There is no room for another session. End some of yours by DELETE, or close their streams."
            )
            raise _Refused(429, sentence, request_id=message.get("id"))
        if method != "tools/call" or not isinstance(params, dict):
            return
        name, arguments = params.get("name"), params.get("arguments")
        if isinstance(name, str):
            with suppress(UnknownTool):
                self._engine.check_scopes(name, arguments if isinstance(arguments, dict) else None, caller)

    @contextmanager
    def _running_once(self, message: Message, caller: Caller, session_id: bytes | None) -> Iterator[None]:
        if session_id is None or "method" not in message or "id" not in message:
            yield
            return
        request_id = message["id"]
        running = (caller.subject, session_id, str(request_id))
        if running in self._running:
            sentence = f"A request with the id {request_id!r} is still running. Give each request its own id."
            raise Refusal(INVALID_REQUEST, sentence, request_id)
        self._running.add(running)
        try:
            yield
        finally:
            self._running.discard(running)

    async def _serve(
        self, request_id: RequestId, scope: Scope, receive: Receive, send: Send, *, is_endless: bool
    ) -> None:
        """Have the SDK answer, as long as the caller's credential holds."""
        caller: Caller = scope[CALLER_KEY]
        loop = asyncio.get_running_loop()
        answer = _Answer(send)
        endings: list[Ending] = []

        def end(ending: Ending) -> None:
            if ending == "expired" and not is_endless:
                return
            if ending == "revoked" and (session_id := session_id_of(scope)) is not None:
                self._sessions.end(session_id, caller)
            if not endings:
                endings.append(ending)
                limit.reschedule(loop.time())

        try:
            async with asyncio.timeout(None) as limit:
                with self._watcher.watching(caller, end):
                    await self._sessions.serve(caller, scope, receive, answer.send)
        except TimeoutError:
            if not endings:
                raise
            await self._break_off(request_id, endings[0], answer, scope, receive)

    async def _break_off(
        self, request_id: RequestId, ending: Ending, answer: "_Answer", scope: Scope, receive: Receive
    ) -> None:
        what = "has expired" if ending == "expired" else "was revoked"
        fault = Unauthenticated(
            f"The token {what} while this was under way. Come back with another one.", presented=True
        )
        response = self._entrance.answer(fault, scope, request_id)
        if answer.has_begun:
            await answer.finish(None if request_id is None else bytes(response.body))
        else:
            await response(scope, receive, answer.send)


class _Refused(Exception):
    """A POST that the SDK does not get to see."""

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        request_id: RequestId = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sentence)
        error = error_message(request_id, INVALID_REQUEST, sentence)
        self.answer = JSONResponse(error, status_code=status, headers=headers)


class _Answer:
    """An answer as it is sent, so that it can be ended half-way."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False
        self._is_complete = False

    async def send(self, message: Any) -> None:
        """Send on."""
        if message["type"] == "http.response.start":
            self.has_begun = True
        elif not message.get("more_body"):
            self._is_complete = True
        await self._send(message)

    async def finish(self, error: bytes | None) -> None:
        """End an event stream, with an error as its last event."""
        if self._is_complete:
            return
        event = b"" if error is None else b"event: message\r\ndata: " + error + b"\r\n\r\n"
        await self._send({"type": "http.response.body", "body": event, "more_body": False})
