"""GLM's form of requests, answers, streams and errors."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
from typing_extensions import override

from exai_emulator.accounts import Account
from exai_emulator.calls import ChatCall, ErrorRow, KeyVerdict, Model, Refusal, canonical_prompt
from exai_emulator.clock import EmulatedClock, china_time
from exai_emulator.documents.extraction import extract
from exai_emulator.documents.inline import InlineDocuments
from exai_emulator.endpoints import Endpoints
from exai_emulator.faults import Fault
from exai_emulator.glm.catalog import MODELS, SWAPPED_ON_CODING_ROOT, find_model
from exai_emulator.glm.closed import ENDPOINTS as CLOSED_ENDPOINTS
from exai_emulator.glm.errors import ERRORS, RESET
from exai_emulator.glm.files import GlmFiles
from exai_emulator.glm.keys import judge
from exai_emulator.glm.parsing import GlmParsing
from exai_emulator.glm.parts import documents_in, files_named, inline_data
from exai_emulator.glm.rules import CLOCKED, CODING, GENERAL, SWAP, UNSAFE_OUTPUT
from exai_emulator.glm.search import FIRST_CHUNK, GlmSearch, search_in_chat
from exai_emulator.glm.tasks import GlmTasks
from exai_emulator.identities import Identity
from exai_emulator.objects.schemas import schema_in_prompt
from exai_emulator.options import EmulatorOptions
from exai_emulator.personas import DEFAULT_THINK_TOKENS, Answer
from exai_emulator.provider import ProviderApi
from exai_emulator.rules import RuleBook
from exai_emulator.shapes import as_int, strings_of
from exai_emulator.streaming import DONE, StreamFrames, data_frame
from exai_emulator.tokens import count_tokens
from exai_emulator.tool_calls import CallForm
from exai_emulator.uploads import UploadFolder

__all__ = ["CODING_ROOT", "GENERAL_ROOT", "GlmApi"]

GENERAL_ROOT = "/api/paas/v4"
CODING_ROOT = "/api/coding/paas/v4"

_PROMPT_OVERHEAD = 10
_JSON_MODE_TOKENS = 60
_IMAGE_TOKENS = 100
_RESETS_IN = 2 * 3600.0
"""How far ahead the reset is that a plan's error announces when it is ordered as a fault."""
_THOUGHTLESS_EFFORTS = ("none", "minimal", "low")

_encode = msgspec.json.Encoder().encode


