"""Requests that run in the SDK's HTTP sessions, each under an id of ours that no other ever has.

The SDK keys what it knows of a request by the client's id, for which 1 and "1" are one, and forgets it after the answer
has left. A client that gives each request the same id, one after the other, would lose its next answer to that. So the
SDK gets another id, the answer gets the client's back, and from then on that one is free: before the answer's first
byte leaves.
"""

import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

from starlette.types import Message as AsgiMessage
from starlette.types import Send

from exai.protocol.jsonrpc import INVALID_REQUEST, Message, Refusal, RequestId, encode
from exai.transports.http.answers import has_length, with_length_of

__all__ = ["RunningRequest", "RunningRequests"]

ID_WITHIN = 400
"""Bytes of an event in which the id of an answer stands: it comes before the result."""

Session = tuple[str, bytes]
"""A session and its subject."""


class RunningRequest:
    """One request: what the SDK gets of it, and what its client gets of the answer."""

    def __init__(
        self, session: Session, message: Message, own_id: str, cancel: Callable[[], None] | None
    ) -> None:
        self.key = (session, str(message["id"]))
        self.is_answered = False
        """Whether its answer has left, or begun to."""
        self.own_id = own_id
        self.cancel = cancel
        """Cancels a request that the SDK knows nothing of."""
        self._message = message

    @cached_property
    def body(self) -> bytes:
        """The request under our id."""
        return encode({**self._message, "id": self.own_id}).encode()

    @cached_property
    def marked(self) -> bytes:
        """Our id as it stands in the SDK's answer."""
        return _member(self.own_id)

    @cached_property
    def member(self) -> bytes:
        """The client's id, to stand in its place."""
        return _member(self._message["id"])


class RunningRequests:
    """Requests without an answer, by session and id."""

    def __init__(self) -> None:
        self._tag = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._running: dict[tuple[Session, str], RunningRequest] = {}

    @contextmanager
    def running(
        self, session: Session, message: Message, *, cancel: Callable[[], None] | None = None
    ) -> Iterator[RunningRequest]:
        """Let the client's id be taken within this scope, or until the answer leaves.

        Args:
            session: with its subject.
            message: the request.
            cancel: cancels it, where the SDK knows nothing of it.

        Raises:
            Refusal: a request with this id is running in the session.
        """
        request = RunningRequest(session, message, f"{self._tag}-{next(self._numbers)}", cancel)
        if request.key in self._running:
            sentence = (
                f"A request with the id {message['id']!r} is still running. Give each request its own id."
            )
            raise Refusal(INVALID_REQUEST, sentence, message["id"])
        self._running[request.key] = request
        try:
            yield request
        finally:
            self.free(request)

    def answering(self, request: RunningRequest, send: Send) -> Send:
        """Return what sends the answer under the client's id, which is free from then on."""

        held: AsgiMessage | None = None

        async def sending(message: AsgiMessage) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and has_length(message):
                held = message  # ids differ in length
                return
            if request.marked in (body := message.get("body", b""))[:ID_WITHIN]:
                request.is_answered = True
                self.free(request)
                message = {**message, "body": body.replace(request.marked, request.member, 1)}
            if held is not None:
                start, held = held, None
                await send(with_length_of(start, message))
            await send(message)

        return sending

    def renamed(self, session: Session, message: Message) -> Message:
        """Return a notification as the SDK understands it: one that cancels a request names that by our id."""
        params = message.get("params")
        if message.get("method") != "notifications/cancelled" or not isinstance(params, dict):
            return message
        request = self._running.get((session, str(params.get("requestId"))))
        if request is None:
            return message
        if request.cancel is not None:
            request.cancel()
        return {**message, "params": {**params, "requestId": request.own_id}}

    def free(self, request: RunningRequest) -> None:
        """Let the client use the id of a request again: its answer leaves, or its client has gone."""
        if self._running.get(request.key) is request:
            del self._running[request.key]


def _member(request_id: RequestId) -> bytes:
    """Return `"id":…` as it stands in an answer; inside a text its quotes would be escaped."""
    return encode({"id": request_id})[1:-1].encode()
