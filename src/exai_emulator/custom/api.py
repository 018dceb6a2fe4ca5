"""The form that OpenAI's chat completions have and most servers copy, in the dialect of one of them."""

from collections.abc import Mapping
from typing import Any

import msgspec
from typing_extensions import override

from exai_emulator.accounts import Account
from exai_emulator.calls import ChatCall, ErrorRow, KeyVerdict, Model, Refusal, canonical_prompt
from exai_emulator.custom.dialects import DIALECTS
from exai_emulator.custom.rules import MODELS, effort_of
from exai_emulator.endpoints import Endpoints
from exai_emulator.faults import Fault
from exai_emulator.identities import Identity
from exai_emulator.objects.schemas import object_schema
from exai_emulator.options import EmulatorOptions
from exai_emulator.personas import Answer
from exai_emulator.provider import ProviderApi
from exai_emulator.shapes import as_int, strings_of
from exai_emulator.streaming import DONE, StreamFrames, data_frame
from exai_emulator.tokens import count_tokens
from exai_emulator.tool_calls import CallForm

__all__ = ["ROOT", "CustomApi"]

ROOT = "/v1"

_CONTEXT = 131_072
_PROMPT_OVERHEAD = 3

_encode = msgspec.json.Encoder().encode

_EFFORT_TOKENS = 12


