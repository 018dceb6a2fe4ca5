"""What GLM does later, or beside its chat: answers fetched when they are ready, token counts, parsed documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.documents.extraction import extract
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.forms import Form
from exai_emulator.provider import ProviderApi
from exai_emulator.rules import Behaviour, EndpointRule, RuleBook
from exai_emulator.tasks import Task
from exai_emulator.uploads import Upload

__all__ = ["BEHAVIOURS", "RULES", "GlmTasks"]

ASYNC_SWAP = "glm.async.swap"
_SWAPPED = {"glm-4.6": "glm-4.7", "glm-4.7": "glm-4.7-ali"}
_TOOLS = ("lite", "expert", "prime")
_FORMATS = ("text", "download_link")


@dataclass(frozen=True, slots=True)
class _Parse:
    """A document to parse, as the rules see it."""

    form: Form | None

    @property
    def upload(self) -> Upload | None:
        sent = self.form.files.get("file") if self.form is not None else None
        return sent.upload if sent is not None else None

    def field(self, name: str) -> str:
        return self.form.fields.get(name, "") if self.form is not None else ""


def _form(parse: _Parse) -> Refusal | None:
    return None if parse.upload is not None else Refusal("1214", "file不能为空")


def _tool(parse: _Parse) -> Refusal | None:
    return None if parse.field("tool_type") in _TOOLS else Refusal("1214", "tool_type is invalid")


def _file_type(parse: _Parse) -> Refusal | None:
    return None if parse.field("file_type") else Refusal("1214", "file_type cannot be empty")


def _format(request: EndpointRequest) -> Refusal | None:
    return None if request.named["format"] in _FORMATS else Refusal("1214", "format_type is invalid")


_PARSE_RULES = (
    EndpointRule("glm.parser.form", "?", "a document to parse that is no form with a file: 400/1214", _form),
    EndpointRule("glm.parser.tool", "DS", "`tool_type` other than lite, expert, prime: 400/1214", _tool),
    EndpointRule(
        "glm.parser.file_type", "DS", "a document to parse without `file_type`: 400/1214", _file_type
    ),
)
_RESULT_RULES = (
    EndpointRule("glm.parser.format", "DS", "a result other than text or download_link: 400/1214", _format),
)
RULES = (*_PARSE_RULES, *_RESULT_RULES)

BEHAVIOURS = (
    Behaviour(
        "glm.async.status", "D", "an asynchronous chat is PROCESSING, then SUCCESS with the answer, or FAIL"
    ),
    Behaviour(
        ASYNC_SWAP, "L", "an asynchronous chat of glm-4.6 or glm-4.7 names another model", switchable=True
    ),
    Behaviour("glm.async.unknown", "?", "an unknown task: 400/1214"),
    Behaviour("glm.tokenizer", "D", "`POST /tokenizer` agrees with a chat's prompt tokens"),
    Behaviour(
        "glm.parser.status", "DS", "a parsed document is processing, then succeeded with its text, or failed"
    ),
)


class GlmTasks:
    """The endpoints of tasks, and the tokenizer."""

    def __init__(self, api: ProviderApi, rules: RuleBook, root: str) -> None:
        """Chats are read as those of `root`."""
        self._api = api
        self._rules = rules
        self._root = root
        self.endpoints: tuple[tuple[str, str, Endpoint], ...] = (
            ("POST", "/async/chat/completions", self._chat),
            ("GET", "/async-result/{id}", self._chat_result),
            ("POST", "/tokenizer", self._tokenizer),
            ("POST", "/files/parser/create", self._parse),
            ("GET", "/files/parser/result/{id}/{format}", self._parse_result),
        )

    def _call(self, request: EndpointRequest) -> ChatCall | Refusal:
        call = self._api.read_call(request.json, self._root, request.account)
        return self._rules.first_refusal(self._api.name, call) or call

    def _chat(self, request: EndpointRequest) -> Reply | Refusal:
        call = self._call(request)
        if isinstance(call, Refusal):
            return call
        answer = request.answer_to(call)
        self._api.shape(call, answer)
        body = self._api.completion(call, answer, request.identity, None)
        if self._rules.is_on(ASYNC_SWAP):
            body["model"] = _SWAPPED.get(body["model"], body["model"])
        del body["object"]
        task = Task.begun(request.account, body)
        told = {name: body[name] for name in ("id", "model", "request_id")}
        return Reply(
            {**told, "task_status": "PROCESSING"},
            commit=lambda: request.account.tasks.update({body["id"]: task}),
        )

    def _chat_result(self, request: EndpointRequest) -> Reply | Refusal:
        task = request.account.tasks.get(request.named["id"])
        if task is None or "choices" not in task.result:
            return _unknown()
        told: Mapping[str, Any] = {name: task.result[name] for name in ("id", "model", "request_id")}
        status = task.status(request.account)
        if status == "done":
            return Reply({**task.result, "task_status": "SUCCESS"})
        return Reply({**told, "task_status": "FAIL" if status == "failed" else "PROCESSING"})

    def _tokenizer(self, request: EndpointRequest) -> Reply | Refusal:
        call = self._call(request)
        if isinstance(call, Refusal):
            return call
        identity = request.identity
        return Reply(
            {
                "created": identity.created,
                "id": identity.glm_id,
                "request_id": identity.glm_id,
                "usage": {"prompt_tokens": call.prompt_tokens, "total_tokens": call.prompt_tokens},
            }
        )

    async def _parse(self, request: EndpointRequest) -> Reply | Refusal:
        parse = _Parse(request.form)
        if (refusal := self._rules.first_of(_PARSE_RULES, parse)) is not None:
            return refusal
        upload = parse.upload or request.uploads.filled(b"")
        identifier = request.identity.digest[:32]
        read = await extract(upload)
        task = Task.begun(request.account, {"content": read.text}, fails=bool(read.trouble))
        return Reply(
            {"success": True, "message": "任务创建成功", "task_id": identifier},
            commit=lambda: request.account.tasks.update({identifier: task}),
            logged={"tool_type": parse.field("tool_type"), "bytes": upload.size, "sha256": upload.sha256},
        )

    def _parse_result(self, request: EndpointRequest) -> Reply | Refusal:
        if (refusal := self._rules.first_of(_RESULT_RULES, request)) is not None:
            return refusal
        task = request.account.tasks.get(request.named["id"])
        if task is None or "content" not in task.result:
            return _unknown()
        status = {"done": "succeeded", "failed": "failed", "running": "processing"}[
            task.status(request.account)
        ]
        body = {"status": status, "message": status, "task_id": request.named["id"], "content": None}
        if status == "succeeded" and request.named["format"] == "text":
            body["content"] = task.result["content"]
        if status == "succeeded" and request.named["format"] == "download_link":
            body["parsing_result_url"] = f"https://emulated.invalid/parsed/{request.named['id']}.zip"
        return Reply(body)


def _unknown() -> Refusal:
    return Refusal("1214", "任务不存在")
