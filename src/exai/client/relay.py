"""Relays between one MCP client and a daemon: every request gets one answer, whatever becomes of the connection.

While the daemon cannot be reached, requests wait for a limited time. Requests that were in flight when a session was
lost are sent again. A tool call is sent again under its idempotency key, so it is run once; while another daemon on
the same database runs it, the relay asks until the result is there; one that a stopping daemon refused before it began
is asked again of the daemon that comes after it. Requests that cannot be sent again, or whose
daemon stays away, are answered as in doubt. When the daemon accepts no token, requests that were not sent are answered
with that error at once.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from exai.client.channel import Channel
from exai.client.tokens import ClientTokens
from exai.errors import RunningElsewhere, Stopping, Unauthenticated
from exai.protocol.idempotency_key import with_key
from exai.protocol.jsonrpc import Message, Refusal, RequestId, encode, error_message, parse
from exai.runtime import tasks

__all__ = ["IN_DOUBT", "UNREACHABLE", "Relay"]

UNREACHABLE = -32004
"""The daemon could not be reached and the request was not sent: asking again is safe."""
IN_DOUBT = -32005
"""The request was sent and its answer is lost: whether it was carried out is unknown."""

MAX_JSON_DEPTH = 64
INITIALIZE_ID = "exai-relay-initialize"
"""The id of the relay's own `initialize`: after a restart the daemon's side has to be initialized again."""
RESENT_PREFIX = "exai-relay-again-"
"""Begins the ids of requests that are sent again: the first one may still be running under its own id."""

RETRIED = (RunningElsewhere.code.encode(), Stopping.code.encode())
LEAST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
"""Between two attempts to get the result of a call that runs in another daemon."""
STOPPING_PAUSE_S, STOPPING_S = 0.5, 60.0
"""Between two attempts at a daemon that is stopping, and for how long they go on."""


class _Peek(msgspec.Struct):
    """The members of a message that the relay reads."""

    id: str | int | None = None
    method: str | None = None


_peek = msgspec.json.Decoder(_Peek).decode


@dataclass(slots=True)
class _Request:
    text: str
    is_repeatable: bool
    """Whether it may be sent again: it only reads, or carries an idempotency key."""
    sent: bool = False
    """Whether it was sent in the current session, and not refused since."""
    sent_as: RequestId | None = None
    """The id under which it was sent last; `None` before it was sent."""
    refused_at: float | None = None
    """When a stopping daemon first refused it before it began, by the loop's clock."""
    may_have_run: bool = False
    """Whether it was lost with a session after it was sent, or runs in another daemon."""

    @property
    def is_begun(self) -> bool:
        """Whether anything of it may have run."""
        return self.sent or self.may_have_run


