"""Answers with the bytes of a stored content: whole, one range, or nothing where the client has it already."""

import base64
from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from exai.files.faults import FileDamaged, NotMatched, RangeBehindEnd
from exai.files.store.contract import OpenContent
from exai.files.store.shelf import Shelf
from exai.storage.files.tables import FileRow
from exai.transports.files.range import Unsatisfiable, range_of
from exai.web.refusals import json_fault
from exai.web.requests import AnswerBrokenOff, AuthorizedRequest

__all__ = ["NOSNIFF", "require_match", "send_content"]

NOSNIFF = {"x-content-type-options": "nosniff"}


def require_match(request: AuthorizedRequest, row: FileRow | None) -> None:
    """Check the request's `If-Match`, where it has one, against what its caller has.

    Raises:
        NotMatched: that is another content, or nothing.
    """
    given = next((value.decode("latin-1") for name, value in request.headers if name == b"if-match"), None)
    if given is None:
        return
    tags = {tag.strip() for tag in given.split(",")}  # a weak tag matches nothing (RFC 9110, 13.1.1)
    if row is None or not {_etag(row), "*"} & tags:
        raise NotMatched(
            "You have no file here whose `ETag` is one of `If-Match`, so nothing was done. `ETag` is the SHA-256 of "
            "the content, in quotes."
        )


async def send_content(shelf: Shelf, request: AuthorizedRequest, row: FileRow) -> Response:
    """Answer with the bytes of a file, or one range of them.

    Raises:
        FileDamaged, StoreUnavailable: they cannot be read.
    """
    headers = _content_headers(row)
    asked = {name: value.decode("latin-1") for name, value in request.headers}
    if {headers["etag"], "*"} & _tags(asked.get(b"if-none-match")):
        return Response(status_code=304, headers=headers)
    is_current = asked.get(b"if-range", headers["etag"]) == headers["etag"]
    try:
        part = range_of(asked.get(b"range") if is_current else None, row.bytes)
    except Unsatisfiable:
        refusal = json_fault(RangeBehindEnd(f"The file has {row.bytes} bytes; ask for a range within it."))
        refusal.headers["content-range"] = f"bytes */{row.bytes}"
        return refusal
    start, end = part or (0, row.bytes)
    headers["content-length"] = str(end - start)
    if part is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{row.bytes}"
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    opened = await shelf.open(row)
    if part is not None:
        await _compare(shelf, row, opened)
    return _ContentResponse(opened, _checked(shelf, request, row, opened.read(start, end)), status, headers)


async def _compare(shelf: Shelf, row: FileRow, content: OpenContent) -> None:
    """Compare a content of which a part is sent, while the answer can still be an error."""
    try:
        await content.compare()
    except BaseException as fault:
        content.close()
        if isinstance(fault, FileDamaged):
            await shelf.note_damage(row)
        raise


async def _checked(
    shelf: Shelf, request: AuthorizedRequest, row: FileRow, blocks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Pass the bytes on; damage and a revoked token break the answer off, so that nobody takes it for the file."""
    try:
        async for block in blocks:
            if request.is_revoked:
                raise AnswerBrokenOff
            yield block
    except FileDamaged:
        await shelf.note_damage(row)
        raise


class _ContentResponse(StreamingResponse):
    """Sends a content, and closes it whatever becomes of the answer."""

    def __init__(
        self, content: OpenContent, blocks: AsyncIterator[bytes], status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(blocks, status, headers)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._content.close()


def _content_headers(row: FileRow) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(row.sha256)).decode()
    return {
        **NOSNIFF,
        "content-type": row.media_type,
        "content-disposition": f"attachment; filename*=UTF-8''{quote(row.name, safe='')}",
        "content-security-policy": "sandbox; default-src 'none'",
        "accept-ranges": "bytes",
        "cache-control": "private, no-cache",
        "etag": _etag(row),
        "repr-digest": f"sha-256=:{digest}:",
    }


def _etag(row: FileRow) -> str:
    return f'"{row.sha256}"'


def _tags(header: str | None) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in (header or "").split(",")}
