"""What the MCP port serves over HTTP, as a table: each path, its methods, and whether a caller must be admitted.

The order is the rule: Host and Origin, the path, who asks, the method. The path is the one that was
sent, decoded once, and what decides is what is served.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from exai.callers import Door
from exai.errors import ExaiError
from exai.transports.server import CALLER_KEY
from exai.web.entrance import Entrance
from exai.web.hosts import HostRule

__all__ = ["Route", "Routes"]


@dataclass(frozen=True)
class Route:
    """One path."""

    path: str
    methods: tuple[str, ...]
    serve: ASGIApp
    is_open: bool
    """Served to whoever may connect: it tells nothing that is anybody's, and takes no token's place."""


class Routes:
    """The ASGI application of HTTP requests on the MCP port."""

    def __init__(self, routes: Iterable[Route], *, hosts: HostRule, entrance: Entrance) -> None:
        self.table: Mapping[str, Route] = MappingProxyType({route.path: route for route in routes})
        self._hosts = hosts
        self._entrance = entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (refused := self._hosts.refusal(scope["headers"])) is not None:
            await PlainTextResponse(refused.sentence, status_code=refused.status)(scope, receive, send)
            return
        route = self.table.get(scope["path"].rstrip("/") or "/")
        if route is None:
            await PlainTextResponse("Nothing is here. MCP is at /mcp.", status_code=404)(scope, receive, send)
            return
        if not route.is_open:
            try:
                scope[CALLER_KEY] = await self._entrance.admit(scope, Door.HTTP)
            except ExaiError as fault:
                await self._entrance.answer(fault, scope)(scope, receive, send)
                return
        if scope["method"] not in route.methods:
            allow = ", ".join(route.methods)
            answer = PlainTextResponse(f"Here are {allow}.", status_code=405, headers={"allow": allow})
            await answer(scope, receive, send)
            return
        scope["path"] = route.path
        await route.serve(scope, receive, send)