class Relay:
    """Relays one client's messages to a daemon, and back."""

    def __init__(
        self,
        url: str,
        tokens: ClientTokens,
        deliver: Callable[[str], Awaitable[None]],
        *,
        patience_s: float,
    ) -> None:
        """`deliver` gets each message for the client; `patience_s` is how long a request waits for the daemon."""
        self._deliver = deliver
        self._patience_s = patience_s
        self._requests: dict[RequestId, _Request] = {}
        """Requests without an answer, in the order in which they were received."""
        self._resent: dict[RequestId, RequestId] = {}
        """The client's id of each request that was sent again, by the id under which it was."""
        self._resend_numbers = itertools.count(1)
        self._initialize: str | None = None
        self._initialized: str | None = None
        self._is_new = False
        """Whether the session is another one than the one that the client initialized."""
        self._down_timer: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._settled.set()
        self._gave_up = False
        """Whether the daemon has been away for longer than `patience_s`."""
        self.channel = Channel(
            url,
            tokens,
            on_message=self._forward,
            on_lost=self._on_lost,
            on_up=self._on_up,
            on_down=self._on_down,
            on_refused=self._on_refused,
        )

    async def run(self) -> None:
        """Relay until cancelled."""
        self._on_down()
        try:
            await self.channel.run()
        finally:
            if self._down_timer is not None:
                self._down_timer.cancel()

    async def settled(self) -> None:
        """Wait until every request has been answered."""
        await self._settled.wait()

    async def take(self, text: str | bytes) -> None:
        """Take one message from the client."""
        try:
            message = parse(text, MAX_JSON_DEPTH)
        except Refusal as refusal:
            await self._deliver(encode(refusal.answer))
            return
        method, request_id = message.get("method"), message.get("id")
        if method is None or request_id is None:
            await self._take_other(_as_text(text), method, message)
            return
        request = self._requests[request_id] = _request(_as_text(text), message)
        if method == "initialize":
            self._initialize = request.text
        self._settled.clear()
        if self.channel.is_up:
            await self._send(request_id, request)
        elif self.channel.refused is not None:
            await self._answer(request_id, self._unauthenticated(request_id, self.channel.refused))
        elif self._gave_up:
            self._give_up_soon()

    async def _take_other(self, text: str, method: str | None, message: dict[str, Any]) -> None:
        """Take a notification, or an answer to a request of the daemon."""
        if method == "notifications/initialized":
            self._initialized = text
        if method == "notifications/cancelled":
            cancelled: Any = (message.get("params") or {}).get("requestId")
            request = self._forget(cancelled) if isinstance(cancelled, str | int) else None
            self._note_settled()
            if request is None or not request.sent:
                return  # the daemon does not know it
            if request.sent_as != cancelled:
                text = encode({**message, "params": {**message["params"], "requestId": request.sent_as}})
        await self.channel.send(text)

    async def _send(self, request_id: RequestId, request: _Request) -> None:
        request.sent = True
        if request.sent_as is None:
            request.sent_as = request_id
            await self.channel.send(request.text)
            return
        resent_as = request.sent_as = f"{RESENT_PREFIX}{next(self._resend_numbers)}"
        self._resent[resent_as] = request_id
        await self.channel.send(encode({**msgspec.json.decode(request.text), "id": resent_as}))

    async def _forward(self, message: bytes) -> None:
        """Deliver a message of the daemon to the client, unless it answers a request that has its answer."""
        peek = _peek(message)
        text = message.decode()
        if peek.method is None:
            if peek.id is None:
                return
            request_id = self._resent.get(peek.id, peek.id)
            request = self._requests.get(request_id)
            if request is None:
                return
            if (pause_s := _pause_before_next(request, message)) is not None:
                request.sent = False
                tasks.spawn(self._send_later(request_id, request, pause_s), name="send again")
                return
            if request_id != peek.id:
                text = encode({**msgspec.json.decode(message), "id": request_id})
            self._forget(request_id)
        await self._deliver(text)
        self._note_settled()

    async def _send_later(self, request_id: RequestId, request: _Request, pause_s: float) -> None:
        """Send a request once more, unless a new connection has done so meanwhile."""
        await asyncio.sleep(pause_s)
        if self.channel.is_up and not request.sent and self._requests.get(request_id) is request:
            await self._send(request_id, request)

    def _forget(self, request_id: RequestId) -> _Request | None:
        """Forget a request that has its answer, or needs none."""
        request = self._requests.pop(request_id, None)
        if request is not None and request.sent_as != request_id:
            self._resent = {resent_as: each for resent_as, each in self._resent.items() if each != request_id}
        return request

    async def _on_up(self) -> None:
        if self._down_timer is not None:
            self._down_timer.cancel()
            self._down_timer = None
        self._gave_up = False
        if self._is_new:
            self._is_new = False
            await self._initialize_again()
        for request_id, request in list(self._requests.items()):
            if not request.sent:
                await self._send(request_id, request)

    async def _initialize_again(self) -> None:
        """Initialize the daemon's side of a connection that the client initialized before the restart."""
        if self._initialize is None or self._initialized is None:
            return
        message = msgspec.json.decode(self._initialize)
        await self.channel.send(encode({**message, "id": INITIALIZE_ID}))
        await self.channel.send(self._initialized)

    def _on_down(self) -> None:
        """Start to measure how long the daemon has been away."""
        if self._down_timer is None:
            loop = asyncio.get_running_loop()
            self._down_timer = loop.call_later(self._patience_s, self._give_up_soon)

    def _give_up_soon(self) -> None:
        self._down_timer = None
        self._gave_up = True
        tasks.spawn(self._give_up(), name="give up waiting")

    async def _give_up(self) -> None:
        """Answer every request, as the daemon has been away for too long."""
        if not self._gave_up:
            return  # it came back meanwhile
        for request_id, request in list(self._requests.items()):
            answer = self._in_doubt(request_id) if request.is_begun else self._unreachable(request_id)
            await self._answer(request_id, answer)

    async def _on_refused(self, sentence: str) -> None:
        """Answer the requests that were not sent; those that run at the daemon may still be answered."""
        for request_id, request in list(self._requests.items()):
            if not request.is_begun:
                await self._answer(request_id, self._unauthenticated(request_id, sentence))

    async def _on_lost(self) -> None:
        """Mark what was in flight to be sent again; answer as in doubt what might then be done twice."""
        self._is_new = True
        for request_id, request in list(self._requests.items()):
            if request.sent and not request.is_repeatable:
                await self._answer(request_id, self._in_doubt(request_id))
            else:
                request.may_have_run = request.is_begun
                request.sent = False

    async def _answer(self, request_id: RequestId, answer: dict[str, Any]) -> None:
        if self._forget(request_id) is not None:
            await self._deliver(encode(answer))
            self._note_settled()

    def _note_settled(self) -> None:
        if not self._requests:
            self._settled.set()

    def _unreachable(self, request_id: RequestId) -> dict[str, Any]:
        why = self.channel.why_down or "no answer yet"
        return error_message(
            request_id,
            UNREACHABLE,
            f"EXAI cannot be reached at {self.channel.url}: {why}. Start it with `exai serve`, or name the right "
            "address; then ask again.",
            {"retryable": True},
        )

    def _unauthenticated(self, request_id: RequestId, sentence: str) -> dict[str, Any]:
        data = {"code": Unauthenticated.code, "retryable": Unauthenticated.retryable}
        return error_message(request_id, Unauthenticated.rpc_code, sentence, data)

    def _in_doubt(self, request_id: RequestId) -> dict[str, Any]:
        sentence = (
            f"The connection to EXAI at {self.channel.url} was lost while this ran. Whether it was carried out is "
            "not known, and it was not repeated; ask again if doing it twice does no harm."
        )
        if self.channel.refused is not None:
            sentence += f" {self.channel.refused}"
        return error_message(request_id, IN_DOUBT, sentence, {"retryable": False})


