"""Resumable uploads by tus 1.0.0: https://tus.io/protocols/resumable-upload.

Extensions: creation, creation-with-upload, expiration, checksum, termination. What is sent beside the protocol: an
upload's last answer, and each later one, names the file (`Exai-File`) and its content (`Exai-Sha256`).
"""

import email.utils
from collections.abc import Awaitable, Callable, Iterator

from starlette.responses import Response
from starlette.types import Scope

from exai import config
from exai.errors import BadArguments, ExaiError, RequestFault
from exai.files.store.receiving import CHECKSUMS
from exai.files.store.resumable import Chunk, ResumableUploads
from exai.storage.files.resumable import ResumableUpload
from exai.transports.files.tus_headers import checksum_of, metadata_of, number_of
from exai.web.bodies import StreamedBody
from exai.web.faults import MediaTypeRefused
from exai.web.refusals import json_fault
from exai.web.requests import AuthorizedRequest
from exai.web.routes import Route

__all__ = ["TusDoor", "is_tus", "tus_fault", "tus_or_form_fault"]

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,checksum,termination"
CONTENT_TYPE = "application/offset+octet-stream"
HEADERS = {"tus-resumable": VERSION, "x-content-type-options": "nosniff"}
NOT_BUILT = ("upload-defer-length", "upload-concat")

Handler = Callable[[AuthorizedRequest], Awaitable[Response]]


class VersionRefused(RequestFault):
    """The request is of another version of tus, or says none."""

    code = "tus_version"
    http_status = 412


def tus_fault(fault: ExaiError, scope: Scope) -> Response:
    """Answer a fault as JSON, with what tus wants in every answer."""
    response = json_fault(fault, scope)
    response.headers.update(HEADERS)
    if isinstance(fault, VersionRefused):
        response.headers["tus-version"] = VERSION
    return response


def tus_or_form_fault(fault: ExaiError, scope: Scope) -> Response:
    """Answer a fault as JSON, as the protocol wants it where the request is of it."""
    is_of_it = any(name == b"tus-resumable" for name, _ in scope["headers"])
    return (tus_fault if is_of_it else json_fault)(fault, scope)


def is_tus(request: AuthorizedRequest) -> bool:
    """Whether a request is one of the protocol."""
    return _header(request, b"tus-resumable") is not None


class TusDoor:
    """Answers `/files/uploads/{upload_id}`, and what begins an upload at `/files`."""

    def __init__(self, uploads: ResumableUploads, settings: config.Files) -> None:
        self._uploads = uploads
        self._settings = settings
        self._overridden: dict[str, Handler] = {"PATCH": self.append, "DELETE": self.end, "HEAD": self.look}

    def routes(self, scope: str) -> Iterator[Route]:
        """Yield the rows; `scope` opens them."""
        path, body = "/files/uploads/{upload_id}", StreamedBody(self._settings.max_upload_bytes)
        yield Route(("OPTIONS",), "/files", self.describe, scope=scope, fault_form=tus_fault)
        yield Route(("HEAD",), path, self.look, scope=scope, fault_form=tus_fault)
        yield Route(("PATCH",), path, self.append, scope=scope, body=body, fault_form=tus_fault)
        yield Route(("POST",), path, self.override, scope=scope, body=body, fault_form=tus_fault)
        yield Route(("DELETE",), path, self.end, scope=scope, fault_form=tus_fault)

    async def describe(self, _: AuthorizedRequest) -> Response:
        """Say what of the protocol is here."""
        return Response(
            status_code=204,
            headers={
                **HEADERS,
                "tus-version": VERSION,
                "tus-extension": EXTENSIONS,
                "tus-max-size": str(self._settings.max_upload_bytes),
                "tus-checksum-algorithm": ",".join(CHECKSUMS),
            },
        )

    async def create(self, request: AuthorizedRequest) -> Response:
        """Begin an upload, with its first bytes where the request has a body."""
        _check_version(request)
        for name in NOT_BUILT:
            if _header(request, name.encode()) is not None:
                raise BadArguments(f"`{name}` is not supported here; OPTIONS /files lists what is.")
        length = number_of("Upload-Length", _header(request, b"upload-length"))
        given = _header(request, b"upload-metadata")
        metadata = metadata_of(given)
        upload = await self._uploads.begin(
            request.caller.subject, metadata.name, length, expected=metadata.sha256, metadata=given
        )
        if not upload.is_done and _has_body(request):
            upload = await self._append(request, upload.upload_id, 0)
        headers = {"location": f"/files/uploads/{upload.upload_id}", "upload-offset": str(upload.received)}
        return Response(status_code=201, headers=_described(upload) | headers)

    async def look(self, request: AuthorizedRequest) -> Response:
        """Say how far an upload has come."""
        _check_version(request)
        upload = await self._uploads.look(request.caller.subject, request.params["upload_id"])
        headers = {
            "upload-offset": str(upload.received),
            "upload-length": str(upload.length),
            "cache-control": "no-store",
        }
        if upload.metadata is not None:
            headers["upload-metadata"] = upload.metadata
        return Response(headers=_described(upload) | headers)

    async def append(self, request: AuthorizedRequest) -> Response:
        """Add bytes to an upload."""
        _check_version(request)
        offset = number_of("Upload-Offset", _header(request, b"upload-offset"))
        upload = await self._append(request, request.params["upload_id"], offset)
        return Response(status_code=204, headers=_described(upload) | {"upload-offset": str(upload.received)})

    async def end(self, request: AuthorizedRequest) -> Response:
        """Forget an upload."""
        _check_version(request)
        await self._uploads.end(request.caller.subject, request.params["upload_id"])
        return Response(status_code=204, headers=HEADERS)

    async def override(self, request: AuthorizedRequest) -> Response:
        """Answer as the method that `X-HTTP-Method-Override` names, for clients that can send no other than POST."""
        wanted = (_header(request, b"x-http-method-override") or "").upper()
        handler = self._overridden.get(wanted)
        if handler is None:
            raise BadArguments("POST is taken here with `X-HTTP-Method-Override: PATCH`, `DELETE` or `HEAD`.")
        return await handler(request)

    async def _append(self, request: AuthorizedRequest, upload_id: str, offset: int) -> ResumableUpload:
        if _header(request, b"content-type") != CONTENT_TYPE:
            raise MediaTypeRefused(f"Send the bytes with `Content-Type: {CONTENT_TYPE}`.")
        checksum = checksum_of(_header(request, b"upload-checksum"))
        chunk = Chunk(offset, request.streamed_body(), request.declared_bytes, checksum)
        return await self._uploads.append(request.caller.subject, upload_id, chunk)


def _described(upload: ResumableUpload) -> dict[str, str]:
    headers = {**HEADERS, "upload-expires": email.utils.format_datetime(upload.expires_at, usegmt=True)}
    if upload.file_id is not None and upload.sha256 is not None:
        headers |= {"exai-file": upload.file_id, "exai-sha256": upload.sha256}
    return headers


def _check_version(request: AuthorizedRequest) -> None:
    if _header(request, b"tus-resumable") != VERSION:
        raise VersionRefused(f"Send `Tus-Resumable: {VERSION}`; no other version is spoken here.")


def _has_body(request: AuthorizedRequest) -> bool:
    return bool(request.declared_bytes) or _header(request, b"transfer-encoding") is not None


def _header(request: AuthorizedRequest, name: bytes) -> str | None:
    values = [value.decode("latin-1") for each, value in request.headers if each == name]
    if len(values) > 1:
        raise BadArguments(f"The header `{name.decode()}` is there {len(values)} times; send it once.")
    return values[0] if values else None
