"""GLM's parsers of documents: tasks with results to fetch, the same at once, and recognition of handwriting."""

import io
import zipfile
from dataclasses import dataclass
from typing import Any

from exai_emulator.calls import Refusal
from exai_emulator.documents.extraction import Extract, extract
from exai_emulator.endpoints import EndpointRequest, EndpointRow, Reply
from exai_emulator.forms import Form
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook
from exai_emulator.tasks import Task
from exai_emulator.uploads import Upload

__all__ = ["BEHAVIOURS", "RULES", "GlmParsing"]

_TOOLS = ("lite", "expert", "prime")
_SYNC_TOOL = "prime-sync"
_OCR_TOOL = "hand_write"
_FORMATS = ("text", "download_link")
_MOST_BYTES = 100 * 1024**2
_DOWNLOADS = "/parsed"


@dataclass(frozen=True, slots=True)
class _Parse:
    """What is to be parsed, as the rules see it."""

    form: Form | None

    @property
    def upload(self) -> Upload | None:
        sent = self.form.files.get("file") if self.form is not None else None
        return sent.upload if sent is not None else None

    def field(self, name: str) -> str:
        return self.form.fields.get(name, "") if self.form is not None else ""


def _form(parse: _Parse) -> Refusal | None:
    return None if parse.upload is not None else Refusal("1214", "file不能为空")


def _zero(parse: _Parse) -> Refusal | None:
    empty = parse.upload is not None and not parse.upload.size
    return Refusal("1214", "文件内容不能为空") if empty else None


def _size(parse: _Parse) -> Refusal | None:
    large = parse.upload is not None and parse.upload.size > _MOST_BYTES
    return Refusal("435", "文件大小超过限制，最大100MB") if large else None


def _tool(parse: _Parse) -> Refusal | None:
    return None if parse.field("tool_type") in _TOOLS else Refusal("1214", "tool_type is invalid")


def _sync_tool(parse: _Parse) -> Refusal | None:
    return None if parse.field("tool_type") == _SYNC_TOOL else Refusal("1214", "tool_type is invalid")


def _ocr_tool(parse: _Parse) -> Refusal | None:
    return None if parse.field("tool_type") == _OCR_TOOL else Refusal("1214", "tool_type is invalid")


def _file_type(parse: _Parse) -> Refusal | None:
    return None if parse.field("file_type") else Refusal("1214", "file_type cannot be empty")


def _format(request: EndpointRequest) -> Refusal | None:
    return None if request.named["format"] in _FORMATS else Refusal("1214", "format_type is invalid")


_ANY_RULES = (
    EndpointRule("glm.parser.form", "?", "a document to parse that is no form with a file: 400/1214", _form),
    EndpointRule("glm.parser.zero", "?", "an empty document: 400/1214", _zero),
    EndpointRule("glm.parser.size", "D", "a document above 100 MB: 435", _size),
)
_TOOL_RULE = EndpointRule(
    "glm.parser.tool", "DS", "`tool_type` other than lite, expert, prime: 400/1214", _tool
)
_SYNC_RULE = EndpointRule(
    "glm.parser.sync_tool",
    "DS",
    "parsing at once with another `tool_type` than prime-sync: 400/1214",
    _sync_tool,
)
_OCR_RULE = EndpointRule(
    "glm.ocr.tool", "S", "recognition with another `tool_type` than hand_write: 400/1214", _ocr_tool
)
_TYPE_RULE = EndpointRule(
    "glm.parser.file_type", "DS", "a document to parse without `file_type`: 400/1214", _file_type
)
_RESULT_RULES = (
    EndpointRule("glm.parser.format", "DS", "a result other than text or download_link: 400/1214", _format),
)
RULES = (*_ANY_RULES, _TOOL_RULE, _SYNC_RULE, _OCR_RULE, _TYPE_RULE, *_RESULT_RULES)

BEHAVIOURS = (
    Behaviour(
        "glm.parser.status", "DS", "a parsed document is processing, then succeeded with its text, or failed"
    ),
    Behaviour("glm.parser.unreadable", "?", "a document that cannot be read becomes a task that fails"),
    Behaviour(
        "glm.parser.download",
        "?",
        "a `download_link` is an address without key, with a ZIP that holds the text",
    ),
    Behaviour("glm.parser.sync", "DS", "`POST /files/parser/sync` gives status, text and link at once"),
    Behaviour("glm.ocr", "S", "`POST /files/ocr` recognises one line, which says that it is emulated"),
)


