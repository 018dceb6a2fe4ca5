"""What GLM does later, or beside its chat: answers fetched when they are ready, and token counts."""

from collections.abc import Mapping
from typing import Any

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.endpoints import Endpoint, EndpointRequest, Reply
from exai_emulator.provider import ProviderApi
from exai_emulator.rules import Behaviour, RuleBook
from exai_emulator.tasks import Task

__all__ = ["BEHAVIOURS", "GlmTasks"]

ASYNC_SWAP = "glm.async.swap"
_SWAPPED = {"glm-4.6": "glm-4.7", "glm-4.7": "glm-4.7-ali"}


BEHAVIOURS = (
    Behaviour(
        "glm.async.status", "D", "an asynchronous chat is PROCESSING, then SUCCESS with the answer, or FAIL"
    ),
    Behaviour(
        ASYNC_SWAP, "L", "an asynchronous chat of glm-4.6 or glm-4.7 names another model", switchable=True
    ),
    Behaviour("glm.async.unknown", "?", "an unknown task: 400/1214"),
    Behaviour("glm.tokenizer", "D", "`POST /tokenizer` agrees with a chat's prompt tokens"),
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
        )

    async def _call(self, request: EndpointRequest) -> ChatCall | Refusal:
        await self._api.read_documents(request.json, request.account)
        call = self._api.read_call(request.json, self._root, request.account)
        return self._rules.first_refusal(self._api.name, call) or call

    async def _chat(self, request: EndpointRequest) -> Reply | Refusal:
        call = await self._call(request)
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

    async def _tokenizer(self, request: EndpointRequest) -> Reply | Refusal:
        call = await self._call(request)
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


def _unknown() -> Refusal:
    return Refusal("1214", "任务不存在")
