"""Kimi's files: upload, list, look at, read, delete."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from exai_emulator.accounts import Account
from exai_emulator.calls import Refusal
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.files import StoredFile
from exai_emulator.forms import Form, read_form
from exai_emulator.pictures import picture_type
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook

__all__ = ["BEHAVIOURS", "RULES", "TOO_LARGE", "KimiFiles"]

_PURPOSES = ("file-extract", "image", "video", "batch")
_GIGABYTE = 1024**3
_EXTRACTED = (b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""First bytes of PDF and of both generations of office files; anything else must be text."""

TOO_LARGE = Refusal(
    "invalid_request", "File size is too large, max file size is 100MB, please confirm and re-upload the file"
)


@dataclass(frozen=True, slots=True)
class _Upload:
    """An upload as the rules see it."""

    account: Account
    form: Form | None
    purpose: str
    content: bytes | None


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _form(upload: _Upload) -> Refusal | None:
    if upload.form is None or upload.content is None:
        return _bad("Invalid request: a form with a file is needed")
    return None


def _purpose(upload: _Upload) -> Refusal | None:
    if upload.purpose in _PURPOSES:
        return None
    return _bad(f"Invalid purpose: only {', '.join(map(repr, _PURPOSES))} accepted")


def _zero(upload: _Upload) -> Refusal | None:
    return _bad("File size is zero, please confirm and re-upload the file") if upload.content == b"" else None


def _size(upload: _Upload) -> Refusal | None:
    most = upload.account.state.files.max_file_bytes
    return TOO_LARGE if upload.content is not None and len(upload.content) > most else None


def _count(upload: _Upload) -> Refusal | None:
    most = upload.account.state.files.max_files
    if len(upload.account.files) < most:
        return None
    return _bad(f"The number of files you have uploaded has reached the limit of {most}, please delete some")


def _storage(upload: _Upload) -> Refusal | None:
    full = upload.account.files.bytes + len(upload.content or b"") > 10 * _GIGABYTE
    return _bad("The size of your files has reached the limit of 10 GB, please delete some") if full else None


def _picture(upload: _Upload) -> Refusal | None:
    if upload.purpose == "image" and picture_type(upload.content or b"") is None:
        return _bad("Invalid request: unsupported image format")
    return None


