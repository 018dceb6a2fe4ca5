"""MCP over Streamable HTTP at `/mcp`: the SDK's own application, behind our checks.

The checks answer what the SDK would answer less clearly: a foreign Host or Origin, a
body that is too large, no JSON, a batch, or nested too deep.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from exai import config
from exai.auth.hosts import HostRule
from exai.callers import Caller
from exai.transports.framing import INVALID_REQUEST, Refusal, error_message, parse
from exai.transports.pump import STREAMING_METHODS
from exai.transports.server import CALLER_KEY
from exai.transports.traffic import Traffic

__all__ = ["HttpDoor"]

PATH = "/mcp"
SESSION_HEADER = b"mcp-session-id"
DOOR = "http"
SLOW_S = 5.0
"""How long a body may be slow before its rate counts."""
LEAST_BYTES_PER_S = 4_096

GREETING = """This is EXAI, an MCP server for GLM and Kimi models.

Streamable HTTP   POST /mcp
WebSocket         / or /mcp, subprotocol `mcp`
"""


class HttpDoor:
    """The ASGI application of HTTP requests on the MCP port."""

    def __init__(
        self,
        server: Server[Any],
        *,
        settings: config.Server,
        max_json_depth: int,
        hosts: HostRule,
        traffic: Traffic,
    ) -> None:
        self._hosts = hosts
        self._traffic = traffic
        self._max_body_bytes = settings.max_body_bytes
        self._body_timeout_s = settings.body_timeout_s
        self._max_json_depth = max_json_depth
        self._open = False
        self._running: set[tuple[bytes, str]] = set()
        """Session and id of each handshake-era request; the SDK, for which 1 and "1" are one, would mix up two."""
        self._sessions = StreamableHTTPSessionManager(server, max_request_body_size=settings.max_body_bytes)

    @asynccontextmanager
    async def sessions(self) -> AsyncIterator[None]:
        """The scope in which requests can be served; leaving it ends every stream."""
        async with self._sessions.run():
            self._open = True
            try:
                yield
            finally:
                self._open = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        if (refused := self._hosts.refusal(scope["headers"])) is not None:
            await PlainTextResponse(refused.sentence, status_code=refused.status)(scope, receive, send)
        elif path == "" and scope["method"] in {"GET", "HEAD"}:
            await PlainTextResponse(GREETING)(scope, receive, send)
        elif path != PATH:
            await PlainTextResponse(f"Nothing is here. MCP is at {PATH}.", status_code=404)(
                scope, receive, send
            )
        elif not self._open:
            sentence = "EXAI is shutting down. Try again in a few seconds."
            await PlainTextResponse(sentence, status_code=503)(scope, receive, send)
        else:
            scope[CALLER_KEY] = Caller.local(DOOR)
            scope["path"] = PATH
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            await self._sessions.handle_request(scope, receive, send)
            return
        try:
            body = await self._body(receive)
        except TimeoutError:
            sentence = "The request's body came too slowly. Send it again over a better connection."
            answer = JSONResponse(
                error_message(None, INVALID_REQUEST, sentence),
                status_code=408,
                headers={"connection": "close"},
            )
            await answer(scope, receive, send)
            return
        if body is None:
            sentence = f"The request is larger than {self._max_body_bytes} bytes. Send large texts as files."
            answer = JSONResponse(error_message(None, INVALID_REQUEST, sentence), status_code=413)
            await answer(scope, receive, send)
            return
        try:
            message = parse(body, self._max_json_depth)
        except Refusal as refusal:
            await JSONResponse(refusal.answer, status_code=400)(scope, receive, send)
            return
        session_id = next((value for name, value in scope["headers"] if name == SESSION_HEADER), None)
        running = None
        if session_id is not None and "method" in message and "id" in message:
            running = (session_id, str(message["id"]))
        if running is not None and running in self._running:
            request_id = message["id"]
            sentence = f"A request with the id {request_id!r} is still running. Give each request its own id."
            answer = JSONResponse(error_message(request_id, INVALID_REQUEST, sentence), status_code=400)
            await answer(scope, receive, send)
            return
        # A stream lasts as long as its client wants it, so a stop does not wait for it.
        with nullcontext() if message.get("method") in STREAMING_METHODS else self._traffic:
            await self._handle(running, scope, _replayed(body, receive), send)

    async def _handle(
        self, running: tuple[bytes, str] | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if running is None:
            await self._sessions.handle_request(scope, receive, send)
            return
        self._running.add(running)
        try:
            await self._sessions.handle_request(scope, receive, send)
        finally:
            self._running.discard(running)

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; `None` when it is larger than it may be.

        Raises:
            TimeoutError: it came too slowly.
        """
        chunks: list[bytes] = []
        size = 0
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout_at(began + min(self._body_timeout_s, SLOW_S)) as deadline:
            while True:
                event = await receive()
                if event["type"] != "http.request":
                    return b""
                chunk = event.get("body", b"")
                size += len(chunk)
                if size > self._max_body_bytes:
                    return None
                chunks.append(chunk)
                if not event.get("more_body"):
                    return b"".join(chunks)
                allowed_s = min(self._body_timeout_s, SLOW_S + size / LEAST_BYTES_PER_S)
                deadline.reschedule(began + allowed_s)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes after it."""
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay
