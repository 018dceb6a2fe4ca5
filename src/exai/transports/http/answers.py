"""An answer that can be broken off half-way, and a request's body that can be read once more."""

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

__all__ = ["BreakableAnswer", "replayed"]


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
