"""`resources/…`: which kind a request is about, pages over all kinds, and errors as each revision has them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mcp_types as types
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from exai.callers import Caller
from exai.errors import ExaiError, ScopeMissing
from exai.files.faults import UnknownFile
from exai.transports.fault_data import fault_data
from exai.transports.resources.kind import ResourceKind, UnknownResource, check_read_scope, unknown
from exai.transports.server import caller_of, scope_error

__all__ = ["Resources"]

Context = ServerRequestContext[Any, Any]

PAGE = 100
NOT_FOUND = -32002
"""Of the revisions with a handshake; 2026-07-28 has -32602 for it."""


class Resources:
    """Answers `resources/…` for all kinds. Of what a caller may not read it has none here."""

    def __init__(self, kinds: Sequence[ResourceKind], listen: ListenHandler) -> None:
        """`kinds` are listed in this order; `listen` tells of changes."""
        self._kinds = kinds
        self._listen = listen

    def add_to(self, server: Server[Any]) -> None:
        """Register the handlers."""
        server.add_request_handler("resources/list", types.PaginatedRequestParams, self.list)
        server.add_request_handler(
            "resources/templates/list", types.PaginatedRequestParams, self.list_templates
        )
        server.add_request_handler("resources/read", types.ReadResourceRequestParams, self.read)
        server.add_request_handler(
            "subscriptions/listen", types.SubscriptionsListenRequestParams, self._listen
        )

    async def list(self, context: Context, params: types.PaginatedRequestParams | None) -> HandlerResult:
        """List what the caller has, kind by kind and newest first; a cursor is the address of the last of a page."""
        caller, cursor = caller_of(context), None if params is None else params.cursor
        kinds = list(self._kinds)
        after = None
        if cursor is not None:
            kind = self._kind_of(cursor)
            if kind is None:
                raise _unknown_cursor()
            kinds, after = kinds[kinds.index(kind) :], cursor.removeprefix(kind.prefix)
        found: list[types.Resource] = []
        with _as_errors(context):
            for kind in kinds:
                if _may_read(caller, kind):
                    found += await self._page(kind, caller.subject, PAGE + 1 - len(found), after)
                after = None
                if len(found) > PAGE:
                    break
        following = found[PAGE - 1].uri if len(found) > PAGE else None
        return types.ListResourcesResult(resources=found[:PAGE], next_cursor=following)

    async def list_templates(self, _: Context, __: types.PaginatedRequestParams | None) -> HandlerResult:
        """List the forms of addresses."""
        templates = [template for kind in self._kinds for template in kind.templates]
        return types.ListResourceTemplatesResult(resource_templates=templates)

    async def read(self, context: Context, params: types.ReadResourceRequestParams) -> HandlerResult:
        """Read one of the caller's resources."""
        caller, uri = caller_of(context), params.uri.strip()
        with _as_errors(context):
            check_read_scope(caller, uri)
            kind = self._kind_of(uri)
            if kind is None:
                raise unknown()
            found = await kind.read(caller.subject, uri)
        contents = found if isinstance(found, list) else [found]
        for content in contents:
            content.uri = params.uri
        return types.ReadResourceResult(contents=contents)

    async def ids(self, caller: Caller, template: str, begin: str, most: int) -> Sequence[str]:
        """List ids that complete a form of address; none where the caller may not read what it names."""
        kind = self._kind_of(template)
        if kind is None or not _may_read(caller, kind):
            return ()
        return await kind.ids(caller.subject, begin, most)

    async def _page(
        self, kind: ResourceKind, owner: str, most: int, after: str | None
    ) -> Sequence[types.Resource]:
        try:
            return await kind.page(owner, most, after)
        except UnknownFile:
            raise _unknown_cursor() from None

    def _kind_of(self, uri: str) -> ResourceKind | None:
        return next((kind for kind in self._kinds if uri.startswith(kind.prefix)), None)


def _may_read(caller: Caller, kind: ResourceKind) -> bool:
    try:
        check_read_scope(caller, kind.prefix)
    except ScopeMissing:
        return False
    return True


@contextmanager
def _as_errors(context: Context) -> Iterator[None]:
    """Turn our faults into errors of JSON-RPC, as the revision has them."""
    try:
        yield
    except (UnknownFile, UnknownResource) as fault:
        code = NOT_FOUND if context.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS else INVALID_PARAMS
        raise MCPError(code, str(fault), fault_data(fault)) from None
    except ScopeMissing as fault:
        raise scope_error(fault) from None
    except ExaiError as fault:
        code = INVALID_PARAMS if fault.fixable_by == "caller" else INTERNAL_ERROR
        raise MCPError(code, str(fault), fault_data(fault)) from None


def _unknown_cursor() -> MCPError:
    return MCPError(INVALID_PARAMS, "This cursor is none of this list; begin without one.")
