"""Tells those who asked of changes of groups of errors: `resources/subscribe`, and `subscriptions/listen`.

A change is heard some seconds later where another process made it. What a client has not read yet is told once,
however often it changed meanwhile, and nobody waits for a client that does not read.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import mcp_types as types
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler, ResourcesListChanged, ResourceUpdated, ServerEvent
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from exai.callers import Caller
from exai.error_tracking.known_groups import ErrorGroupsChanged
from exai.errors import ScopeMissing
from exai.events.bus import EventBus
from exai.runtime import tasks
from exai.transports.resources.errors import FEED, REPORT, ErrorResources, uri_of_group
from exai.transports.resources.kind import check_read_scope
from exai.transports.server import caller_of, scope_error

__all__ = ["MOST_SUBSCRIBED", "ErrorUpdates"]

Context = ServerRequestContext[Any, Any]
Listener = Callable[[ServerEvent], None]

MOST_SUBSCRIBED = 1_000
"""Resources that one connection may subscribe to."""


class _OwnListenHandler(ListenHandler):
    """The SDK's handler, for callers who may read errors."""

    async def __call__(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        _check(caller_of(ctx), FEED)
        return await super().__call__(ctx, params)


class ErrorUpdates:
    """Hears of changes, and tells of them; it is the bus of the SDK's listen handler."""

    def __init__(self, bus: EventBus) -> None:
        self._listeners: dict[object, Listener] = {}
        self._subscribers: dict[Connection, _Subscriber] = {}
        self.listen: ListenHandler = _OwnListenHandler(self)
        """Answers `subscriptions/listen`."""
        bus.watch(self._changed, ErrorGroupsChanged)

    def add_to(self, server: Server[Any]) -> None:
        """Register the handlers of revisions with a handshake."""
        server.add_request_handler("resources/subscribe", types.SubscribeRequestParams, self._subscribe)
        server.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, self._unsubscribe)

    async def publish(self, event: ServerEvent) -> None:
        """Tell every listener; part of the SDK's bus."""
        self._tell(event)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Register a listener; part of the SDK's bus."""
        key = object()
        self._listeners[key] = listener

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    async def _subscribe(self, context: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        uri = params.uri.strip()
        _check(caller_of(context), uri)
        if not uri.startswith((ErrorResources.prefix, FEED)):
            raise MCPError(INVALID_PARAMS, f"Changes are told of {ErrorResources.prefix}E-17 and {FEED}.")
        connection = context.session._connection  # noqa: SLF001 - a subscription lasts as long as its connection
        subscriber = self._subscribers.get(connection)
        if subscriber is None:
            subscriber = self._subscribers[connection] = _Subscriber(connection)
            connection.exit_stack.callback(self._forget, connection)
        if len(subscriber.uris) >= MOST_SUBSCRIBED:
            raise MCPError(
                INVALID_PARAMS,
                f"You have {MOST_SUBSCRIBED} subscriptions. End some by resources/unsubscribe, or take {FEED} for all.",
            )
        subscriber.uris.add(uri)
        return types.EmptyResult()

    async def _unsubscribe(
        self, context: Context, params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        subscriber = self._subscribers.get(context.session._connection)  # noqa: SLF001 - as above
        if subscriber is not None:
            subscriber.uris.discard(params.uri.strip())
        return types.EmptyResult()

    def _forget(self, connection: Connection) -> None:
        self._subscribers.pop(connection).close()

    def _changed(self, event: ErrorGroupsChanged) -> None:
        if not self._listeners and not self._subscribers:
            return
        if event.turned:
            self._tell(ResourcesListChanged())
            self._tell(ResourceUpdated(uri=FEED))
        for number in event.numbers:
            uri = uri_of_group(f"E-{number}")
            self._tell(ResourceUpdated(uri=uri))
            self._tell(ResourceUpdated(uri=f"{uri}{REPORT}"))

    def _tell(self, event: ServerEvent) -> None:
        for listener in list(self._listeners.values()):
            listener(event)
        if isinstance(event, ResourceUpdated):
            for subscriber in self._subscribers.values():
                subscriber.tell(event.uri)


class _Subscriber:
    """A connection with what it wants to hear of."""

    def __init__(self, connection: Connection) -> None:
        self.uris: set[str] = set()
        self._connection = connection
        self._untold: dict[str, None] = {}
        self._telling: asyncio.Task[None] | None = None

    def tell(self, uri: str) -> None:
        """Have a change told, once for all that happen before the client takes it."""
        if uri not in self.uris:
            return
        self._untold[uri] = None
        if self._telling is None or self._telling.done():
            self._telling = tasks.spawn(self._tell(), name="resource updates")

    def close(self) -> None:
        """Tell nothing any more."""
        self._untold.clear()
        if self._telling is not None:
            self._telling.cancel()

    async def _tell(self) -> None:
        while self._untold:
            uri = next(iter(self._untold))
            del self._untold[uri]
            await self._connection.send_resource_updated(uri)


def _check(caller: Caller, uri: str) -> None:
    try:
        check_read_scope(caller, uri)
    except ScopeMissing as fault:
        raise scope_error(fault) from None