def _pause_before_next(request: _Request, message: bytes) -> float | None:
    """Return after how many seconds to send a request again; `None` if the message is its answer."""
    if not any(code in message for code in RETRIED):  # so that no other answer is read whole
        return None
    result = msgspec.json.decode(message).get("result") or {}
    facts = (result.get("_meta") or {}).get("exai/error") or {}
    if not result.get("isError"):
        return None
    if facts.get("code") == RunningElsewhere.code and request.is_repeatable:
        request.may_have_run = True
        return min(max(LEAST_PAUSE_S, facts.get("retry_after_s") or 0.0), LONGEST_PAUSE_S)
    if facts.get("code") == Stopping.code and facts.get("begun") is False:
        return _pause_while_stopping(request)
    return None


def _pause_while_stopping(request: _Request) -> float | None:
    """Note when a stopping daemon first refused the request; `None` once that has gone on for too long."""
    now = asyncio.get_running_loop().time()
    if request.refused_at is None:
        request.refused_at = now
    return STOPPING_PAUSE_S if now - request.refused_at < STOPPING_S else None


def _as_text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode()


def _request(text: str, message: Message) -> _Request:
    """Make the request that is sent: a tool call gets an idempotency key, unless it has one."""
    if message["method"] != "tools/call":
        return _Request(text, is_repeatable=True)
    keyed = with_key(message)
    if keyed is None:
        return _Request(text, is_repeatable=False)
    return _Request(text if keyed is message else encode(keyed), is_repeatable=True)