class GlmApi(ProviderApi):
    """GLM on both of its roots."""

    name = "glm"
    errors: Mapping[str, ErrorRow] = ERRORS
    json_type = "application/json; charset=UTF-8"
    stream_type = "text/event-stream;charset=UTF-8"
    body_opening = b""
    in_stream_error = "1234"
    routes: Mapping[tuple[str, str], tuple[str, str]] = {
        (method, root + path): (operation, name)
        for root, name in ((GENERAL_ROOT, GENERAL), (CODING_ROOT, CODING))
        for method, path, operation in (("POST", "/chat/completions", "chat"), ("GET", "/models", "models"))
    }

    def __init__(
        self, options: EmulatorOptions, rules: RuleBook, clock: EmulatedClock, uploads: UploadFolder
    ) -> None:
        self._key = options.glm_key
        self._good_header = f"Bearer {options.glm_key}"
        self._windows = options.context_windows
        self._is_on = rules.is_on
        self._clock = clock
        self._inline = InlineDocuments(uploads)
        self._listed_at = options.starts_at
        files, search, tasks = GlmFiles(rules), GlmSearch(rules), GlmTasks(self, rules, GENERAL)
        parsing = GlmParsing(rules)
        rows = (
            (method, root + path, endpoint)
            for root in (GENERAL_ROOT, CODING_ROOT)
            for method, path, endpoint in (
                *files.endpoints,
                *search.endpoints,
                *tasks.endpoints,
                *parsing.endpoints,
                *CLOSED_ENDPOINTS,
            )
        )
        self._endpoints = Endpoints(rows, open_rows=parsing.open_endpoints)

    @property
    def endpoints(self) -> Endpoints:
        return self._endpoints

    @override
    def too_large(self, path: str) -> Refusal:
        return Refusal("435")

    def credentials(self, headers: Mapping[str, str]) -> str:
        return headers.get("Authorization", "")

    def key_verdict(self, authorization: str) -> KeyVerdict:
        if authorization == self._good_header:
            return "ok"
        return judge(authorization, self._key, self._clock.now() if self._is_on(CLOCKED) else time.time())

    @override
    def refused_key(self, path: str, refusal: Refusal) -> Refusal:
        return refusal

    @override
    def further_headers(self, path: str, headers: Mapping[str, str], identity: Identity) -> Mapping[str, str]:
        return {}

    @override
    async def read_documents(self, raw: Any, account: Account, /) -> None:
        await self._inline.read(inline_data(raw))
        for file in files_named(raw, account):
            account.files.learn(file.id, await extract(file.upload))

    def read_call(self, raw: Any, root: str, account: Account) -> ChatCall:
        body: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
        entries = body.get("messages")
        messages = (
            [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        )
        documents = documents_in(messages, account, self._inline)
        texts, prompt = canonical_prompt(messages, body.get("tools"), documents)
        asked = body.get("model")
        asked = asked if isinstance(asked, str) else ""
        model = self._model(asked, root)
        response_format = body.get("response_format")
        json_mode = isinstance(response_format, dict) and response_format.get("type") == "json_object"
        thinks = _thinks(body, model)
        prompt_tokens = count_tokens(prompt) + _PROMPT_OVERHEAD + (_JSON_MODE_TOKENS if json_mode else 0)
        if model is not None and model.vision:
            prompt_tokens += _IMAGE_TOKENS * sum(_images_in(message) for message in messages)
        cap = as_int(body.get("max_tokens")) or as_int(body.get("max_completion_tokens"))
        return ChatCall(
            raw=raw,
            root=root,
            account=account,
            body=body,
            messages=messages,
            model=model,
            asked_model=asked,
            texts=texts,
            prompt=prompt,
            prompt_tokens=prompt_tokens,
            cap=cap if cap is not None and cap > 0 else (model.max_output if model is not None else 131_072),
            thinks=thinks,
            think_tokens=0 if body.get("reasoning_effort") in _THOUGHTLESS_EFFORTS else DEFAULT_THINK_TOKENS,
            stop=strings_of(body.get("stop")),
            json_mode=json_mode,
            schema=schema_in_prompt(texts) if json_mode else None,
            documents=documents,
        )

    def _model(self, asked: str, root: str) -> Model | None:
        model = find_model(asked)
        if model is None:
            return None
        if root == CODING and model.id in SWAPPED_ON_CODING_ROOT and self._is_on(SWAP):
            model = MODELS[SWAPPED_ON_CODING_ROOT[model.id]]
        if model.id in self._windows:
            model = replace(model, context=self._windows[model.id])
        return model

    def shape(self, call: ChatCall, answer: Answer) -> None:
        if search_in_chat(call) is not None:
            call.account.fees["web_search"] += 1
        if any(UNSAFE_OUTPUT in text for _, text in call.texts):
            answer.finish_reason = "sensitive"

    @override
    def headers(self, identity: Identity, content_type: str | None, cached_tokens: int = 0) -> str:
        typed = "" if content_type is None else f"Content-Type: {content_type}\r\n"
        digest = identity.digest
        return (
            f"{typed}X-LOG-ID: {identity.glm_id}\r\nga-traceid: {digest[32:]}\r\nVary: Origin\r\n"
            'Strict-Transport-Security: max-age=31536000\r\nAlt-Svc: h3=":443"; ma=86400\r\n'
            f"Set-Cookie: acw_tc={digest[:32]};path=/;HttpOnly;Max-Age=1800\r\n"
        )

    def completion(
        self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None
    ) -> dict[str, Any]:
        message: dict[str, Any] = {"content": answer.content, "role": "assistant"}
        if fault is not None and fault.content == "null":
            message["content"] = None
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.calls:
            message["content"] = answer.content or None
            message["tool_calls"] = _form(identity, answer).whole(answer.calls)
        request_id = call.body.get("request_id")
        body: dict[str, Any] = {
            "choices": [{"finish_reason": answer.finish_reason, "index": 0, "message": message}],
            "created": identity.created,
            "id": identity.glm_id,
            "model": _echoed(call, fault),
            "object": "chat.completion",
            "request_id": request_id if isinstance(request_id, str) else identity.glm_id,
            "usage": _usage(call, answer),
        }
        if results := search_in_chat(call):
            body["web_search"] = results
        if fault is not None and fault.usage == "none":
            del body["usage"]
        return body

    def frames(self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None) -> StreamFrames:
        head = {
            "id": identity.glm_id,
            "created": identity.created,
            "object": "chat.completion.chunk",
            "model": _echoed(call, fault),
        }
        before = b"data: " + _encode(head)[:-1] + b',"choices":[{"index":0,"delta":{"role":"assistant","'
        choice: dict[str, Any] = {
            "index": 0,
            "finish_reason": answer.finish_reason,
            "delta": {"role": "assistant", "content": ""},
        }
        last: dict[str, Any] = {**head, "choices": [choice], "usage": _usage(call, answer)}
        if fault is not None and fault.usage is not None:
            _place_usage(last, choice, fault.usage)
        results = search_in_chat(call)
        at_first = self._is_on(FIRST_CHUNK)
        if results and not at_first:
            last["web_search"] = results
        closing = [data_frame(last)]
        if fault is not None and fault.usage == "extra":
            closing.append(data_frame({**head, "choices": [], "usage": _usage(call, answer)}))
        after = b"}}]}\n\n"
        form = _form(identity, answer)
        entries: Iterable[dict[str, Any]] = (
            form.fragments(answer.calls) if call.body.get("tool_stream") is True else form.whole(answer.calls)
        )
        return StreamFrames(
            opening=(data_frame({**head, "choices": [], "web_search": results}),)
            if results and at_first
            else (),
            reasoning=(before + b'reasoning_content":', after),
            content=(before + b'content":', after),
            closing=(*closing, DONE),
            calls=tuple(
                data_frame(
                    {
                        **head,
                        "choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": [entry]}}],
                    }
                )
                for entry in entries
            ),
        )

    def error_body(self, row: ErrorRow, message: str | None) -> Any:
        text = (
            row.message.replace(RESET, china_time(self._clock.now() + _RESETS_IN))
            if message is None
            else message
        )
        return {"error": {"code": row.kind, "message": text}}

    def stream_error(self, row: ErrorRow, message: str | None) -> Any:
        return self.error_body(row, message)

    @override
    def plain(self, operation: str, account: Account, call: ChatCall | None) -> Any:
        listed = [
            {"id": model, "object": "model", "created": self._listed_at, "owned_by": "z-ai"}
            for model in MODELS
        ]
        return {"object": "list", "data": listed}

    @override
    def unknown_route(self, method: str, path: str, agent: str) -> tuple[int, Any]:
        row = ERRORS["route_404"]
        return row.status, self.error_body(row, None)


