"""Plain `tools/call` requests of the SDK's HTTP sessions, answered past its streams.

The SDK hands a request through four streams and as many tasks to the kernel, and its answer back as an event, which
takes three times as long as the call itself. A plain call of a known session needs none of that. All that the SDK says
of such requests holds here as well, and `tests/transports/test_parity.py` compares the answers; what is not plain, or
of a session that is not known, or asked for otherwise than MCP has it, is the SDK's.

    the call ends                          its answer
    `notifications/cancelled`              the error -32800
    the client leaves                      the call runs on, and is cancelled after `sessions.http_grace_s`
    its session ends                       404, or the end of the stream
    its caller's credential is revoked     401, or an error as the last event of the stream
"""

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import mcp_types as types
import msgspec
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from exai.auth.revocation_state import EndReason
from exai.callers import Caller
from exai.errors import ExaiError
from exai.protocol.jsonrpc import INVALID_REQUEST, Message, RequestId, error_message
from exai.runtime import tasks
from exai.transports.asked_requests import AskedRequests
from exai.transports.http.faults import ended_credential
from exai.transports.http.plain_answer import PlainAnswer
from exai.transports.http.running_requests import RunningRequests, Session
from exai.transports.http.sessions import HttpSessions, Stop
from exai.transports.plain_calls import CALL, PLAIN_VERSIONS, PlainCalls, is_plain
from exai.transports.server import EngineServer
from exai.web.credential_watch import CredentialWatcher

__all__ = ["HttpClient", "PlainRequests", "client_of_handshake"]

REQUEST_CANCELLED = -32800
"""The SDK's error for a request that its client cancelled."""

Refuse = Callable[[ExaiError, Scope, RequestId | None], Response]


class HttpClient(msgspec.Struct, frozen=True):
    """What the client of a session said in its handshake."""

    protocol_version: str
    client_params: types.InitializeRequestParams
    initialize_accepted: bool = True

    @property
    def client_capabilities(self) -> types.ClientCapabilities:
        """What it can do."""
        return self.client_params.capabilities


def client_of_handshake(message: Message) -> HttpClient | None:
    """Return what a client says of itself; `None` unless it asks for a revision of plain calls."""
    if message.get("method") != "initialize":
        return None
    try:
        params = types.InitializeRequestParams.model_validate(message.get("params"), by_name=False)
    except ValidationError:
        return None
    version = str(params.protocol_version)
    return HttpClient(version, params) if version in PLAIN_VERSIONS else None


class _PlainRequest:
    """One request that is being answered."""

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self.stopped: Stop | None = None
        """Why it ends without the call's own answer."""
        self.is_answered = False
        """Whether its answer leaves, or has left: then nothing stops it."""

    def stop(self, why: Stop) -> None:
        """Cancel its call. A credential that was revoked says more than the end of its session."""
        if self.is_answered:
            return
        if self.stopped is None and self._task is not None:
            self._task.cancel()
        if self.stopped is None or why is Stop.REVOKED:
            self.stopped = why

    def take_back(self) -> None:
        """Go on after the cancellation, which has done what it was to do."""
        assert self._task is not None, "it was cancelled"  # noqa: S101
        self._task.uncancel()