def _batch_lines(upload: _Upload) -> Refusal | None:
    if upload.purpose != "batch":
        return None
    try:
        lines = [msgspec.json.decode(line) for line in (upload.content or b"").splitlines() if line.strip()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        lines = [None]
    fits = all(isinstance(line, dict) and isinstance(line.get("custom_id"), str) for line in lines)
    return None if fits else _bad("Invalid request: a batch file is JSON lines with a custom_id each")


def _page_size(request: EndpointRequest) -> Refusal | None:
    size = request.query.get("page_size", "1")
    if size.isascii() and size.isdigit() and 1 <= int(size[:9]) <= 1_000:
        return None
    return _bad("Invalid request: page_size is between 1 and 1000")


def _content_media(file: StoredFile) -> Refusal | None:
    media = file.purpose in ("image", "video") or picture_type(file.content) is not None
    return _bad("Invalid request: the content of image and video files is not available") if media else None


def _content_failed(file: StoredFile) -> Refusal | None:
    if file.status != "error":
        return None
    return _bad(f"Invalid request: the file could not be parsed: {file.details}")


_UPLOAD_RULES = (
    EndpointRule("kimi.files.form", "?", "an upload that is no well-formed form with a file: 400", _form),
    EndpointRule("kimi.files.purpose", "D", "another purpose: 400", _purpose),
    EndpointRule("kimi.files.zero", "D", "an empty file: 400", _zero),
    EndpointRule("kimi.files.size", "D", "a file above 100 MB: 400", _size),
    EndpointRule("kimi.files.count", "D", "a file above the 1,000 of an account: 400", _count),
    EndpointRule("kimi.files.storage", "D", "a file above the 10 GB of an account: 400", _storage),
    EndpointRule("kimi.files.picture", "?", "purpose `image` for what is no picture: 400", _picture),
    EndpointRule("kimi.files.batch", "D", "purpose `batch` for other than JSON lines: 400", _batch_lines),
)
_LIST_RULES = (EndpointRule("kimi.files.page_size", "D", "`page_size` outside 1 to 1000: 400", _page_size),)
_CONTENT_RULES = (
    EndpointRule("kimi.files.content.media", "D", "the content of a picture or video: 400", _content_media),
    EndpointRule(
        "kimi.files.content.failed", "?", "the content of a file that was not parsed: 400", _content_failed
    ),
)
RULES = (*_UPLOAD_RULES, *_LIST_RULES, *_CONTENT_RULES)

BEHAVIOURS = (
    Behaviour("kimi.files.list", "D", "`GET /files` lists newest first, by `page_size` and `page_token`"),
    Behaviour("kimi.files.unknown", "D", "an unknown file id: 404 `resource_not_found_error`"),
    Behaviour("kimi.files.default_purpose", "D", "an upload without purpose is `file-extract`"),
    Behaviour(
        "kimi.files.content",
        "D",
        "a document's content is a JSON object, or text by option `kimi_file_content`",
    ),
    Behaviour("kimi.files.parsing", "D", "a document that cannot be parsed is listed with status `error`"),
    Behaviour("kimi.files.id", "D", "ids are `file_` and 20 characters; equal uploads get different ones"),
)


class KimiFiles:
    """The endpoints below `/files`."""

    def __init__(self, rules: RuleBook, content_form: Literal["json", "text"]) -> None:
        self._rules = rules
        self._content_form = content_form
        self.endpoints: tuple[tuple[str, str, Endpoint], ...] = (
            ("POST", "/files", self._upload),
            ("GET", "/files", self._list),
            ("GET", "/files/{id}", self._of_file(lambda _, file: Reply(_listed(file)))),
            ("GET", "/files/{id}/content", self._of_file(self._content)),
            ("DELETE", "/files/{id}", self._of_file(_delete)),
        )

    def _upload(self, request: EndpointRequest) -> Reply | Refusal:
        form = read_form(request.headers.get("Content-Type", ""), request.content)
        sent = form.files.get("file") if form is not None else None
        purpose = form.fields.get("purpose", "file-extract") if form is not None else ""
        content = sent.content if sent is not None else None
        upload = _Upload(request.account, form, purpose, content)
        if (refusal := self._rules.first_of(_UPLOAD_RULES, upload)) is not None:
            return refusal
        details = _unparsable(upload)
        identity = request.identity
        file = StoredFile(
            id=f"file_{identity.digest[:20]}",
            filename=sent.filename if sent is not None else "",
            purpose=purpose,
            content=content or b"",
            created=identity.created,
            stored_at=request.account.clock.now(),
            status="error" if details else "ready",
            details=details,
        )
        return Reply(
            _listed(file),
            commit=lambda: request.account.files.add(file),
            logged={
                "purpose": purpose,
                "filename": file.filename,
                "bytes": len(file.content),
                "sha256": file.sha256,
            },
        )

    def _list(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_LIST_RULES, request)) is not None:
            return refusal
        files = list(request.account.files)[::-1]
        token, size = request.query.get("page_token"), request.query.get("page_size", "")
        if token is not None:
            places = [place for place, file in enumerate(files) if file.id == token]
            files = files[places[0] + 1 :] if places else []
        page = files[: int(size[:9])] if size.isascii() and size.isdigit() else files
        body: dict[str, Any] = {"object": "list", "data": [_listed(file) for file in page]}
        if len(page) < len(files) and page:
            body["next_page_token"] = page[-1].id
        return Reply(body)

    def _of_file(self, answer: Callable[[EndpointRequest, StoredFile], Reply | Refusal]) -> Endpoint:
        """An endpoint of one file, which must exist."""

        def endpoint(request: EndpointRequest) -> Reply | Refusal:
            file = request.account.files.get(request.named["id"])
            return _unknown(request.named["id"]) if file is None else answer(request, file)

        return endpoint

    def _content(self, request: EndpointRequest, file: StoredFile) -> Reply | Refusal:
        if request.account.clock.now() - file.stored_at < request.account.state.files.content_delay_s:
            return _unknown(file.id)
        if (refusal := self._rules.first_of(_CONTENT_RULES, file)) is not None:
            return refusal
        text = _text_of(file)
        if file.purpose == "batch" or self._content_form == "text":
            return Reply(text.encode(), content_type="text/plain; charset=utf-8")
        kind = file.filename.rpartition(".")[2] or "txt"
        return Reply(
            {
                "content": text,
                "file_type": "text/plain" if not _is_document(file.content) else f"application/{kind}",
                "filename": file.filename,
                "title": f"[emulated] {file.filename}",
                "type": "file",
            }
        )


def _delete(request: EndpointRequest, file: StoredFile) -> Reply:
    return Reply(
        {"id": file.id, "object": "file", "deleted": True},
        commit=lambda: request.account.files.remove(file.id),
    )


def _unknown(file_id: str) -> Refusal:
    return Refusal("not_found", f"Not found the file {file_id[:80]} or Permission denied")


def _listed(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": file.created,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.status,
        "status_details": file.details,
    }


def _unparsable(upload: _Upload) -> str:
    """Why an upload cannot be used; empty when it can."""
    if upload.account.state.files.fails:
        return "the file could not be processed"
    content = upload.content or b""
    if upload.purpose != "file-extract" or _is_document(content) or picture_type(content) is not None:
        return ""
    try:
        return "" if b"\0" not in content and content.decode() else "text extraction failed"
    except UnicodeDecodeError:
        return "text extraction failed"


def _is_document(content: bytes) -> bool:
    return content.startswith(_EXTRACTED)


def _text_of(file: StoredFile) -> str:
    """What extraction gives: text as it is, and of a document that it was one."""
    if _is_document(file.content):
        return f"[emulated extraction of {file.filename}, {len(file.content)} bytes]"
    return file.content.decode("utf-8", "replace")
