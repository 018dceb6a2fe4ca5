"""Asks an ASGI application as a server would, in the test's own process."""

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Scope

__all__ = ["AsgiReply", "asgi_scope", "ask_app"]

Receive = Callable[[], Awaitable[Message]]


@dataclass
class AsgiReply:
    """What the application sent."""

    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name.decode(), value.decode()) for name, value in self.messages[0]["headers"]]

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        found = [value for each, value in self.headers if each == name]
        assert len(found) <= 1, found
        return found[0] if found else None


def asgi_scope(method: str, path: str, headers: Iterable[tuple[bytes, bytes]]) -> Scope:
    """The scope of a request from this machine."""
    plain, _, query = path.partition("?")
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": plain,
        "raw_path": plain.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": list(headers),
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8080),
        "state": {},
    }


async def ask_app(app: ASGIApp, scope: Scope, receive: Receive) -> AsgiReply:
    """One request, whose body comes from `receive`."""
    reply = AsgiReply()

    async def send(message: Message) -> None:
        reply.messages.append(message)

    await app(scope, receive, send)
    return reply
