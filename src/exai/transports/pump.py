"""One connection's messages, in both revisions, over the SDK's kernel.

    text in → parse → kernel (`ServerRunner`) in a task per request → text out

The SDK's own loop would cost two rendezvous streams and a task group per message,
and answers nothing to what is malformed. This pump keeps its semantics: requests run
concurrently, `initialize` is answered before anything after it is read, a cancelled
request gets no answer. The revision is decided per request, as 2026-07-28 allows: one
that carries the envelope has a kernel of its own, any other the connection's, which
knows the handshake.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property, partial
from typing import Any

import anyio
from mcp.server.connection import Connection, NotifyOnlyOutbound
from mcp.server.lowlevel import Server
from mcp.server.runner import ServerRunner, aclose_shielded
from mcp.shared.dispatcher import CallOptions, OnNotify, OnRequest, coerce_request_id
from mcp.shared.exceptions import MCPError, NoBackChannelError
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp.shared.jsonrpc_dispatcher import (
    cancelled_request_id_from_params,
    handler_exception_to_error_data,
    progress_token_from_params,
)
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types import PROTOCOL_VERSION_META_KEY, RequestId

from exai import config
from exai.callers import Caller
from exai.events.bus import EventBus
from exai.protocol.jsonrpc import (
    INVALID_REQUEST,
    Message,
    Refusal,
    encode,
    error_message,
)
from exai.runtime import tasks
from exai.transports.asked_requests import AskedRequests
from exai.transports.parsing import MessageParser
from exai.transports.plain_calls import CALL, PlainCalls
from exai.transports.server import incident_error
from exai.transports.traffic import Traffic

__all__ = ["STREAMING_METHODS", "Pump", "Send"]

Params = Mapping[str, Any] | None
Send = Callable[[str], Awaitable[None]]
"""Writes one message; returns when the peer's buffer has room, raises `OSError` when the peer is gone."""

INLINE_METHODS = frozenset({"initialize", "ping"})
"""Answered before the next message is read: what follows `initialize` needs it, and a sign of life needs no slot."""
TOO_MANY_IN_FLIGHT = -32003
TURN = 16
"""Messages taken in a row before others have their turn; a peer may send thousands in one packet."""
STREAMING_METHODS = frozenset({"subscriptions/listen"})
"""Requests whose answer is a stream that lasts as long as the peer wants it."""


