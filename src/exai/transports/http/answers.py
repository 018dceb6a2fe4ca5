"""An answer that can be broken off half-way, refusals under the request's id, and a body that can be read once more."""

import msgspec
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from exai.protocol.jsonrpc import RequestId, encode

__all__ = ["BreakableAnswer", "IdentifiedRefusals", "has_length", "replayed", "with_length_of"]

REFUSED = 400
"""From this status on."""


class BreakableAnswer:
    """An answer as it is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_begun = False
        self._is_complete = False

    async def send(self, message: Message) -> None:
        """Pass a message on to the server."""
        if message["type"] == "http.response.start":
            self._has_begun = True
        elif not message.get("more_body"):
            self._is_complete = True
        await self._send(message)

    async def break_off(self, refusal: Response, scope: Scope, receive: Receive, *, as_event: bool) -> None:
        """End with a refusal: as the whole answer, or as the last event of a stream that has begun.

        Args:
            as_event: whether the stream's client waits for an answer; else it ends without one.
        """
        if not self._has_begun:
            await refusal(scope, receive, self.send)
        elif not self._is_complete:
            event = b"event: message\r\ndata: " + bytes(refusal.body) + b"\r\n\r\n" if as_event else b""
            await self._send({"type": "http.response.body", "body": event, "more_body": False})


class IdentifiedRefusals:
    """Puts the request's id into the refusals of the SDK, whose `id` is null whatever it refuses."""

    def __init__(self, send: Send, request_id: RequestId | None) -> None:
        self._send = send
        self._request_id = request_id
        self._held: Message | None = None
        """The start of a refusal whose body has not come yet."""

    async def send(self, message: Message) -> None:
        """Pass a message on to the server."""
        if message["type"] == "http.response.start" and message["status"] >= REFUSED:
            self._held = message
            return
        if self._held is not None:
            start, self._held = self._held, None
            if not message.get("more_body"):
                message = {**message, "body": self._identified(message.get("body", b""))}
                start = with_length_of(start, message)
            await self._send(start)
        await self._send(message)

    def _identified(self, body: bytes) -> bytes:
        try:
            answer = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return body
        if not isinstance(answer, dict) or "jsonrpc" not in answer or answer.get("id") is not None:
            return body
        answer.pop("id", None)
        if self._request_id is not None:
            answer["id"] = self._request_id
        return encode(answer).encode()


def has_length(start: Message) -> bool:
    """Whether the start of an answer says how long its body is."""
    return any(name.lower() == b"content-length" for name, _ in start["headers"])


def with_length_of(start: Message, message: Message) -> Message:
    """Return the start of an answer with the length of its first piece, if that is all of it, else without any."""
    headers = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    if not message.get("more_body"):
        headers.append((b"content-length", str(len(message.get("body", b""))).encode()))
    return {**start, "headers": headers}


def replayed(body: bytes, receive: Receive) -> Receive:
    """Receive a body that was read already, then whatever comes after it."""
    first = True

    async def replay() -> Message:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay
