"""Kimi's Responses: its K3 models behind the form of OpenAI's Responses, without any memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from typing_extensions import override

from exai_emulator.calls import ChatCall, ErrorRow, Refusal
from exai_emulator.faults import Fault
from exai_emulator.identities import Identity
from exai_emulator.kimi.catalog import family_of
from exai_emulator.other_forms import OtherForm
from exai_emulator.personas import Answer
from exai_emulator.rules import Behaviour, Rule
from exai_emulator.streaming import StreamFrames
from exai_emulator.tokens import pieces_of

__all__ = ["BEHAVIOURS", "FORM", "PATH", "RULES", "KimiResponses"]

PATH = "/v1/responses"
FORM = "responses"
_TOOLS = ("function", "namespace", "custom", "web_search")

_encode = msgspec.json.Encoder().encode


def _asked(call: ChatCall) -> Mapping[str, Any]:
    """The body as it was sent; empty at every other root."""
    return call.raw if call.root == FORM and isinstance(call.raw, dict) else {}


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", f"Invalid request: {message}")


def _model(call: ChatCall) -> Refusal | None:
    if call.root != FORM or family_of(call.model_id) == "k3":
        return None
    return Refusal("not_found", f"Not found the model {call.asked_model} or Permission denied")


def _memory(call: ChatCall) -> Refusal | None:
    kept = _asked(call).get("previous_response_id") is not None or _asked(call).get("store") is True
    return _bad("responses are not stored") if kept else None


def _choice(call: ChatCall) -> Refusal | None:
    return None if _asked(call).get("tool_choice", "auto") == "auto" else _bad("tool_choice is auto")


def _tools(call: ChatCall) -> Refusal | None:
    tools = _asked(call).get("tools")
    kinds = [tool.get("type") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    if any(kind not in _TOOLS for kind in kinds):
        return _bad(f"a tool is one of {', '.join(_TOOLS)}")
    return _bad("web_search is declared at most once") if kinds.count("web_search") > 1 else None


RULES = (
    Rule("kimi.responses.model", "D", "Responses of another model than K3: 404", _model),
    Rule("kimi.responses.memory", "D", "Responses with `store` or `previous_response_id`: 400", _memory),
    Rule("kimi.responses.tool_choice", "D", "Responses with another `tool_choice` than auto: 400", _choice),
    Rule("kimi.responses.tools", "D", "Responses with another tool, or two web searches: 400", _tools),
)
BEHAVIOURS = (
    Behaviour(
        "kimi.responses.events", "D", "frames have `event:` lines and a `sequence_number`; no `[DONE]`"
    ),
    Behaviour("kimi.responses.incomplete", "D", "a cap that is reached gives the status `incomplete`"),
    Behaviour("kimi.responses.usage", "D", "usage has `input_tokens_details` with cached and written tokens"),
)


@dataclass(frozen=True, slots=True)
class KimiResponses(OtherForm):
    """Answers in the form of Responses."""

    def as_chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        chat: dict[str, Any] = {name: body[name] for name in ("model", "stream") if name in body}
        messages: list[Any] = []
        if isinstance(instructions := body.get("instructions"), str):
            messages.append({"role": "system", "content": instructions})
        given = body.get("input")
        if isinstance(given, str):
            messages.append({"role": "user", "content": given})
        for item in given if isinstance(given, list) else []:
            messages.extend(_as_messages(item) if isinstance(item, dict) else [item])
        chat["messages"] = messages
        if (cap := body.get("max_output_tokens")) is not None:
            chat["max_completion_tokens"] = cap
        reasoning = body.get("reasoning")
        if isinstance(reasoning, dict) and reasoning.get("effort") is not None:
            chat["reasoning_effort"] = reasoning["effort"]
        tools = body.get("tools")
        functions = [
            {
                "type": "function",
                "function": {name: tool.get(name) for name in ("name", "description", "parameters")},
            }
            for tool in (tools if isinstance(tools, list) else [])
            if isinstance(tool, dict) and tool.get("type") == "function"
        ]
        if functions:
            chat["tools"] = functions
        text = body.get("text")
        form = text.get("format") if isinstance(text, dict) else None
        if isinstance(form, dict) and form.get("type") == "json_schema":
            chat["response_format"] = {"type": "json_schema", "json_schema": form}
        return chat

    def completion(
        self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None
    ) -> dict[str, Any]:
        body = _response(call, identity, _status(answer), _output(answer, identity))
        if answer.finish_reason == "length":
            body["incomplete_details"] = {"reason": "max_output_tokens"}
        body["usage"] = _usage(call, answer)
        if fault is not None and fault.echo_model is not None:
            body["model"] = fault.echo_model
        if fault is not None and fault.usage == "none":
            body["usage"] = None
        return body

    def frames(self, call: ChatCall, answer: Answer, identity: Identity, fault: Fault | None) -> StreamFrames:
        numbers = iter(range(1_000_000))

        def event(kind: str, **fields: Any) -> bytes:
            data = {"type": kind, "sequence_number": next(numbers), **fields}
            return f"event: {kind}\n".encode() + b"data: " + _encode(data) + b"\n\n"

        begun = _response(call, identity, "in_progress", [])
        opening = [event("response.created", response=begun), event("response.in_progress", response=begun)]
        said: list[bytes] = []
        output = _output(answer, identity)
        for index, item in enumerate(output):
            said += _item_frames(event, index, item)
        whole = self.completion(call, answer, identity, fault)
        closing = (event(f"response.{whole['status']}", response=whole),)
        nothing = (b"", b"")
        return _Numbered(tuple(opening), nothing, nothing, closing, said=said)

    def stream_error(self, row: ErrorRow, message: str | None) -> Any:
        text = row.message if message is None else message
        return {"type": "error", "code": row.kind, "message": text, "param": None, "sequence_number": 0}


@dataclass(slots=True)
class _Numbered(StreamFrames):
    """Frames that are numbered, and so are made one by one."""

    said: Sequence[bytes] = ()

    @override
    def of_text(self, answer: Answer) -> Iterator[bytes]:
        return iter(self.said)


def _item_frames(event: Any, index: int, item: Mapping[str, Any]) -> Iterator[bytes]:
    """An item of the output as it grows."""
    place = {"output_index": index, "item_id": item["id"]}
    if item["type"] == "function_call":
        yield event(
            "response.output_item.added",
            output_index=index,
            item={**item, "arguments": "", "status": "in_progress"},
        )
        yield event("response.function_call_arguments.delta", **place, delta=item["arguments"])
        yield event("response.function_call_arguments.done", **place, arguments=item["arguments"])
    else:
        (part,) = item["content"]
        yield event(
            "response.output_item.added",
            output_index=index,
            item={**item, "content": [], "status": "in_progress"},
        )
        yield event("response.content_part.added", **place, content_index=0, part={**part, "text": ""})
        for piece in pieces_of(part["text"]):
            yield event("response.output_text.delta", **place, content_index=0, delta=piece, logprobs=[])
        yield event("response.output_text.done", **place, content_index=0, text=part["text"], logprobs=[])
        yield event("response.content_part.done", **place, content_index=0, part=part)
    yield event("response.output_item.done", output_index=index, item=item)


def _as_messages(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    kind = item.get("type", "message")
    if kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        # Thinking is not shown here, so nobody can bring it back.
        yield {
            "role": "assistant",
            "content": None,
            "reasoning_content": "-",
            "tool_calls": [{"id": item.get("call_id"), "type": "function", "function": function}],
        }
    elif kind == "function_call_output":
        yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output") or "-"}
    elif kind == "message":
        content = item.get("content")
        parts = (
            [_as_part(part) for part in content if isinstance(part, dict)]
            if isinstance(content, list)
            else content
        )
        yield {"role": item.get("role"), "content": parts}


def _as_part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    return {"type": "text", "text": part.get("text")}


def _response(
    call: ChatCall, identity: Identity, status: str, output: list[dict[str, Any]]
) -> dict[str, Any]:
    asked = _asked(call)
    return {
        "id": f"resp_{identity.digest[:32]}",
        "object": "response",
        "created_at": identity.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.get("instructions"),
        "max_output_tokens": asked.get("max_output_tokens"),
        "metadata": asked.get("metadata") or {},
        "model": call.model_id,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": call.body.get("reasoning_effort", "max"), "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": asked.get("text") or {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": asked.get("tools") or [],
        "top_p": 0.95,
        "truncation": "disabled",
        "usage": None,
    }


def _status(answer: Answer) -> str:
    return "incomplete" if answer.finish_reason == "length" else "completed"


def _output(answer: Answer, identity: Identity) -> list[dict[str, Any]]:
    """A message where something was said, then the calls."""
    items: list[dict[str, Any]] = []
    if answer.content:
        items.append(
            {
                "type": "message",
                "id": f"msg_{identity.digest[:32]}",
                "status": _status(answer),
                "role": "assistant",
                "content": [{"type": "output_text", "text": answer.content, "annotations": []}],
            }
        )
    for number, call in enumerate(answer.calls):
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{identity.digest[:28]}{number:04x}",
                "call_id": call.id or f"{call.name}:{number}",
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            }
        )
    return items


def _usage(call: ChatCall, answer: Answer) -> dict[str, Any]:
    return {
        "input_tokens": call.prompt_tokens,
        "input_tokens_details": {"cached_tokens": call.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": answer.tokens,
        "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        "total_tokens": call.prompt_tokens + answer.tokens,
    }
