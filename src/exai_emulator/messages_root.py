"""The Anthropic-compatible roots: the models of GLM and Kimi behind the form of Anthropic's Messages.

Thinking is counted and not shown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from exai_emulator.calls import ChatCall, ErrorRow, Refusal, text_of
from exai_emulator.faults import Fault
from exai_emulator.identities import Identity
from exai_emulator.other_forms import OtherForm
from exai_emulator.personas import Answer
from exai_emulator.rules import Behaviour, Rule
from exai_emulator.shapes import as_int
from exai_emulator.streaming import StreamFrames

__all__ = ["BEHAVIOURS", "FORM", "GLM_ROOT", "KIMI_ROOT", "ROOTS", "RULES", "MessagesRoot"]

GLM_ROOT = "/api/anthropic"
KIMI_ROOT = "/anthropic"
ROOTS: Mapping[str, str] = {"glm": GLM_ROOT, "kimi": KIMI_ROOT}
"""Where each provider has it."""

FORM = "anthropic"
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "sensitive": "refusal"}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

_encode = msgspec.json.Encoder().encode


def _refused(call: ChatCall, message: str) -> Refusal:
    """In the words of whose root it is."""
    return Refusal("1214" if call.account.provider == "glm" else "invalid_request", message)


def _max_tokens(call: ChatCall) -> Refusal | None:
    if call.root != FORM or ((number := as_int(call.body.get("max_tokens"))) is not None and number >= 1):
        return None
    return _refused(call, "max_tokens: a positive integer is required")


def _system_role(call: ChatCall) -> Refusal | None:
    original = call.raw.get("messages") if isinstance(call.raw, dict) else None
    if call.root == FORM and isinstance(original, list):
        for message in original:
            if isinstance(message, dict) and message.get("role") not in ("user", "assistant"):
                return _refused(call, "messages: a role is user or assistant")
    return None


def _tool_choice(call: ChatCall) -> Refusal | None:
    choice = call.raw.get("tool_choice") if isinstance(call.raw, dict) else None
    kind = choice.get("type") if isinstance(choice, dict) else None
    if call.root == FORM and choice is not None and kind not in ("auto", "any", "none"):
        return _refused(call, "tool_choice: one of auto, any, none")
    return None


RULES: Mapping[str, tuple[Rule, ...]] = {
    "glm": (Rule("glm.anthropic.max_tokens", "D", "Messages without `max_tokens`: 400/1214", _max_tokens),),
    "kimi": (
        Rule("kimi.anthropic.max_tokens", "D", "Messages without `max_tokens`: 400", _max_tokens),
        Rule(
            "kimi.anthropic.role",
            "D",
            "Messages with a role other than user and assistant: 400",
            _system_role,
        ),
        Rule("kimi.anthropic.tool_choice", "D", "Messages with a named tool as choice: 400", _tool_choice),
    ),
}
BEHAVIOURS: Mapping[str, tuple[Behaviour, ...]] = {
    "glm": (
        Behaviour("glm.anthropic.error", "L", "Messages errors hold type, code and `[code][text][trace]`"),
        Behaviour("glm.anthropic.key", "DS", "Messages take the key as bearer or as `x-api-key`"),
        Behaviour("glm.anthropic.events", "?", "a Messages stream has Anthropic's events"),
    ),
    "kimi": (
        Behaviour("kimi.anthropic.error", "D", "Messages errors hold type, message and `request_id`"),
        Behaviour("kimi.anthropic.key", "D", "Messages take the key as bearer only"),
        Behaviour("kimi.anthropic.events", "D", "a Messages stream has Anthropic's events, without `ping`"),
        Behaviour("kimi.anthropic.effort", "D", "`output_config.effort` sets the effort of Messages"),
    ),
}


@dataclass(frozen=True, slots=True)
class MessagesRoot(OtherForm):
    """Answers in the form of Messages."""

    def credentials(self, headers: Mapping[str, str]) -> str:
        key = headers.get("x-api-key") if self.name == "glm" else None
        return self.inner.credentials(headers) if key is None else f"Bearer {key}"

    def as_chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return _as_chat(body)

    def completion(
        self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None
    ) -> dict[str, Any]:
        body = {
            **_opening(call, identity, fault),
            "content": [{"type": "text", "text": answer.content}] if answer.content else [],
            "stop_reason": _stop_reason(answer),
            "usage": _usage(call, answer.tokens),
        }
        body["content"] += list(_tool_uses(answer, identity))
        if fault is not None and fault.usage == "none":
            del body["usage"]
        return body

    def frames(self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None) -> StreamFrames:
        before = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"'
        )
        text = before + b'text_delta","text":'
        return StreamFrames(
            opening=(
                _event("message_start", message={**_opening(call, identity, fault), "content": []}),
                _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            ),
            reasoning=(text, b"}}\n\n"),
            content=(text, b"}}\n\n"),
            calls=(_event("content_block_stop", index=0), *_tool_frames(answer, identity)),
            closing=(
                _event(
                    "message_delta",
                    delta={"stop_reason": _stop_reason(answer), "stop_sequence": None},
                    usage={"output_tokens": answer.tokens},
                ),
                _event("message_stop"),
            ),
        )

    def error_body(self, row: ErrorRow, message: str | None) -> Any:
        text = row.message if message is None else message
        kind = _ERROR_TYPES.get(row.status, "api_error")
        if self.name == "glm":
            told = f"[{row.kind}][{text}][emulated-trace]"
            return {"type": "error", "error": {"type": kind, "code": row.kind, "message": told}}
        return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_emulated"}


def _as_chat(body: Mapping[str, Any]) -> dict[str, Any]:
    """The chat request that a Messages request amounts to."""
    chat = {
        name: body[name] for name in ("model", "max_tokens", "stream", "temperature", "top_p") if name in body
    }
    messages: list[Any] = []
    if system := text_of(body.get("system")):
        messages.append({"role": "system", "content": system})
    entries = body.get("messages")
    for message in entries if isinstance(entries, list) else []:
        messages.extend(_as_chat_messages(message) if isinstance(message, dict) else [message])
    chat["messages"] = messages
    if isinstance(tools := body.get("tools"), list):
        chat["tools"] = [_as_function(tool) for tool in tools]
    output = body.get("output_config")
    if isinstance(output, dict) and "effort" in output:
        chat["reasoning_effort"] = output["effort"]
    return chat


def _as_chat_messages(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A message of blocks becomes answers of tools, then what remains."""
    content = message.get("content")
    if not isinstance(content, list):
        yield dict(message)
        return
    blocks = [block for block in content if isinstance(block, dict)]
    for block in blocks:
        if block.get("type") == "tool_result":
            yield {
                "role": "tool",
                "tool_call_id": block.get("tool_use_id"),
                "content": text_of(block.get("content")) or "-",
            }
    parts = [part for block in blocks for part in _as_parts(block)]
    calls = [
        {
            "id": block.get("id"),
            "type": "function",
            "function": {"name": block.get("name"), "arguments": _encode(block.get("input")).decode()},
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    rest: dict[str, Any] = {"role": message.get("role"), "content": parts or None}
    if calls:
        # Thinking is not shown here, so nobody can bring it back.
        rest |= {"tool_calls": calls, "reasoning_content": "-"}
    if parts or calls:
        yield rest


def _as_parts(block: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if block.get("type") == "text":
        yield {"type": "text", "text": block.get("text")}
    source = block.get("source")
    if block.get("type") == "image" and isinstance(source, dict):
        url = f"data:{source.get('media_type')};base64,{source.get('data')}"
        yield {"type": "image_url", "image_url": {"url": source.get("url") or url}}


def _as_function(tool: Any) -> dict[str, Any]:
    fields = tool if isinstance(tool, dict) else {}
    return {
        "type": "function",
        "function": {
            "name": fields.get("name"),
            "description": fields.get("description", ""),
            "parameters": fields.get("input_schema"),
        },
    }


def _opening(call: ChatCall, identity: Identity, fault: Fault | None) -> dict[str, Any]:
    echoed = fault.echo_model if fault is not None else None
    return {
        "id": f"msg_{identity.digest[:24]}",
        "type": "message",
        "role": "assistant",
        "model": call.model_id if echoed is None else echoed,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(call, 0),
    }


def _usage(call: ChatCall, output_tokens: int) -> dict[str, int]:
    return {
        "input_tokens": call.prompt_tokens - call.cached_tokens,
        "cache_read_input_tokens": call.cached_tokens,
        "output_tokens": output_tokens,
    }


def _stop_reason(answer: Answer) -> str:
    return _STOP_REASONS.get(answer.finish_reason, answer.finish_reason)


def _tool_uses(answer: Answer, identity: Identity) -> Iterator[dict[str, Any]]:
    for number, call in enumerate(answer.calls):
        try:
            given = msgspec.json.decode(call.arguments)
        except msgspec.DecodeError:
            given = {}
        identifier = call.id or f"toolu_{identity.digest[:20]}{number:04x}"
        yield {"type": "tool_use", "id": identifier, "name": call.name, "input": given}


def _tool_frames(answer: Answer, identity: Identity) -> Iterator[bytes]:
    for index, block in enumerate(_tool_uses(answer, identity), start=1):
        arguments = _encode(block["input"]).decode()
        yield _event("content_block_start", index=index, content_block={**block, "input": {}})
        delta = {"type": "input_json_delta", "partial_json": arguments}
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\n".encode() + b"data: " + _encode({"type": kind, **fields}) + b"\n\n"
