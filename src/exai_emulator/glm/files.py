"""GLM's files: upload, list, read, delete."""

from collections.abc import Callable
from typing import Any

from exai_emulator.calls import Refusal
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.files import StoredFile
from exai_emulator.glm.uploads import UPLOAD_RULES, USER_DATA, GlmUpload
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook

__all__ = ["BATCH_OUTPUT", "BEHAVIOURS", "RULES", "GlmFiles"]

BATCH_OUTPUT = "batch_output"
"""The purpose of what a finished batch leaves; nobody uploads it."""

_KEPT_S = 30 * 86_400
"""How long a `user_data` file is kept."""


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
RULES = (*UPLOAD_RULES, *_LIST_RULES, *_CONTENT_RULES)

BEHAVIOURS = (
    Behaviour("glm.files.list", "D", "`GET /files` lists one purpose by `after`, `order` and `limit`"),
    Behaviour("glm.files.unknown", "?", "an unknown file id: 400/1214"),
    Behaviour(
        "glm.files.expiry", "L", "a `user_data` file carries `expires_at`, 30 days ahead, and is gone then"
    ),
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
        sent = GlmUpload(request.account, request.form)
        if (refusal := self._rules.first_of(UPLOAD_RULES, sent)) is not None:
            return refusal
        file = _stored(request, sent)
        return Reply(
            _listed(file),
            commit=lambda: request.account.files.add(file),
            logged={
                "purpose": file.purpose,
                "filename": file.filename,
                "bytes": file.size,
                "sha256": file.sha256,
            },
        )

    def _list(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_LIST_RULES, request)) is not None:
            return refusal
        query = request.query
        purpose = query.get("purpose", "")
        files = [file for file in request.account.listed_files() if file.purpose == purpose]
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
            file = request.account.find_file(request.named["id"])
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


def _stored(request: EndpointRequest, sent: GlmUpload) -> StoredFile:
    """The file that an upload becomes."""
    account, identity = request.account, request.identity
    now = account.clock.now()
    kept_s = account.state.files.kept_s
    return StoredFile(
        id=f"{identity.created}_{identity.digest[:32]}",
        filename=sent.filename,
        purpose=sent.purpose,
        upload=sent.upload or request.uploads.filled(b""),
        stored_at=now,
        expires_at=now + (_KEPT_S if kept_s is None else kept_s) if sent.purpose == USER_DATA else None,
    )


def _listed(file: StoredFile) -> dict[str, Any]:
    listed: dict[str, Any] = {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created,
        "filename": file.filename,
        "purpose": file.purpose,
    }
    if file.expires_at is not None:
        listed["expires_at"] = int(file.expires_at)
    return listed
