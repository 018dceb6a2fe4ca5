"""HTTP requests for stored files: put, list, read, remove.

A caller reaches what is his own, and no answer depends on what others have: a content that somebody else has stored is
sent again by whoever wants a file of it.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from starlette.responses import JSONResponse, Response

from exai import config
from exai.errors import BadArguments
from exai.files.faults import LengthMissing
from exai.files.store.entries import entry_of
from exai.files.store.handles import file_id_of
from exai.files.store.resumable import ResumableUploads
from exai.files.store.shelf import Shelf, too_large
from exai.storage.files.tables import FileRow
from exai.transports.files.content import NOSNIFF, require_match, send_content
from exai.transports.files.form import FORM_BYTES, FileForm
from exai.transports.files.tus import TusDoor, is_tus, tus_or_form_fault
from exai.web.bodies import StreamedBody
from exai.web.requests import AuthorizedRequest
from exai.web.routes import READ, Route

__all__ = ["FileDoor", "declared_length", "limit_of", "sha256_of"]

MOST_LISTED = 100
_LIMIT = re.compile(r"[0-9]{1,9}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class FileDoor:
    """Answers `/files`."""

    def __init__(self, shelf: Shelf, uploads: ResumableUploads, settings: config.Files) -> None:
        self._shelf = shelf
        self._tus = TusDoor(uploads, settings)
        self._settings = settings

    def routes(self, scope: str) -> Iterator[Route]:
        """Yield the rows; `scope` opens them."""
        content = StreamedBody(self._settings.max_upload_bytes)
        form = StreamedBody(self._settings.max_upload_bytes + FORM_BYTES)
        yield Route(("GET",), "/files", self.list, scope=scope)
        yield Route(("POST",), "/files", self.post, scope=scope, body=form, fault_form=tus_or_form_fault)
        yield Route(("HEAD",), "/files/sha256/{digest}", self.look, scope=scope)
        yield Route(("PUT",), "/files/sha256/{digest}", self.put, scope=scope, body=content)
        yield Route(READ, "/files/{file_id}", self.show, scope=scope)
        yield Route(("DELETE",), "/files/{file_id}", self.remove, scope=scope)
        yield Route(READ, "/files/{file_id}/proof", self.prove, scope=scope)
        yield Route(READ, "/files/{file_id}/content", self.content, scope=scope)
        yield from self._tus.routes(scope)

    async def look(self, request: AuthorizedRequest) -> Response:
        """Answer whether the caller has a content, by his newest file of it."""
        row = await self._shelf.find_content(request.caller.subject, _digest(request))
        if row is None:
            return Response(status_code=404, headers=NOSNIFF)
        return Response(headers={**NOSNIFF, "exai-file": row.file_id, "content-length": str(row.bytes)})

    async def put(self, request: AuthorizedRequest) -> Response:
        """Store a content by its SHA-256; none of it is read where the caller has it already."""
        owner, digest = request.caller.subject, _digest(request)
        name = request.query.get("name", digest)
        require_match(request, await self._shelf.find_content(owner, digest))
        if (row := await self._shelf.put_again(owner, name, digest)) is not None:
            return _entry(row)
        length = declared_length(request, self._settings.max_upload_bytes)
        row = await self._shelf.put(owner, name, length, request.streamed_body(), expected=digest)
        return _entry(row, 201)

    async def post(self, request: AuthorizedRequest) -> Response:
        """Store the file of a form, or begin a resumable upload."""
        if is_tus(request):
            return await self._tus.create(request)
        declared = declared_length(request, self._settings.max_upload_bytes, FORM_BYTES)
        content_type = next((value for name, value in request.headers if name == b"content-type"), b"")
        form = FileForm(content_type, request.streamed_body())
        await form.open()
        row = await self._shelf.put(request.caller.subject, form.name, declared, form.content())
        return _entry(row, 201)

    async def list(self, request: AuthorizedRequest) -> Response:
        """List the caller's files, or those with a name, newest first."""
        limit = limit_of(request.query.get("limit"))
        after = request.query.get("after")
        behind = None if after is None else file_id_of(after)
        name = request.query.get("name")
        if name == "":
            raise BadArguments("`name` is the whole name of the files that are to be listed.")
        rows = await self._shelf.newest(request.caller.subject, limit + 1, after=behind, name=name)
        files, further = rows[:limit], rows[limit:]
        body = {"files": [_described(row) for row in files], "next": files[-1].file_id if further else None}
        return JSONResponse(body, headers=NOSNIFF)

    async def show(self, request: AuthorizedRequest) -> Response:
        """Describe a file."""
        owner = request.caller.subject
        row = await self._shelf.get(owner, request.params["file_id"])
        return _json(await self._shelf.details(owner, row))

    async def remove(self, request: AuthorizedRequest) -> Response:
        """Remove a file, and say which copies of it at providers are being deleted."""
        owner, file_id = request.caller.subject, request.params["file_id"]
        require_match(request, await self._shelf.get(owner, file_id))
        condemned = await self._shelf.remove(owner, file_id)
        pending = [{"provider": copy.provider, "copy": copy.copy_id} for copy in condemned]
        return JSONResponse({"removed": True, "pending": pending}, 202, headers=NOSNIFF)

    async def prove(self, request: AuthorizedRequest) -> Response:
        """Tell where the content of a file was, and how it went; also of one that was removed."""
        return _json(await self._shelf.proof(request.caller.subject, request.params["file_id"]))

    async def content(self, request: AuthorizedRequest) -> Response:
        """Send the bytes of a file, or one range of them."""
        row = await self._shelf.get(request.caller.subject, request.params["file_id"])
        return await send_content(self._shelf, request, row)


def _json(described: msgspec.Struct) -> Response:
    return JSONResponse(msgspec.to_builtins(described), headers=NOSNIFF)


def _entry(row: FileRow, status: int = 200) -> Response:
    return JSONResponse(_described(row), status, headers=NOSNIFF)


def _described(row: FileRow) -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(entry_of(row))
    return described


def _digest(request: AuthorizedRequest) -> str:
    return sha256_of(request.params["digest"], "The path ends in")


def sha256_of(given: str, what: str) -> str:
    """Read a SHA-256; `what` begins the sentence to whoever gives another thing.

    Raises:
        BadArguments: it is none.
    """
    digest = given.lower()
    if _SHA256.fullmatch(digest) is None:
        raise BadArguments(f"{what} a SHA-256: 64 hexadecimal digits.")
    return digest


def declared_length(request: AuthorizedRequest, most: int, around: int = 0) -> int:
    """Return how long the body says it is.

    Args:
        most: what a file may have.
        around: what the body may have beside the file.

    Raises:
        LengthMissing: it does not say it.
        FileTooLarge: no file of this length is stored; no byte was read.
    """
    if request.declared_bytes is None:
        raise LengthMissing("Say how long the body is (`Content-Length`), so that space is reserved for it.")
    if request.declared_bytes > most + around:
        raise too_large(most)
    return request.declared_bytes


def limit_of(given: str | None) -> int:
    """Read how many are to be listed.

    Raises:
        BadArguments: it is no such number.
    """
    if given is None:
        return MOST_LISTED
    if _LIMIT.fullmatch(given) is None or not 1 <= int(given) <= MOST_LISTED:
        raise BadArguments(f"`limit` is a number from 1 to {MOST_LISTED}.")
    return int(given)
