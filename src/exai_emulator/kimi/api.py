"""Kimi's form of requests, answers, streams and errors."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from exai_emulator.accounts import Account
from exai_emulator.calls import ChatCall, ErrorRow, KeyVerdict, Refusal, canonical_prompt
from exai_emulator.endpoints import Endpoints
from exai_emulator.faults import Fault
from exai_emulator.identities import Identity
from exai_emulator.kimi.batches import KimiBatches
from exai_emulator.kimi.catalog import MODELS
from exai_emulator.kimi.errors import errors_of
from exai_emulator.kimi.files import KimiFiles
from exai_emulator.kimi.platform import KimiPlatform, signature_headers
from exai_emulator.kimi.rest_tools import KimiRestTools, is_rest_tool, track_headers
from exai_emulator.kimi.uploads import TOO_LARGE
from exai_emulator.kimi.web_search import result_tokens, search_instead
from exai_emulator.objects.schemas import object_schema
from exai_emulator.options import EmulatorOptions
from exai_emulator.personas import DEFAULT_THINK_TOKENS, Answer
from exai_emulator.rules import RuleBook
from exai_emulator.shapes import as_int, parts_of, strings_of
from exai_emulator.streaming import DONE, StreamFrames, data_frame
from exai_emulator.tokens import count_tokens
from exai_emulator.tool_calls import CallForm, calls_before

__all__ = ["ROOT", "KimiApi"]

ROOT = "/v1"

_PROMPT_OVERHEAD = 80
_JSON_MODE_TOKENS = 47
_IMAGE_TOKENS = 9

_encode = msgspec.json.Encoder().encode


class KimiApi:
    """Kimi's chat, models, balance and token estimate."""

    name = "kimi"
    json_type = "application/json; charset=utf-8"
    stream_type = "text/event-stream"
    body_opening = b""
    in_stream_error = "server_error"
    routes: Mapping[tuple[str, str], tuple[str, str]] = {
        ("POST", f"{ROOT}/chat/completions"): ("chat", "v1"),
        ("GET", f"{ROOT}/models"): ("models", "v1"),
        ("GET", f"{ROOT}/users/me/balance"): ("balance", "v1"),
        ("POST", f"{ROOT}/tokenizers/estimate-token-count"): ("estimate", "v1"),
    }

    def __init__(self, options: EmulatorOptions, rules: RuleBook) -> None:
        self.errors: Mapping[str, ErrorRow] = errors_of(options.kimi_quota_status)
        self._good_header = f"Bearer {options.kimi_key}"
        self._windows = options.context_windows
        self._stream_usage = options.kimi_stream_usage
        self._cache_writes = options.kimi_cache_writes
        files = KimiFiles(rules, options.kimi_file_content, options.kimi_ready_status)
        tools = KimiRestTools(rules)
        platform, batches = KimiPlatform(rules), KimiBatches(self, rules, "v1")
        self.endpoints = Endpoints(
            (method, ROOT + path, endpoint)
            for method, path, endpoint in (
                *files.endpoints,
                *tools.endpoints,
                *platform.endpoints,
                *batches.endpoints,
            )
        )

    def too_large(self, path: str) -> Refusal:
        if path == f"{ROOT}/files":
            return TOO_LARGE
        return Refusal("invalid_request", "Invalid request: the request body is too large")

    def credentials(self, headers: Mapping[str, str]) -> str:
        return headers.get("Authorization", "")

    def key_verdict(self, authorization: str) -> KeyVerdict:
        if authorization == self._good_header:
            return "ok"
        scheme, _, token = authorization.partition(" ")
        return "bad" if scheme.lower() == "bearer" and token.strip() else "missing"

    def refused_key(self, path: str, refusal: Refusal) -> Refusal:
        return Refusal("empty_401") if is_rest_tool(path) else refusal

    def further_headers(self, path: str, headers: Mapping[str, str], identity: Identity) -> Mapping[str, str]:
        if is_rest_tool(path):
            return track_headers(headers, identity)
        return signature_headers(headers, identity.created)

    async def read_documents(self, _: Any, __: Account, /) -> None:
        """Nothing to read: no part of a message holds a document."""

    def read_call(self, raw: Any, root: str, account: Account) -> ChatCall:
        body: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
        entries = body.get("messages")
        messages = (
            [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        )
        texts, prompt = canonical_prompt(messages, body.get("tools"))
        asked = body.get("model")
        asked = asked if isinstance(asked, str) else ""
        model = MODELS.get(asked)
        if model is not None and asked in self._windows:
            model = replace(model, context=self._windows[asked])
        response_format = body.get("response_format")
        kind = response_format.get("type") if isinstance(response_format, dict) else None
        json_mode = kind in ("json_object", "json_schema")
        thinking = body.get("thinking")
        off = isinstance(thinking, dict) and thinking.get("type") == "disabled"
        images = sum(
            isinstance(part, dict) and part.get("type") == "image_url"
            for entry in messages
            for part in parts_of(entry)
        )
        cap = as_int(body.get("max_completion_tokens")) or as_int(body.get("max_tokens"))
        if cap is None or cap < 1:
            cap = (model.default_output or model.max_output) if model is not None else 131_072
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
            prompt_tokens=count_tokens(prompt)
            + _PROMPT_OVERHEAD
            + result_tokens(messages, account)
            + (_JSON_MODE_TOKENS if json_mode else 0)
            + _IMAGE_TOKENS * images,
            cap=cap,
            thinks=model is not None and model.thinking != "never" and not off,
            think_tokens=DEFAULT_THINK_TOKENS,
            stop=strings_of(body.get("stop")),
            json_mode=json_mode,
            schema=object_schema(response_format, texts),
        )

    def shape(self, call: ChatCall, answer: Answer) -> None:
        search_instead(call, answer)
        if self._cache_writes:
            call.cache_write_tokens = call.prompt_tokens - call.cached_tokens

    def headers(self, identity: Identity, content_type: str | None, cached_tokens: int = 0) -> str:
        typed = "" if content_type is None else f"Content-Type: {content_type}\r\n"
        saved = f"Msh-Context-Cache-Token-Saved: {cached_tokens}\r\n" if cached_tokens else ""
        digest = identity.digest
        return (
            f"{typed}Msh-Request-Id: {identity.uuid}\r\nX-Msh-Trace-Id: {digest[32:]}\r\n"
            "Msh-Trace-Mode: on\r\nMsh-Uid: emulated-uid\r\n"
            "Msh-Gid: enterprise-tier-3\r\nMsh-Org-Id: org-emulated\r\n"
            "Msh-Project-Id: proj-emulated\r\nServer-Timing: inner; dur=1\r\nServer: cloudflare\r\n"
            f"CF-RAY: {digest[:16]}-SIN\r\nSet-Cookie: __cf_bm={digest[16:48]}; path=/; HttpOnly\r\n{saved}"
        )

    def completion(
        self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None
    ) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.content}
        if fault is not None and fault.content == "null":
            message["content"] = None
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
        if answer.calls:
            message["tool_calls"] = _form(call, answer).whole(answer.calls)
        body: dict[str, Any] = {
            "id": f"chatcmpl-{identity.digest[:24]}",
            "object": "chat.completion",
            "created": identity.created,
            "model": _echoed(call, fault),
            "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
            "usage": self._usage(call, answer),
        }
        if fault is not None and fault.usage == "none":
            del body["usage"]
        return body

    def _usage(self, call: ChatCall, answer: Answer) -> dict[str, Any]:
        usage: dict[str, Any] = {
            "prompt_tokens": call.prompt_tokens,
            "completion_tokens": answer.tokens,
            "total_tokens": call.prompt_tokens + answer.tokens,
            "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        }
        if call.cached_tokens:
            usage["cached_tokens"] = call.cached_tokens
            usage["prompt_tokens_details"] = {"cached_tokens": call.cached_tokens}
        if call.cache_write_tokens is not None:
            usage["cache_write_tokens"] = call.cache_write_tokens
        return usage

    def frames(self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None) -> StreamFrames:
        options = call.body.get("stream_options")
        asked = isinstance(options, dict) and options.get("include_usage") is True
        placement: str = self._stream_usage
        if fault is not None and fault.usage is not None:
            placement = fault.usage
        if placement == "auto":
            placement = "extra" if asked else "top"
        head: dict[str, Any] = {
            "id": f"chatcmpl-{identity.digest[:24]}",
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": _echoed(call, fault),
        }
        null_usage: dict[str, Any] = {"usage": None} if placement == "extra" else {}
        opening = {
            **head,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
            **null_usage,
        }
        before = b"data: " + _encode(head)[:-1] + b',"choices":[{"index":0,"delta":{"'
        after = b'},"finish_reason":null}]' + (b',"usage":null' if null_usage else b"") + b"}\n\n"
        choice: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": answer.finish_reason}
        finish: dict[str, Any] = {**head, "choices": [choice], **null_usage}
        closing = [finish]
        if placement == "top":
            finish["usage"] = self._usage(call, answer)
        elif placement == "choice":
            choice["usage"] = self._usage(call, answer)
        elif placement == "extra":
            closing.append({**head, "choices": [], "usage": self._usage(call, answer)})
        return StreamFrames(
            opening=(data_frame(opening),),
            reasoning=(before + b'reasoning_content":', after),
            content=(before + b'content":', after),
            closing=(*map(data_frame, closing), DONE),
            calls=tuple(
                data_frame(
                    {
                        **head,
                        "choices": [{"index": 0, "delta": {"tool_calls": [fragment]}, "finish_reason": None}],
                        **null_usage,
                    }
                )
                for fragment in _form(call, answer).fragments(answer.calls)
            ),
        )

    def error_body(self, row: ErrorRow, message: str | None) -> Any:
        error = {"message": row.message if message is None else message, "type": row.kind}
        return {"error": error if row.code is None else {**error, "code": row.code}}

    def stream_error(self, row: ErrorRow, message: str | None) -> Any:
        return self.error_body(row, message)

    def plain(self, operation: str, account: Account, call: ChatCall | None) -> Any:
        if operation == "estimate" and call is not None:
            return {"data": {"total_tokens": call.prompt_tokens}}
        if operation == "balance":
            balance = account.state.balance
            data = {"available_balance": balance, "voucher_balance": 0.0, "cash_balance": balance}
            return {"code": 0, "data": data, "scode": "0x0", "status": True}
        return {
            "object": "list",
            "data": [
                {
                    "id": model.id,
                    "object": "model",
                    "owned_by": "moonshot",
                    "context_length": self._windows.get(model.id, model.context),
                    "supports_image_in": model.vision,
                    "supports_video_in": model.vision,
                    "supports_reasoning": model.thinking != "never",
                }
                for model in MODELS.values()
                if model.id not in account.state.locked_models
            ],
        }

    def unknown_route(self, method: str, path: str, agent: str) -> tuple[int, Any]:
        return 404, {
            "code": 5,
            "error": "url.not_found",
            "message": "没找到对象",
            "method": method,
            "scode": "0x5",
            "status": False,
            "ua": agent,
            "url": path,
        }


def _echoed(call: ChatCall, fault: Fault | None) -> str:
    return fault.echo_model if fault is not None and fault.echo_model is not None else call.model_id


def _form(call: ChatCall, answer: Answer) -> CallForm:
    """Ids are the tool's name and a number that counts the conversation's calls."""
    before = calls_before(call.messages)[1]
    return CallForm([f"{said.name}:{before + place}" for place, said in enumerate(answer.calls)])
