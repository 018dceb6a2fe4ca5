"""The form that OpenAI's chat completions have and most servers copy."""

from collections.abc import Mapping
from typing import Any

import msgspec

from exai_emulator.accounts import Account
from exai_emulator.calls import ChatCall, ErrorRow, KeyVerdict, Model, Refusal, canonical_prompt
from exai_emulator.custom.rules import MODELS
from exai_emulator.endpoints import Endpoints
from exai_emulator.faults import Fault
from exai_emulator.identities import Identity
from exai_emulator.options import EmulatorOptions
from exai_emulator.personas import Answer
from exai_emulator.shapes import as_int, strings_of
from exai_emulator.streaming import DONE, StreamFrames, data_frame
from exai_emulator.tokens import count_tokens
from exai_emulator.tool_calls import CallForm

__all__ = ["ROOT", "CustomApi"]

ROOT = "/v1"

_CONTEXT = 131_072
_PROMPT_OVERHEAD = 3

_encode = msgspec.json.Encoder().encode

_ERRORS: dict[str, ErrorRow] = {
    row.name: row
    for row in (
        ErrorRow("invalid_request", 400, "D", "Invalid request", "invalid_request_error"),
        ErrorRow(
            "missing_key",
            401,
            "D",
            "You didn't provide an API key.",
            "invalid_request_error",
            code="invalid_api_key",
        ),
        ErrorRow(
            "invalid_key",
            401,
            "D",
            "Incorrect API key provided.",
            "invalid_request_error",
            code="invalid_api_key",
        ),
        ErrorRow(
            "model_not_found",
            404,
            "D",
            "The model does not exist",
            "invalid_request_error",
            code="model_not_found",
        ),
        ErrorRow("not_found", 404, "D", "Invalid URL", "invalid_request_error"),
        ErrorRow("too_large", 413, "D", "The request is too large.", "invalid_request_error"),
        ErrorRow(
            "rate_limit",
            429,
            "D",
            "Rate limit reached, please try again in 1s.",
            "requests",
            code="rate_limit_exceeded",
            headers={"Retry-After": "1"},
        ),
        ErrorRow(
            "quota",
            429,
            "D",
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            code="insufficient_quota",
        ),
        ErrorRow(
            "server_error", 500, "D", "The server had an error while processing your request.", "server_error"
        ),
        ErrorRow("overloaded", 503, "D", "The engine is currently overloaded.", "server_error"),
        ErrorRow("empty_502", 502, "?", body=""),
        ErrorRow("html_200", 200, "?", body="<html><body>Welcome</body></html>", content_type="text/html"),
        ErrorRow("empty_200", 200, "?", body="", content_type="application/json"),
    )
}


class CustomApi:
    """Chat and models."""

    name = "custom"
    errors: Mapping[str, ErrorRow] = _ERRORS
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

    def too_large(self, path: str) -> Refusal:  # noqa: ARG002 - the same wherever it is sent
        return Refusal("too_large")

    def key_verdict(self, authorization: str) -> KeyVerdict:
        if authorization == self._good_header:
            return "ok"
        scheme, _, token = authorization.partition(" ")
        return "bad" if scheme.lower() == "bearer" and token.strip() else "missing"

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
        return ChatCall(
            raw=raw,
            root=root,
            account=account,
            body=body,
            messages=messages,
            model=Model(asked, _CONTEXT, _CONTEXT, "always"),
            asked_model=asked,
            texts=texts,
            prompt=prompt,
            prompt_tokens=count_tokens(prompt) + _PROMPT_OVERHEAD,
            cap=cap if cap is not None and cap > 0 else _CONTEXT,
            thinks=True,
            think_tokens=0,
            stop=strings_of(body.get("stop")),
            json_mode=kind in ("json_object", "json_schema"),
        )

    def shape(self, call: ChatCall, answer: Answer) -> None:
        """Nothing that a persona says is changed."""

    def headers(self, identity: Identity, content_type: str | None, cached_tokens: int = 0) -> str:  # noqa: ARG002 - no header tells of the cache
        typed = "" if content_type is None else f"Content-Type: {content_type}\r\n"
        return f"{typed}x-request-id: req_{identity.digest[:32]}\r\n"

    def completion(
        self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None
    ) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": answer.content}
        if fault is not None and fault.content == "null":
            message["content"] = None
        if answer.reasoning:
            message["reasoning_content"] = answer.reasoning
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
        }
        if fault is not None and fault.usage == "none":
            del body["usage"]
        return body

    def frames(self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None) -> StreamFrames:
        options = call.body.get("stream_options")
        asked = isinstance(options, dict) and options.get("include_usage") is True
        placement: str = "extra" if asked else "none"
        if fault is not None and fault.usage is not None:
            placement = fault.usage
        head: dict[str, Any] = {
            "id": f"chatcmpl-{identity.digest[:24]}",
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": _echoed(call, fault),
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
        return StreamFrames(
            opening=(data_frame({**head, "choices": [first], **null_usage}),),
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
                for fragment in _form(identity, answer).fragments(answer.calls)
            ),
        )

    def error_body(self, row: ErrorRow, message: str | None) -> Any:
        text = row.message if message is None else message
        return {"error": {"message": text, "type": row.kind, "param": None, "code": row.code}}

    def plain(self, operation: str, account: Account, call: ChatCall | None) -> Any:  # noqa: ARG002 - the list is the same for every account
        listed = [
            {"id": model, "object": "model", "created": self._listed_at, "owned_by": "emulated"}
            for model in MODELS
        ]
        return {"object": "list", "data": listed}

    def unknown_route(self, method: str, path: str, agent: str) -> tuple[int, Any]:  # noqa: ARG002 - only Kimi names the agent
        row = _ERRORS["not_found"]
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