class CustomApi(ProviderApi):
    """Chat and models."""

    name = "custom"
    json_type = "application/json"
    stream_type = "text/event-stream; charset=utf-8"
    endpoints = Endpoints(())
    in_stream_error = "server_error"
    routes: Mapping[tuple[str, str], tuple[str, str]] = {
        ("POST", f"{ROOT}/chat/completions"): ("chat", "v1"),
        ("GET", f"{ROOT}/models"): ("models", "v1"),
    }

    def __init__(self, options: EmulatorOptions) -> None:
        self._good_header = f"Bearer {options.custom_key}"
        self._listed_at = options.starts_at
        self._windows = options.context_windows
        self.dialect = DIALECTS[options.custom_dialect]

    @property
    def errors(self) -> Mapping[str, ErrorRow]:
        return self.dialect.errors

    @property
    def body_opening(self) -> bytes:
        return self.dialect.body_opening

    def credentials(self, headers: Mapping[str, str]) -> str:
        name = self.dialect.key_header
        value = headers.get(name, "")
        return value if name == "Authorization" or not value else f"Bearer {value}"

    @override
    def too_large(self, path: str) -> Refusal:
        return Refusal("too_large")

    def key_verdict(self, authorization: str) -> KeyVerdict:
        if authorization == self._good_header or not self.dialect.needs_key:
            return "ok"
        scheme, _, token = authorization.partition(" ")
        return "bad" if scheme.lower() == "bearer" and token.strip() else "missing"

    @override
    def refused_key(self, path: str, refusal: Refusal) -> Refusal:
        return refusal

    @override
    def further_headers(self, path: str, headers: Mapping[str, str], identity: Identity) -> Mapping[str, str]:
        return {}

    @override
    async def read_documents(self, _: Any, __: Account, /) -> None:
        """Nothing to read: no part of a message holds a document."""

    @override
    def read_call(self, raw: Any, root: str, account: Account) -> ChatCall:
        body: Mapping[str, Any] = raw if isinstance(raw, dict) else {}
        entries = body.get("messages")
        messages = (
            [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        )
        texts, prompt = canonical_prompt(messages, body.get("tools"))
        asked = body.get("model")
        asked = asked if isinstance(asked, str) else ""
        cap = as_int(body.get("max_completion_tokens")) or as_int(body.get("max_tokens"))
        response_format = body.get("response_format")
        kind = response_format.get("type") if isinstance(response_format, dict) else None
        context = self._windows.get(asked, _CONTEXT)
        return ChatCall(
            raw=raw,
            root=self.dialect.name,
            account=account,
            body=body,
            messages=messages,
            model=Model(asked, context, _CONTEXT, "always"),
            asked_model=asked,
            texts=texts,
            prompt=prompt,
            prompt_tokens=count_tokens(prompt) + _PROMPT_OVERHEAD,
            cap=cap if cap is not None and cap > 0 else _CONTEXT,
            thinks=True,
            think_tokens=_EFFORT_TOKENS if effort_of(body) not in (None, "none", "disabled") else 0,
            stop=strings_of(body.get("stop")),
            json_mode=kind in ("json_object", "json_schema"),
            schema=object_schema(response_format, texts),
        )

    def shape(self, call: ChatCall, answer: Answer) -> None:
        """MiniMax puts its thinking into the content, unless it is told to split it off."""
        inside = self.dialect.reasoning == "split" and call.body.get("reasoning_split") is not True
        if inside and answer.reasoning:
            answer.content = f"<think>{answer.reasoning}</think>{answer.content}"
            answer.reasoning = ""

    @override
    def headers(self, identity: Identity, content_type: str | None, cached_tokens: int = 0) -> str:
        typed = "" if content_type is None else f"Content-Type: {content_type}\r\n"
        return f"{typed}x-request-id: req_{identity.digest[:32]}\r\n"

    def completion(
        self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None
    ) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.content}
        if fault is not None and fault.content == "null":
            message["content"] = None
        message |= self._thinking(answer.reasoning)
        if answer.calls:
            message["content"] = answer.content or None
            message["tool_calls"] = _form(identity, answer).whole(answer.calls)
        body: dict[str, Any] = {
            "id": f"chatcmpl-{identity.digest[:24]}",
            "object": "chat.completion",
            "created": identity.created,
            "model": _echoed(call, fault),
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
            ],
            "usage": _usage(call, answer),
            **self._verdict(),
        }
        if fault is not None and fault.usage == "none":
            del body["usage"]
        return body

    def frames(self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None) -> StreamFrames:
        options = call.body.get("stream_options")
        asked = isinstance(options, dict) and options.get("include_usage") is True
        placement: str = "extra" if asked or self.dialect.usage == "always" else "none"
        if fault is not None and fault.usage is not None:
            placement = fault.usage
        head: dict[str, Any] = {
            "id": f"chatcmpl-{identity.digest[:24]}",
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": _echoed(call, fault),
            **self._verdict(),
        }
        null_usage: dict[str, Any] = {"usage": None} if placement == "extra" else {}
        first = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        choice: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": answer.finish_reason}
        finish: dict[str, Any] = {**head, "choices": [choice], **null_usage}
        closing = [finish]
        if placement == "top":
            finish["usage"] = _usage(call, answer)
        elif placement == "choice":
            choice["usage"] = _usage(call, answer)
        elif placement == "extra":
            closing.append({**head, "choices": [], "usage": _usage(call, answer)})
        before = b"data: " + _encode(head)[:-1] + b',"choices":[{"index":0,"delta":{"'
        after = b'},"finish_reason":null}]' + (b',"usage":null' if null_usage else b"") + b"}\n\n"
        keep_alive = (self.dialect.keep_alive,) if self.dialect.keep_alive else ()
        return StreamFrames(
            opening=(*keep_alive, data_frame({**head, "choices": [first], **null_usage})),
            reasoning=self._thinking_form(before, after),
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
                for fragment in _form(identity, answer).fragments(answer.calls)
            ),
        )

    def _thinking(self, reasoning: str) -> dict[str, Any]:
        """The fields of a message or delta that hold its thinking."""
        kind = self.dialect.reasoning
        if not reasoning or kind == "hidden":
            return {}
        if kind == "split":
            return {"reasoning_details": [{"type": "reasoning.text", "text": reasoning}]}
        return {kind: reasoning}

    def _thinking_form(self, before: bytes, after: bytes) -> tuple[bytes, bytes]:
        """What stands around a piece of thinking in its frame."""
        kind = self.dialect.reasoning
        if kind == "split":
            return before + b'reasoning_details":[{"type":"reasoning.text","text":', b"}]" + after
        # What is hidden is streamed as a field that no client knows, so that its time passes.
        return before + (b"obfuscation" if kind == "hidden" else kind.encode()) + b'":', after

    def _verdict(self) -> dict[str, Any]:
        return {"base_resp": {"status_code": 0, "status_msg": ""}} if self.dialect.verdict else {}

    def error_body(self, row: ErrorRow, message: str | None) -> Any:
        return self.dialect.envelope(row, row.message if message is None else message)

    def stream_error(self, row: ErrorRow, message: str | None) -> Any:
        body = self.error_body(row, message)
        if self.dialect.name != "openrouter":
            return body
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "error"}
        return {"object": "chat.completion.chunk", "provider": "emulated", **body, "choices": [choice]}

    @override
    def plain(self, operation: str, account: Account, call: ChatCall | None) -> Any:
        listed = [
            {"id": model, "object": "model", "created": self._listed_at, "owned_by": "emulated"}
            for model in MODELS
        ]
        return {"object": "list", "data": listed}

    @override
    def unknown_route(self, method: str, path: str, agent: str) -> tuple[int, Any]:
        row = self.errors["not_found"]
        return row.status, self.error_body(row, f"Invalid URL ({method} {path})")


def _echoed(call: ChatCall, fault: Fault | None) -> str:
    return fault.echo_model if fault is not None and fault.echo_model is not None else call.model_id


def _form(identity: Identity, answer: Answer) -> CallForm:
    return CallForm([f"call_{identity.digest[:20]}{place:04x}" for place in range(len(answer.calls))])


def _usage(call: ChatCall, answer: Answer) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "prompt_tokens": call.prompt_tokens,
        "completion_tokens": answer.tokens,
        "total_tokens": call.prompt_tokens + answer.tokens,
        "prompt_tokens_details": {"cached_tokens": call.cached_tokens},
    }
    if answer.reasoning_tokens:
        usage["completion_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens}
    return usage