class GlmParsing:
    """The endpoints of the parsers."""

    def __init__(self, rules: RuleBook) -> None:
        self._rules = rules
        self.endpoints: tuple[EndpointRow, ...] = (
            ("POST", "/files/parser/create", self._create),
            ("GET", "/files/parser/result/{id}/{format}", self._result),
            ("POST", "/files/parser/sync", self._sync),
            ("POST", "/files/ocr", self._ocr),
        )
        self.open_endpoints: tuple[EndpointRow, ...] = (("GET", _DOWNLOADS + "/{id}.zip", _download),)

    def _refusal(self, parse: _Parse, *rules: EndpointRule) -> Refusal | None:
        return self._rules.first_of((*_ANY_RULES, *rules), parse)

    async def _create(self, request: EndpointRequest) -> Reply | Refusal:
        parse = _Parse(request.form)
        if (refusal := self._refusal(parse, _TOOL_RULE, _TYPE_RULE)) is not None:
            return refusal
        identifier = request.identity.digest[:32]
        read = await _read(request, parse)
        task = Task.begun(request.account, {"parsed": read.text}, fails=bool(read.trouble))
        return Reply(
            {"success": True, "message": "任务创建成功", "task_id": identifier},
            commit=lambda: request.account.tasks.update({identifier: task}),
            logged=_logged(parse),
        )

    def _result(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_RESULT_RULES, request)) is not None:
            return refusal
        task = request.account.tasks.get(request.named["id"])
        if task is None or "parsed" not in task.result:
            return Refusal("1214", "任务不存在")
        status = {"done": "succeeded", "failed": "failed", "running": "processing"}[
            task.status(request.account)
        ]
        body = {"status": status, "message": status, "task_id": request.named["id"], "content": None}
        if status == "succeeded" and request.named["format"] == "text":
            body["content"] = task.result["parsed"]
        if status == "succeeded" and request.named["format"] == "download_link":
            body["parsing_result_url"] = _link(request, request.named["id"])
        return Reply(body)

    async def _sync(self, request: EndpointRequest) -> Reply | Refusal:
        parse = _Parse(request.form)
        if (refusal := self._refusal(parse, _SYNC_RULE, _TYPE_RULE)) is not None:
            return refusal
        identifier = request.identity.digest[:32]
        read = await _read(request, parse)
        fails = bool(read.trouble) or request.account.state.tasks_fail
        status = "failed" if fails else "succeeded"
        task = Task(
            {"parsed": read.text}, request.account.clock.now() - request.account.state.task_s, fails=fails
        )
        return Reply(
            {
                "task_id": identifier,
                "message": status,
                "status": status,
                "content": None if fails else read.text,
                "parsing_result_url": None if fails else _link(request, identifier),
            },
            commit=lambda: request.account.tasks.update({identifier: task}),
            logged=_logged(parse),
        )

    async def _ocr(self, request: EndpointRequest) -> Reply | Refusal:
        parse = _Parse(request.form)
        if (refusal := self._refusal(parse, _OCR_RULE)) is not None:
            return refusal
        size = parse.upload.size if parse.upload is not None else 0
        row: dict[str, Any] = {
            "location": {"left": 0, "top": 0, "width": 100, "height": 20},
            "words": f"[emulated recognition of {size} bytes]",
        }
        if parse.field("probability") == "true":
            row["probability"] = {"average": 1.0, "variance": 0.0, "min": 1.0}
        return Reply(
            {
                "task_id": request.identity.digest[:32],
                "message": "成功",
                "status": "succeeded",
                "words_result_num": 1,
                "words_result": [row],
            },
            logged=_logged(parse),
        )


async def _read(request: EndpointRequest, parse: _Parse) -> Extract:
    return await extract(parse.upload or request.uploads.filled(b""))


def _logged(parse: _Parse) -> dict[str, Any]:
    upload = parse.upload
    digest = {"bytes": upload.size, "sha256": upload.sha256} if upload is not None else {}
    return {"tool_type": parse.field("tool_type"), **digest}


def _link(request: EndpointRequest, identifier: str) -> str:
    return f"http://{request.headers.get('Host', '')}{_DOWNLOADS}/{identifier}.zip"


def _download(request: EndpointRequest) -> Reply | Refusal:
    task = request.account.tasks.get(request.named["id"])
    if task is None or "parsed" not in task.result or task.status(request.account) != "done":
        return Refusal("route_404")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("result.md"), task.result["parsed"])
    return Reply(packed.getvalue(), content_type="application/zip")
