"""Kimi's files: upload, list, look at, read, delete."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from exai_emulator.accounts import Account
from exai_emulator.calls import Refusal
from exai_emulator.documents.extraction import Extract, extract
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.files import StoredFile
from exai_emulator.identities import Identity
from exai_emulator.kimi.dated import HEADER, VERSION, dated_entry, dated_page, is_dated, media_type
from exai_emulator.kimi.uploads import UPLOAD_RULES, KimiUpload
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook

__all__ = ["BEHAVIOURS", "RULES", "KimiFiles"]


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _version(request: EndpointRequest) -> Refusal | None:
    version = request.headers.get(HEADER, VERSION)
    return None if version == VERSION else _bad(f"Invalid request: unknown {HEADER} {version[:40]}")


def _page_size(request: EndpointRequest) -> Refusal | None:
    size = request.query.get("page_size", "1")
    if size.isascii() and size.isdigit() and 1 <= int(size[:9]) <= 1_000:
        return None
    return _bad("Invalid request: page_size is between 1 and 1000")


def _page_token(request: EndpointRequest) -> Refusal | None:
    token = request.query.get("page_token")
    if token is None or any(file.id == token for file in request.account.files):
        return None
    return _bad("Invalid request: page_token is unknown")


def _content_media(file: StoredFile) -> Refusal | None:
    seen = file.extract is not None and file.extract.kind in ("picture", "video")
    if file.purpose not in ("image", "video") and not seen:
        return None
    return _bad("Invalid request: the content of image and video files is not available")


def _content_failed(file: StoredFile) -> Refusal | None:
    if file.status != "error":
        return None
    return _bad(f"Invalid request: the file could not be parsed: {file.details}")


_VERSION_RULES = (
    EndpointRule(
        "kimi.files.version", "?", "another date than 2026-09-01-beta in `kimi-api-version`: 400", _version
    ),
)
_LIST_RULES = (
    EndpointRule("kimi.files.page_size", "D", "`page_size` outside 1 to 1000: 400", _page_size),
    EndpointRule("kimi.files.page_token", "?", "a `page_token` of no file: 400", _page_token),
)
_CONTENT_RULES = (
    EndpointRule("kimi.files.content.media", "D", "the content of a picture or video: 400", _content_media),
    EndpointRule(
        "kimi.files.content.failed", "?", "the content of a file that was not parsed: 400", _content_failed
    ),
)
RULES = (*_VERSION_RULES, *UPLOAD_RULES, *_LIST_RULES, *_CONTENT_RULES)

BEHAVIOURS = (
    Behaviour("kimi.files.list", "D", "`GET /files` lists newest first, by `page_size` and `page_token`"),
    Behaviour("kimi.files.unknown", "D", "an unknown file id: 404 `resource_not_found_error`"),
    Behaviour("kimi.files.default_purpose", "D", "an upload without purpose is `file-extract`"),
    Behaviour(
        "kimi.files.content",
        "DS",
        "a document's content is a JSON object, or text by option `kimi_file_content`",
    ),
    Behaviour(
        "kimi.files.text",
        "D",
        "the content of PDF, DOCX, XLSX and PPTX is their text; of their pictures nothing is recognised",
    ),
    Behaviour("kimi.files.parsing", "D", "a document that cannot be parsed is listed with status `error`"),
    Behaviour(
        "kimi.files.processing",
        "?",
        "while a document is parsed, its status is `processing` and its content 404",
    ),
    Behaviour(
        "kimi.files.status", "D", "the status is `ready`, or the older `ok` by option `kimi_ready_status`"
    ),
    Behaviour("kimi.files.name", "?", "of a name that is a path, only the last part is kept"),
    Behaviour(
        "kimi.files.suffix", "D?", "a name that the account has already gets a suffix before its ending"
    ),
    Behaviour(
        "kimi.files.dated",
        "D",
        "`kimi-api-version: 2026-09-01-beta` gives 201 and 204, ISO dates, `size_bytes`, `extract_status`, `items`",
    ),
    Behaviour("kimi.files.dated.errors", "?", "errors of the dated interface have the ordinary envelope"),
    Behaviour("kimi.files.id", "D", "ids are `file_` and 20 characters; equal uploads get different ones"),
)

Answer = Callable[[EndpointRequest, StoredFile], Reply | Refusal]


class KimiFiles:
    """The endpoints below `/files`."""

    def __init__(
        self,
        rules: RuleBook,
        content_form: Literal["json", "text"],
        ready_status: Literal["ready", "ok"],
    ) -> None:
        self._rules = rules
        self._content_form = content_form
        self._ready = ready_status
        self.endpoints: tuple[tuple[str, str, Endpoint], ...] = (
            ("POST", "/files", self._versioned(self._upload)),
            ("GET", "/files", self._versioned(self._list)),
            ("GET", "/files/{id}", self._of_file(lambda request, file: Reply(self._entry(request, file)))),
            ("GET", "/files/{id}/content", self._of_file(self._content)),
            ("DELETE", "/files/{id}", self._of_file(_delete)),
        )

    def _versioned(self, answer: Endpoint) -> Endpoint:
        """An endpoint of either interface."""

        def endpoint(request: EndpointRequest) -> Reply | Refusal | Awaitable[Reply | Refusal]:
            return self._rules.first_of(_VERSION_RULES, request) or answer(request)

        return endpoint

    def _of_file(self, answer: Answer) -> Endpoint:
        """An endpoint of one file, which must exist."""

        def endpoint(request: EndpointRequest) -> Reply | Refusal:
            file = request.account.find_file(request.named["id"])
            return _unknown(request.named["id"]) if file is None else answer(request, file)

        return self._versioned(endpoint)

    async def _upload(self, request: EndpointRequest) -> Reply | Refusal:
        sent = KimiUpload(request.account, request.form)
        if (refusal := self._rules.first_of(UPLOAD_RULES, sent)) is not None:
            return refusal
        read = Extract("unknown")
        if sent.purpose == "file-extract" and sent.upload is not None:
            read = await extract(sent.upload)
            # Others may have filled the account meanwhile.
            if (refusal := self._rules.first_of(UPLOAD_RULES, sent)) is not None:
                return refusal
        file = _stored(request, sent, read)
        return Reply(
            self._entry(request, file),
            status=201 if is_dated(request.headers) else 200,
            commit=lambda: _keep(request.account, file),
            logged={
                "purpose": file.purpose,
                "filename": sent.file.filename if sent.file is not None else "",
                "bytes": file.size,
                "sha256": file.sha256,
            },
        )

    def _list(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_LIST_RULES, request)) is not None:
            return refusal
        files = request.account.listed_files()[::-1]
        token, size = request.query.get("page_token"), request.query.get("page_size", "")
        if token is not None:
            places = [place for place, file in enumerate(files) if file.id == token]
            files = files[places[0] + 1 :] if places else []
        page = files[: int(size[:9])] if size.isascii() and size.isdigit() else files
        entries = [self._entry(request, file) for file in page]
        next_token = page[-1].id if page and len(page) < len(files) else None
        if is_dated(request.headers):
            return Reply(dated_page(entries, next_token))
        body: dict[str, Any] = {"object": "list", "data": entries}
        return Reply(body if next_token is None else {**body, "next_page_token": next_token})

    def _entry(self, request: EndpointRequest, file: StoredFile) -> dict[str, Any]:
        status = self._ready if file.status == "ready" else file.status
        if _is_being_parsed(request.account, file):
            status = "processing"
        if is_dated(request.headers):
            return dated_entry(file, status)
        return {
            "id": file.id,
            "object": "file",
            "bytes": file.size,
            "created_at": file.created,
            "filename": file.filename,
            "purpose": file.purpose,
            "status": status,
            "status_details": "" if status == "processing" else file.details,
        }

    def _content(self, request: EndpointRequest, file: StoredFile) -> Reply | Refusal:
        age = request.account.clock.now() - file.stored_at
        if age < request.account.state.files.content_delay_s or _is_being_parsed(request.account, file):
            return _unknown(file.id)
        if (refusal := self._rules.first_of(_CONTENT_RULES, file)) is not None:
            return refusal
        if file.purpose == "batch":
            return Reply(file.content, content_type="text/plain; charset=utf-8")
        text = _text_of(file)
        if self._content_form == "text":
            return Reply(text.encode(), content_type="text/plain; charset=utf-8")
        is_text = file.extract is not None and file.extract.kind == "text"
        return Reply(
            {
                "content": text,
                "file_type": "text/plain" if is_text else media_type(file.filename),
                "filename": file.filename,
                "title": f"[emulated] {file.filename}",
                "type": "file",
            }
        )


def _stored(request: EndpointRequest, sent: KimiUpload, read: Extract) -> StoredFile:
    """The file that an upload becomes."""
    account = request.account
    details = "the file could not be processed" if account.state.files.fails else read.trouble
    return StoredFile(
        id=f"file_{request.identity.digest[:20]}",
        filename=_suffixed(account, sent.file.filename if sent.file is not None else "", request.identity),
        purpose=sent.purpose,
        upload=sent.upload or request.uploads.filled(b""),
        stored_at=account.clock.now(),
        extract=read if sent.purpose == "file-extract" else None,
        status="error"
        if details and (sent.purpose == "file-extract" or account.state.files.fails)
        else "ready",
        details=details,
    )


def _suffixed(account: Account, filename: str, identity: Identity) -> str:
    """The name under which the account lists a new file; of a path, the last part."""
    filename = filename.replace("\\", "/").rpartition("/")[2]
    when = account.state.files.name_suffix
    taken = any(file.filename == filename for file in account.files)
    if when == "never" or (when == "repeated" and not taken):
        return filename
    stem, dot, ending = filename.rpartition(".")
    return f"{stem}-{identity.digest[:8]}{dot}{ending}" if dot else f"{filename}-{identity.digest[:8]}"


def _keep(account: Account, file: StoredFile) -> None:
    account.files.add(file)
    if file.purpose == "file-extract":
        account.usage.minute_parses.add(account.clock.now(), 1)


def _is_being_parsed(account: Account, file: StoredFile) -> bool:
    return file.extract is not None and account.clock.now() - file.stored_at < account.state.files.parse_s


def _delete(request: EndpointRequest, file: StoredFile) -> Reply:
    def remove() -> None:
        request.account.files.remove(file.id)

    if is_dated(request.headers):
        return Reply(b"", status=204, content_type="", commit=remove)
    return Reply({"id": file.id, "object": "file", "deleted": True}, commit=remove)


def _unknown(file_id: str) -> Refusal:
    return Refusal("not_found", f"Not found the file {file_id[:80]} or Permission denied")


def _text_of(file: StoredFile) -> str:
    """What extraction gives; of an old office file, only that it was one."""
    if file.extract is None or file.extract.text_path is None:
        return f"[emulated extraction of {file.filename}, {file.size} bytes]"
    return file.extract.text