class PlainRequests:
    """Answers them."""

    def __init__(
        self,
        server: Server[Any],
        sessions: HttpSessions,
        running: RunningRequests,
        watcher: CredentialWatcher,
        refuse: Refuse,
    ) -> None:
        answers = isinstance(server, EngineServer) and server.answers_plain_calls
        self._server = server if answers and isinstance(server, EngineServer) else None
        self._sessions = sessions
        self._running = running
        self._watcher = watcher
        self._refuse = refuse
        self._asked: WeakValueDictionary[Session, AskedRequests] = WeakValueDictionary()
        """By session, as long as a call of it is answered: nobody else's response is taken."""

    def takes_response(self, session: Session | None, message: Message) -> bool:
        """Take a response to a request of a plain call of this session, and tell whether it is one."""
        if session is None or "method" in message:
            return False
        asked = self._asked.get(session)
        return asked is not None and asked.take(message)

    def client_of(self, message: Message, caller: Caller, scope: Scope) -> HttpClient | None:
        """Return the client of a request that is plain; `None`: the SDK answers."""
        if self._server is None or message.get("method") != CALL or "id" not in message:
            return None
        if not is_plain(message.get("params")):
            return None
        headers = dict(scope["headers"])
        client = self._sessions.client_of(headers.get(b"mcp-session-id"), caller)
        if not isinstance(client, HttpClient):
            return None
        version = headers.get(b"mcp-protocol-version", client.protocol_version.encode())
        accepts = {_media_type(part) for part in headers.get(b"accept", b"").split(b",")}
        is_usual = (
            version == client.protocol_version.encode()
            and {b"application/json", b"text/event-stream"} <= accepts
            and _media_type(headers.get(b"content-type", b"")) == b"application/json"
        )
        return client if is_usual else None

    async def serve(
        self,
        client: HttpClient,
        message: Message,
        caller: Caller,
        session_id: bytes,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request.

        Raises:
            Refusal: a request with this id is running in the session.
        """
        request, session = _PlainRequest(), (caller.subject, session_id)

        def end(reason: EndReason) -> None:
            if reason == "revoked":
                request.stop(Stop.REVOKED)
                self._sessions.end(session_id, caller)

        with (
            self._running.running(session, message, cancel=partial(request.stop, Stop.CANCELLED)) as running,
            self._sessions.using(session_id, caller, request.stop) as settle,
            self._watcher.watching(caller, end),
        ):

            def let_go() -> None:
                """Free what the client may use again: once it has read the answer, or has gone."""
                self._running.free(running)
                settle()

            def leave() -> None:
                request.is_answered = True
                let_go()

            answer = PlainAnswer(send, session_id, self._asked_in(session), leave)
            leaving = tasks.spawn(
                self._note_leaving(receive, answer, session, request, let_go), name="mcp client"
            )
            try:
                await self._answer(client, message, caller, scope, answer, request)
            finally:
                leaving.cancel()
                answer.close()

    def _asked_in(self, session: Session) -> AskedRequests:
        """Return what is asked in a session, under ids that the SDK gives to none of its own."""
        return self._asked.setdefault(session, AskedRequests(_new_id))

    async def _answer(
        self,
        client: HttpClient,
        message: Message,
        caller: Caller,
        scope: Scope,
        answer: PlainAnswer,
        request: _PlainRequest,
    ) -> None:
        request_id = message["id"]
        assert self._server is not None, "it takes plain calls"  # noqa: S101
        calls = PlainCalls(self._server, client, answer)
        try:
            try:
                result = await calls.result(message["params"], caller)
                answered: Message = {"jsonrpc": "2.0", "id": request_id, "result": result}
            except MCPError as error:
                known = error.error
                answered = error_message(request_id, known.code, known.message, known.data)
            await answer.finish(answered)
        except asyncio.CancelledError:
            if request.stopped is None:
                raise
            request.take_back()
            await self._stopped(request.stopped, request_id, scope, answer)

    async def _stopped(self, why: Stop, request_id: RequestId, scope: Scope, answer: PlainAnswer) -> None:
        """End a request whose call was cancelled."""
        if why is Stop.CANCELLED:
            await answer.finish(error_message(request_id, REQUEST_CANCELLED, "Request cancelled"))
        elif why is Stop.REVOKED:
            refusal = self._refuse(ended_credential("revoked"), scope, request_id)
            headers = [each for each in refusal.raw_headers if each[0] not in _OWN_HEADERS]
            await answer.refuse(bytes(refusal.body), refusal.status_code, headers)
        else:
            sentence = "Not Found: Session has been terminated"
            await answer.end(error_message(request_id, INVALID_REQUEST, sentence), status=404)

    async def _note_leaving(
        self,
        receive: Receive,
        answer: PlainAnswer,
        session: Session,
        request: _PlainRequest,
        let_go: Callable[[], None],
    ) -> None:
        """Note that the client has gone, if it goes before the answer."""
        while (await receive())["type"] != "http.disconnect":
            pass
        if not answer.is_over:
            let_go()
            self._sessions.note_left(session, partial(request.stop, Stop.CANCELLED))


def _media_type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip()


def _new_id() -> str:
    return f"asked-{secrets.token_hex(16)}"


_OWN_HEADERS = frozenset({b"content-length", b"content-type"})