def _thinks(body: Mapping[str, Any], model: Model | None) -> bool:
    if model is None or model.thinking == "never":
        return False
    thinking = body.get("thinking")
    return not (isinstance(thinking, dict) and thinking.get("type") == "disabled")


def _images_in(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    if not isinstance(content, list):
        return 0
    return sum(isinstance(part, dict) and part.get("type") == "image_url" for part in content)


def _echoed(call: ChatCall, fault: Fault | None) -> str:
    return fault.echo_model if fault is not None and fault.echo_model is not None else call.model_id


def _form(identity: Identity, answer: Answer) -> CallForm:
    """Ids are `call_` and hexadecimal digits."""
    return CallForm([f"call_{identity.digest[:20]}{place:04x}" for place in range(len(answer.calls))])


def _usage(call: ChatCall, answer: Answer) -> dict[str, Any]:
    return {
        "completion_tokens": answer.tokens,
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "prompt_tokens": call.prompt_tokens,
        "prompt_tokens_details": {"cached_tokens": call.cached_tokens},
        "total_tokens": call.prompt_tokens + answer.tokens,
    }


def _place_usage(last: dict[str, Any], choice: dict[str, Any], placement: str) -> None:
    if placement == "choice":
        choice["usage"] = last["usage"]
    if placement != "top":
        del last["usage"]
