"""Tells those who listen (`subscriptions/listen`) of changes of their own files, and nobody of anybody else's.

A change that another process makes on the same store is not heard here: a listener asks again when it begins to listen.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import ListenHandler, ResourcesListChanged, ResourceUpdated, ServerEvent

from exai.auth.scopes import FILES
from exai.events.bus import EventBus
from exai.events.events import FileRemoved, FileStored
from exai.files.store.handles import uri_of
from exai.transports.server import caller_of

__all__ = ["FileChanges"]

Listener = Callable[[ServerEvent], None]

_owner: ContextVar[str | None] = ContextVar("owner", default=None)
"""Whose files the request that is being served listens to."""


class _OwnFilesListenHandler(ListenHandler):
    """The SDK's handler, which notes whose files a request listens to."""

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        caller = caller_of(ctx)
        _owner.set(caller.subject if caller.may(FILES) else None)
        return await super().__call__(ctx, params)


class FileChanges:
    """The bus of the SDK's listen handler: a listener hears of the files of its own caller."""

    def __init__(self, bus: EventBus) -> None:
        self._listeners: dict[object, tuple[str | None, Listener]] = {}
        self.listen: ListenHandler = _OwnFilesListenHandler(self)
        """Answers `subscriptions/listen`."""
        bus.watch(self._stored, FileStored)
        bus.watch(self._removed, FileRemoved)

    async def publish(self, event: ServerEvent) -> None:
        """Tell everybody; part of the SDK's bus."""
        for _, listener in list(self._listeners.values()):
            listener(event)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Register a listener for the caller of the request that is being served; part of the SDK's bus."""
        key = object()
        self._listeners[key] = (_owner.get(), listener)

        def unsubscribe() -> None:
            self._listeners.pop(key, None)

        return unsubscribe

    def _stored(self, event: FileStored) -> None:
        self._tell(event.owner, ResourcesListChanged())

    def _removed(self, event: FileRemoved) -> None:
        self._tell(event.owner, ResourcesListChanged())
        self._tell(event.owner, ResourceUpdated(uri=uri_of(event.file_id)))

    def _tell(self, owner: str, change: ServerEvent) -> None:
        for subject, listener in list(self._listeners.values()):
            if subject == owner:
                listener(change)
