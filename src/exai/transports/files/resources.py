"""Stored files as resources of MCP: `exai://files/ID`, listed and read by their owner."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mcp_types as types
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from exai.auth.scopes import FILES
from exai.callers import Caller
from exai.errors import BadArguments, ExaiError, ScopeMissing
from exai.files.checks import text_of
from exai.files.documents.lines import StoredText
from exai.files.documents.pages import page_of
from exai.files.faults import FileDamaged, FileTooLarge, UnknownFile
from exai.files.kinds import TEXT
from exai.files.store.handles import FILE_URIS, LINES_URIS, uri_of, uri_parts
from exai.files.store.shelf import Shelf
from exai.storage.files.tables import FileRow
from exai.transports.files.changes import FileChanges
from exai.transports.server import caller_of

__all__ = ["FileResources", "check_scope"]

Context = ServerRequestContext[Any, Any]

PAGE = 100
LARGEST = 2**20
"""What one reading returns, in bytes; a client holds it in memory several times over."""
TEXTS = frozenset({"text", "empty"})
NOT_FOUND = -32002
"""Of the revisions with a handshake; 2026-07-28 has -32602 for it."""

TEMPLATES = (
    types.ResourceTemplate(
        uri_template=FILE_URIS, name="file", title="A stored file", description="Up to 1 MiB, text or base64."
    ),
    types.ResourceTemplate(
        uri_template=LINES_URIS,
        name="lines",
        title="Lines of a stored file",
        description="Numbered; of PDF and Office documents too.",
        mime_type=TEXT.media_type,
    ),
)


class FileResources:
    """Answers `resources/…`. Whoever may not have files has none here."""

    def __init__(self, shelf: Shelf, text: StoredText, changes: FileChanges) -> None:
        self._shelf = shelf
        self._text = text
        self._changes = changes

    def add_to(self, server: Server[Any]) -> None:
        """Register the handlers."""
        server.add_request_handler("resources/list", types.PaginatedRequestParams, self.list)
        server.add_request_handler(
            "resources/templates/list", types.PaginatedRequestParams, self.list_templates
        )
        server.add_request_handler("resources/read", types.ReadResourceRequestParams, self.read)
        server.add_request_handler(
            "subscriptions/listen", types.SubscriptionsListenRequestParams, self._changes.listen
        )

    async def list(self, context: Context, params: types.PaginatedRequestParams | None) -> HandlerResult:
        """List the caller's files, newest first, in pages."""
        caller, cursor = caller_of(context), None if params is None else params.cursor
        if cursor is not None and uri_parts(uri_of(cursor)) is None:
            raise _unknown_cursor()
        if not caller.may(FILES):
            return types.ListResourcesResult(resources=[])
        with _as_errors(context):
            try:
                rows = await self._shelf.newest(caller.subject, PAGE + 1, after=cursor)
            except UnknownFile:
                raise _unknown_cursor() from None
        page = rows[:PAGE]
        following = page[-1].file_id if len(rows) > PAGE else None
        return types.ListResourcesResult(resources=[_resource(row) for row in page], next_cursor=following)

    async def list_templates(self, _: Context, __: types.PaginatedRequestParams | None) -> HandlerResult:
        """List the forms of addresses."""
        return types.ListResourceTemplatesResult(resource_templates=list(TEMPLATES))

    async def read(self, context: Context, params: types.ReadResourceRequestParams) -> HandlerResult:
        """Read one of the caller's files: text as text, anything else in base64."""
        caller, named = caller_of(context), uri_parts(params.uri)
        with _as_errors(context):
            check_scope(caller)
            if named is None:
                raise UnknownFile(f"Resources here are {FILE_URIS}; `resources/list` has yours.")
            if named.lines is None:
                row = await self._shelf.get(caller.subject, named.file_id)
                contents = await self._whole(params.uri, row)
            else:
                text = await self._lines(caller.subject, named.file_id, *named.lines)
                contents = types.TextResourceContents(uri=params.uri, mime_type=TEXT.media_type, text=text)
        return types.ReadResourceResult(contents=[contents])

    async def _lines(self, owner: str, file_id: str, first: int, last: int) -> str:
        """Read numbered lines, and say in a line of its own what of them was left out."""
        lines = await self._text.read(owner, file_id, first, last)
        page = page_of(lines)
        said = [] if page.note is None else [page.note]
        if lines.next_line is not None:
            said.append(f"Goes on at {uri_of(file_id)}/lines/{lines.next_line}-{min(last, lines.total)}.")
        return page.lines + (f"[{' '.join(said)}]\n" if said else "")

    async def _whole(self, uri: str, row: FileRow) -> types.TextResourceContents | types.BlobResourceContents:
        if row.bytes > LARGEST:
            raise _too_large(row)
        opened = await self._shelf.open(row)
        try:
            content = b"".join([block async for block in opened.read(0, opened.size)])
        except FileDamaged:
            await self._shelf.note_damage(row)
            raise
        finally:
            opened.close()
        text = text_of(content) if row.kind in TEXTS else None
        if text is not None:
            return types.TextResourceContents(uri=uri, mime_type=row.media_type, text=text)
        blob = base64.b64encode(content).decode()
        return types.BlobResourceContents(uri=uri, mime_type=row.media_type, blob=blob)


def check_scope(caller: Caller) -> None:
    """Refuse who may not read files.

    Raises:
        ScopeMissing: that is so.
    """
    if not caller.may(FILES):
        sentence = (
            f"Your token does not allow this: it lacks {FILES}. Ask its issuer for one that has this scope."
        )
        raise ScopeMissing(sentence, scope=FILES)


@contextmanager
def _as_errors(context: Context) -> Iterator[None]:
    """Turn our faults into errors of JSON-RPC, as the revision has them."""
    try:
        yield
    except UnknownFile as fault:
        code = NOT_FOUND if context.protocol_version in HANDSHAKE_PROTOCOL_VERSIONS else INVALID_PARAMS
        raise MCPError(code, str(fault), {"code": fault.code}) from None
    except ScopeMissing as fault:
        raise MCPError(fault.rpc_code, str(fault), {"code": fault.code, "scope": fault.scope}) from None
    except BadArguments as fault:
        raise MCPError(INVALID_PARAMS, str(fault), {"code": fault.code}) from None
    except ExaiError as fault:
        code = INVALID_PARAMS if fault.fixable_by == "caller" else INTERNAL_ERROR
        raise MCPError(code, str(fault), {"code": fault.code, "retryable": fault.retryable}) from None


def _unknown_cursor() -> MCPError:
    return MCPError(INVALID_PARAMS, "This cursor is none of this list; begin without one.")


def _resource(row: FileRow) -> types.Resource:
    return types.Resource(
        uri=uri_of(row.file_id),
        name=row.name,
        mime_type=row.media_type,
        size=row.bytes,
        annotations=types.Annotations(last_modified=row.created_at.isoformat(timespec="seconds")),
    )


def _too_large(row: FileRow) -> FileTooLarge:
    return FileTooLarge(
        f"This file has {row.bytes:,} bytes, and a resource may have {LARGEST:,}. Read a text by lines with the tool "
        f"`files` (action read, id {row.file_id}); GET /files/{row.file_id}/content at EXAI's MCP port has all bytes."
    )
