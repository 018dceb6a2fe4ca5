"""GLM's files: upload, list, read, delete."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from exai_emulator.accounts import Account
from exai_emulator.calls import Refusal
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.files import StoredFile
from exai_emulator.forms import Form, read_form
from exai_emulator.pictures import picture_type
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook

__all__ = ["BATCH_OUTPUT", "BEHAVIOURS", "RULES", "GlmFiles"]

BATCH_OUTPUT = "batch_output"
"""The purpose of what a finished batch leaves; nobody uploads it."""

_MEGABYTE = 1024**2
_KEPT_S = 30 * 86_400
"""How long a `user_data` file is kept."""


@dataclass(frozen=True, slots=True)
class _Purpose:
    """What may be uploaded for one purpose."""

    suffixes: frozenset[str] = frozenset()
    """File name endings; empty takes any."""
    max_bytes: int = 100 * _MEGABYTE
    max_picture_bytes: int = 100 * _MEGABYTE
    max_files: int = 1_000


_DOCUMENTS = frozenset({"pptx", "ppt", "docx", "doc", "xlsx", "xls", "pdf"})
_PURPOSES = {
    "batch": _Purpose(frozenset({"jsonl"})),
    "code-interpreter": _Purpose(max_bytes=20 * _MEGABYTE, max_picture_bytes=5 * _MEGABYTE, max_files=100),
    "agent": _Purpose(max_bytes=20 * _MEGABYTE),
    "voice-clone-input": _Purpose(frozenset({"mp3", "wav"}), max_bytes=10 * _MEGABYTE),
    "user_data": _Purpose(_DOCUMENTS, max_bytes=50 * _MEGABYTE),
    "file-extract": _Purpose(max_bytes=50 * _MEGABYTE),
    "fine-tune": _Purpose(frozenset({"jsonl"})),
    "retrieval": _Purpose(max_bytes=50 * _MEGABYTE),
}


@dataclass(frozen=True, slots=True)
class _Upload:
    """An upload as the rules see it."""

    account: Account
    form: Form | None
    purpose: str
    filename: str
    content: bytes | None

    @property
    def limits(self) -> _Purpose:
        return _PURPOSES.get(self.purpose, _Purpose())


def _form(upload: _Upload) -> Refusal | None:
    if upload.form is None or upload.content is None:
        return Refusal("1214", "file不能为空")
    return None


def _purpose(upload: _Upload) -> Refusal | None:
    return None if upload.purpose in _PURPOSES else Refusal("1210", "purpose参数错误，请检查文档")


def _type(upload: _Upload) -> Refusal | None:
    suffixes = upload.limits.suffixes
    if not suffixes or upload.filename.rpartition(".")[2].lower() in suffixes:
        return None
    return Refusal("1210", f"文件类型不支持，当前仅支持：{'、'.join(sorted(suffixes))}")


def _zero(upload: _Upload) -> Refusal | None:
    return Refusal("1214", "文件内容不能为空") if upload.content == b"" else None


def _size(upload: _Upload) -> Refusal | None:
    content = upload.content or b""
    limits, own = upload.limits, upload.account.state.files.max_file_bytes
    most = limits.max_bytes if picture_type(content) is None else limits.max_picture_bytes
    most = min(most, limits.max_bytes, own)
    return Refusal("1210", f"文件大小超过限制，最大{most // _MEGABYTE}MB") if len(content) > most else None


def _count(upload: _Upload) -> Refusal | None:
    most = min(upload.limits.max_files, upload.account.state.files.max_files)
    if len(upload.account.files.of(upload.purpose)) < most:
        return None
    return Refusal("1210", f"文件数量超过限制，最多{most}个")


def _list_purpose(request: EndpointRequest) -> Refusal | None:
    return None if request.query.get("purpose") else Refusal("1214", "purpose cannot be empty")


def _list_limit(request: EndpointRequest) -> Refusal | None:
    limit = request.query.get("limit", "1")
    if limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 100:
        return None
    return Refusal("1214", "limit is between 1 and 100")


def _list_order(request: EndpointRequest) -> Refusal | None:
    fits = request.query.get("order", "created_at") in ("created_at", "asc", "desc")
    return None if fits else Refusal("1214", "order is invalid")


def _content_kind(file: StoredFile) -> Refusal | None:
    if file.purpose == BATCH_OUTPUT:
        return None
    return Refusal("1210", "仅支持下载batch任务的结果文件")


_UPLOAD_RULES = (
    EndpointRule("glm.files.form", "?", "an upload that is no well-formed form with a file: 400/1214", _form),
    EndpointRule("glm.files.purpose", "DLS", "another purpose than one of any source: 400/1210", _purpose),
    EndpointRule("glm.files.type", "L", "a type that the purpose does not take: 400/1210, in Chinese", _type),
    EndpointRule("glm.files.zero", "?", "an empty file: 400/1214", _zero),
    EndpointRule("glm.files.size", "D", "a file above the size of its purpose: 400/1210", _size),
    EndpointRule("glm.files.count", "D", "a file above the number of its purpose: 400/1210", _count),
)
_LIST_RULES = (
    EndpointRule("glm.files.list.purpose", "D", "a list without `purpose`: 400/1214", _list_purpose),
    EndpointRule("glm.files.list.limit", "D", "`limit` outside 1 to 100: 400/1214", _list_limit),
    EndpointRule("glm.files.list.order", "?", "an unknown `order`: 400/1214", _list_order),
)
_CONTENT_RULES = (
    EndpointRule(
        "glm.files.content.batch", "D", "the content of other than a batch's output: 400/1210", _content_kind
    ),
)
RULES = (*_UPLOAD_RULES, *_LIST_RULES, *_CONTENT_RULES)

BEHAVIOURS = (
    Behaviour("glm.files.list", "D", "`GET /files` lists one purpose by `after`, `order` and `limit`"),
    Behaviour("glm.files.unknown", "?", "an unknown file id: 400/1214"),
    Behaviour("glm.files.expiry", "L", "a `user_data` file carries `expires_at`, 30 days ahead"),
)


class GlmFiles:
    """The endpoints below `/files`."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules
        self.endpoints: tuple[tuple[str, str, Endpoint], ...] = (
            ("POST", "/files", self._upload),
            ("GET", "/files", self._list),
            ("GET", "/files/{id}/content", self._of_file(self._content)),
            ("DELETE", "/files/{id}", self._of_file(_delete)),
        )

    def _upload(self, request: EndpointRequest) -> Reply | Refusal:
        form = read_form(request.headers.get("Content-Type", ""), request.content)
        sent = form.files.get("file") if form is not None else None
        upload = _Upload(
            request.account,
            form,
            form.fields.get("purpose", "") if form is not None else "",
            sent.filename if sent is not None else "",
            sent.content if sent is not None else None,
        )
        if (refusal := self._rules.first_of(_UPLOAD_RULES, upload)) is not None:
            return refusal
        identity = request.identity
        file = StoredFile(
            id=f"{identity.created}_{identity.digest[:32]}",
            filename=upload.filename,
            purpose=upload.purpose,
            content=upload.content or b"",
            created=identity.created,
            stored_at=request.account.clock.now(),
        )
        return Reply(
            _listed(file),
            commit=lambda: request.account.files.add(file),
            logged={
                "purpose": file.purpose,
                "filename": file.filename,
                "bytes": len(file.content),
                "sha256": file.sha256,
            },
        )

    def _list(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_LIST_RULES, request)) is not None:
            return refusal
        query = request.query
        files = request.account.files.of(query.get("purpose", ""))
        if query.get("order") == "desc":
            files.reverse()
        after, limit = query.get("after"), query.get("limit", "20")
        if after is not None:
            places = [place for place, file in enumerate(files) if file.id == after]
            files = files[places[0] + 1 :] if places else []
        page = files[: int(limit[:9])] if limit.isascii() and limit.isdigit() else files
        return Reply(
            {"object": "list", "data": [_listed(file) for file in page], "has_more": len(page) < len(files)}
        )

    def _of_file(self, answer: Callable[[EndpointRequest, StoredFile], Reply | Refusal]) -> Endpoint:
        """An endpoint of one file, which must exist."""

        def endpoint(request: EndpointRequest) -> Reply | Refusal:
            file = request.account.files.get(request.named["id"])
            return _unknown() if file is None else answer(request, file)

        return endpoint

    def _content(self, request: EndpointRequest, file: StoredFile) -> Reply | Refusal:
        if request.account.clock.now() - file.stored_at < request.account.state.files.content_delay_s:
            return _unknown()
        if (refusal := self._rules.first_of(_CONTENT_RULES, file)) is not None:
            return refusal
        return Reply(file.content, content_type="application/octet-stream")


def _delete(request: EndpointRequest, file: StoredFile) -> Reply:
    return Reply(
        {"id": file.id, "object": "file", "deleted": True},
        commit=lambda: request.account.files.remove(file.id),
    )


def _unknown() -> Refusal:
    return Refusal("1214", "文件不存在")


def _listed(file: StoredFile) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": file.created,
        "filename": file.filename,
        "purpose": file.purpose,
    }
    if file.purpose == "user_data":
        listed["expires_at"] = file.created + _KEPT_S
    return listed