class Pump:
    """Serves one connection; `receive` is its only entrance, `close` ends all it started."""

    def __init__(
        self,
        server: Server[Any],
        *,
        caller: Caller,
        send: Send,
        limits: config.WebSocket,
        traffic: Traffic,
        bus: EventBus,
        parser: MessageParser | None = None,
    ) -> None:
        """Serve what `send` answers to; `parser` is one that other connections share."""
        self._server = server
        self._send_text = send
        self._traffic = traffic
        self._bus = bus
        self._max_in_flight = limits.max_in_flight
        self._parser = parser or MessageParser(limits.max_json_depth)
        self._taken = 0
        self._tasks: set[asyncio.Task[None]] = set()
        """One per request, until its answer is written."""
        self._unanswered: dict[RequestId, asyncio.Task[None]] = {}
        """Of these, the ones that can be cancelled: a peer may use an id again once it reads the answer."""
        self._asked = AskedRequests(partial(next, itertools.count(1)))
        self._closed = False
        self.serve_for(caller)
        kind = caller.door
        self.handshake_transport = TransportContext(kind=kind, can_send_request=True)
        self.envelope_transport = TransportContext(kind=kind, can_send_request=False)
        self._connection = Connection.for_loop(self)
        self._runner = _Runner(server, self._connection, None)
        self._plain_calls = PlainCalls.of(server, self._connection, self)
        self._notify_only = NotifyOnlyOutbound(self)

    def serve_for(self, caller: Caller) -> None:
        """Serve what comes from now on on behalf of `caller`."""
        self._caller = caller
        self.metadata = ServerMessageMetadata(request_context=caller)

    async def receive(self, text: str | bytes) -> None:
        """Take one message. Returns at once, but for what is answered inline: `initialize`, `ping`, refusals.

        Raises:
            OSError: the peer is gone, or the pump was closed.
        """
        self._taken += 1
        if self._taken % TURN == 0:
            await asyncio.sleep(0)
        if self._closed:
            raise ConnectionResetError("the connection was closed")
        try:
            message = await self._parser.parse(text, self._caller)
        except Refusal as refusal:
            await self.refuse(refusal)
            return
        if "method" not in message:
            self._asked.take(message)  # to one that nobody waits for, JSON-RPC has no answer
        elif "id" not in message:
            await self._take_notification(message["method"], message.get("params"))
        else:
            await self._take_request(message["id"], message["method"], message.get("params"))

    @contextmanager
    def muted(self) -> Generator[None, None, None]:
        """Send nothing within this scope: what is received was answered before."""
        send, self._send_text = self._send_text, _nothing
        try:
            yield
        finally:
            self._send_text = send

    async def refuse(self, refusal: Refusal) -> None:
        """Answer what the door itself could not take for a message."""
        await self._send(refusal.answer)

    async def close(self) -> None:
        """Cancel every running request and wait for its end."""
        self._closed = True
        running = list(self._tasks)
        for task in running:
            task.cancel()
        self._asked.close()
        if running:
            await asyncio.wait(running)
        await _unwind(self._connection)
        # These know this pump, and the writer its session: left so, only a full collection of garbage would free them.
        del self._connection, self._runner, self._notify_only, self._plain_calls
        self._send_text = _gone

    async def _take_request(self, request_id: RequestId, method: str, params: Params) -> None:
        if method in INLINE_METHODS:
            with self._traffic:
                await self._send_answer(request_id, method, await self._served(request_id, method, params))
        elif request_id in self._unanswered:
            sentence = f"A request with the id {request_id!r} is still running. Give each request its own id."
            await self._send(error_message(request_id, INVALID_REQUEST, sentence, {"retryable": False}))
        elif len(self._tasks) >= self._max_in_flight:
            sentence = (
                f"{self._max_in_flight} requests are running on this connection, which is its limit. "
                "Wait for an answer, then ask again."
            )
            await self._send(error_message(request_id, TOO_MANY_IN_FLIGHT, sentence, {"retryable": True}))
        else:
            task = tasks.spawn(self._answer(request_id, method, params), name=f"mcp {method}")
            self._tasks.add(task)
            self._unanswered[request_id] = task
            # Not by the task itself: one that is cancelled before its first step runs none of its lines.
            task.add_done_callback(partial(self._forget, request_id))

    def _forget(self, request_id: RequestId, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._unanswered.get(request_id) is task:
            del self._unanswered[request_id]

    async def _answer(self, request_id: RequestId, method: str, params: Params) -> None:
        counted = nullcontext() if method in STREAMING_METHODS else self._traffic
        try:
            with counted:
                answer = await self._served(request_id, method, params)
                self._unanswered.pop(request_id, None)
                await self._send_answer(request_id, method, answer)
        except OSError:
            pass  # the peer is gone: whoever reads from it finds out and closes this pump

    async def _send_answer(self, request_id: RequestId, method: str, answer: Message) -> None:
        try:
            text = encode(answer)
        except (TypeError, ValueError) as error:  # what has no JSON
            text = encode(self._failure(request_id, method, error))
        await self._send_text(text)

    async def _served(self, request_id: RequestId, method: str, params: Params) -> Message:
        """The response to a request, whatever happens to it."""
        plain = self._plain_calls
        try:
            if plain is not None and method == CALL and params is not None and plain.takes(params):
                result = await plain.result(params, self._caller)
            elif method != "initialize" and _has_envelope(params):
                result = await self._serve_envelope(request_id, method, params)
            else:
                exchange = _Exchange(self, self.handshake_transport, request_id, params)
                try:
                    result = await self._runner.on_request(exchange, method, params)
                finally:
                    exchange.closed = True
        except Exception as error:  # noqa: BLE001 - the door: whatever it is becomes an answer
            return self._failure(request_id, method, error)
        return {"jsonrpc": "2.0", "id": request_id, "result": result}

    async def _serve_envelope(self, request_id: RequestId, method: str, params: Params) -> dict[str, Any]:
        route = classify_inbound_request({"method": method, "params": params})
        if isinstance(route, InboundLadderRejection):
            raise MCPError(code=route.code, message=route.message, data=route.data)
        connection = Connection.from_envelope(
            route.protocol_version, route.client_info, route.client_capabilities, outbound=self._notify_only
        )
        exchange = _Exchange(self, self.envelope_transport, request_id, params)
        try:
            return await _Runner(self._server, connection, None).on_request(exchange, method, params)
        finally:
            exchange.closed = True
            await _unwind(connection)

    async def _take_notification(self, method: str, params: Params) -> None:
        if method == "notifications/cancelled":
            self._cancel(cancelled_request_id_from_params(params))
            return
        exchange = _Exchange(self, self.handshake_transport, None, params)
        try:
            await self._runner.on_notify(exchange, method, params)
        finally:
            exchange.closed = True

    def _cancel(self, request_id: RequestId | None) -> None:
        if request_id is None:
            return
        # Some peers turn a number into a string on the way.
        task = self._unanswered.get(request_id) or self._unanswered.get(coerce_request_id(request_id))
        if task is not None:
            task.cancel()

    async def notify(self, method: str, params: Params, opts: CallOptions | None = None) -> None:  # noqa: ARG002
        """Tell the peer, if it is still there; part of the SDK's `Outbound`."""
        message: Message = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        try:  # as `_tell` does, without two coroutines between each word of a model and its listener
            await self._send_text(encode(message))
        except OSError:
            return

    async def send_raw_request(
        self, method: str, params: Params, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        """Ask the peer and wait for its answer; part of the SDK's `Outbound`.

        Raises:
            MCPError: the peer answered with an error, or not in time, or is gone.
        """
        within_s = (opts or {}).get("timeout")
        return await self._asked.ask(self._send, self._tell, method, params, within_s=within_s)

    async def _tell(self, message: Message) -> None:
        with suppress(OSError):
            await self._send(message)

    async def _send(self, message: Message) -> None:
        await self._send_text(encode(message))

    def _failure(self, request_id: RequestId, method: str, error: Exception) -> Message:
        known = (
            handler_exception_to_error_data(error) or incident_error(error, where=method, bus=self._bus).error
        )
        return error_message(request_id, known.code, known.message, known.data)


class _Runner(ServerRunner[Any]):
    """The kernel. The SDK's keeps its own bound methods, and with them itself until a collection of garbage."""

    @property
    def on_request(self) -> OnRequest:
        return self._on_request

    @property
    def on_notify(self) -> OnNotify:
        return self._on_notify


async def _unwind(connection: Connection) -> None:
    """Run what is to run at its end. An empty stack, which is the rule, would cost most of ending a session."""
    if connection.exit_stack._exit_callbacks:  # type: ignore[attr-defined]  # noqa: SLF001
        await aclose_shielded(connection)


async def _gone(_: str) -> None:
    """The writer of a pump that was closed."""
    raise ConnectionResetError("the connection was closed")


async def _nothing(_: str) -> None:
    """The writer of a pump that is muted."""


class _Exchange:
    """What the kernel knows of one inbound message: the SDK's `DispatchContext`."""

    __slots__ = ("__dict__", "_params", "_pump", "closed", "request_id", "transport")

    def __init__(
        self, pump: Pump, transport: TransportContext, request_id: RequestId | None, params: Params
    ) -> None:
        self._pump = pump
        self._params = params
        self.transport = transport
        self.request_id = request_id
        self.closed = False

    @property
    def message_metadata(self) -> ServerMessageMetadata:
        return self._pump.metadata

    @property
    def can_send_request(self) -> bool:
        return self.transport.can_send_request and not self.closed

    @cached_property
    def cancel_requested(self) -> anyio.Event:
        # Cancelling a request cancels its task, so nobody sees this event set.
        return anyio.Event()

    async def notify(self, method: str, params: Params, opts: CallOptions | None = None) -> None:
        if not self.closed:
            await self._pump.notify(method, params, opts)

    async def send_raw_request(
        self, method: str, params: Params, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        if not self.can_send_request:
            raise NoBackChannelError(method)
        return await self._pump.send_raw_request(method, params, opts)

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        token = progress_token_from_params(self._params)
        if token is None:
            return
        params: dict[str, Any] = {"progressToken": token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        await self.notify("notifications/progress", params)


def _has_envelope(params: Params) -> bool:
    """Whether a request speaks 2026-07-28: its `_meta` names the revision."""
    meta = params.get("_meta") if params else None
    return isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta
