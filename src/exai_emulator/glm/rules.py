"""Where GLM refuses, in the order of its checks."""

import re
from typing import Any

from exai_emulator.calls import PLAN_ROOT, ChatCall, Refusal
from exai_emulator.glm.limits import LIMIT_BEHAVIOURS, LIMIT_RULES
from exai_emulator.glm.parts import PART_RULES
from exai_emulator.rules import Behaviour, KeyRule, Rule
from exai_emulator.shapes import (
    as_int,
    fields,
    function_tools,
    is_number,
    parts_of,
    tool_entries,
)

__all__ = [
    "BEHAVIOURS",
    "CLOCKED",
    "CODING",
    "GENERAL",
    "KNOWN_FIELDS",
    "RULES",
    "SWAP",
    "UNSAFE_INPUT",
    "UNSAFE_OUTPUT",
]

GENERAL, CODING = "general", PLAN_ROOT
CLOCKED = "glm.auth.emulated_clock"
SWAP = "glm.coding.swap"
UNSAFE_INPUT = "emulated-unsafe-input"
"""A message with this word is refused as unsafe."""
UNSAFE_OUTPUT = "emulated-unsafe-output"
"""A message with this word gets an answer that the filter ends."""

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_TOOLS = 128
_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_VISION_PARTS = ("text", "image_url", "video_url", "file", "file_url")
_TEXT_ONLY = "messages.content.type is invalid, allowed values: ['text']"

KNOWN_FIELDS = fields(
    "model messages stream stream_options thinking reasoning_effort do_sample temperature top_p max_tokens"
    " tools tool_choice tool_stream stop response_format request_id user_id sensitive_word_check meta"
    " watermark_enabled seed"
) | fields(
    "frequency_penalty presence_penalty logit_bias logprobs top_logprobs n top_k parallel_tool_calls"
    " service_tier store verbosity prediction prompt_cache_key safety_identifier repetition_penalty metadata"
    " max_completion_tokens"
)
"""The documented fields, and those that recordings show as ignored."""


def _bad(message: str) -> Refusal:
    return Refusal("1210", message)


def _out_of_range(call: ChatCall, field: str, low: float, high: float) -> Refusal | None:
    value = call.body[field]
    if value is None or (is_number(value) and low <= value <= high):
        return None
    return _bad(f"{field} parameter is illegal: it is between {low:g} and {high:g}")


def _wrong_length(call: ChatCall, field: str, low: int, high: int) -> Refusal | None:
    value = call.body[field]
    if value is None or (isinstance(value, str) and low <= len(value) <= high):
        return None
    return Refusal("1214", f"{field} has between {low} and {high} characters")


def _json_object(call: ChatCall) -> Refusal | None:
    return None if isinstance(call.raw, dict) else Refusal("1210")


def _model_present(call: ChatCall) -> Refusal | None:
    return None if call.asked_model else Refusal("1213", "model was not received")


def _model_known(call: ChatCall) -> Refusal | None:
    return None if call.model is not None else Refusal("1211")


def _messages_present(call: ChatCall) -> Refusal | None:
    messages = call.body.get("messages")
    if isinstance(messages, list) and messages and all(isinstance(entry, dict) for entry in messages):
        return None
    return Refusal("1214", "messages parameter is illegal: it cannot be empty", content_type=False)


def _messages_roles(call: ChatCall) -> Refusal | None:
    if all(
        message.get("role") in _ROLES for message in call.messages if isinstance(message.get("role"), str)
    ):
        missing = any(not isinstance(message.get("role"), str) for message in call.messages)
        return (
            Refusal("1214", "messages[].role:role cannot be empty", content_type=False) if missing else None
        )
    return Refusal("1214", "Incorrect role information", content_type=False)


def _messages_user(call: ChatCall) -> Refusal | None:
    if any(role in {"user", "tool"} for role, _ in call.texts):
        return None
    return Refusal("1214", "messages hold neither a user nor a tool message", content_type=False)


def _content_type(call: ChatCall) -> Refusal | None:
    for message in call.messages:
        content = message.get("content")
        called = message.get("role") == "assistant" and message.get("tool_calls")
        if not isinstance(content, str | list) and not (content is None and called):
            return Refusal("1214", "messages[].content:content cannot be empty", content_type=False)
    return None


def _content_parts(call: ChatCall) -> Refusal | None:
    for message in call.messages:
        for part in parts_of(message):
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                return Refusal("1214", "messages[].content[].type:type cannot be empty", content_type=False)
    return None


def _text_model(call: ChatCall) -> Refusal | None:
    if call.model is None or call.model.vision:
        return None
    for message in call.messages:
        if any(isinstance(part, dict) and part.get("type") != "text" for part in parts_of(message)):
            return Refusal("1210", _TEXT_ONLY, content_type=False)
    return None


def _vision_model(call: ChatCall) -> Refusal | None:
    for message in call.messages:
        for part in parts_of(message):
            if isinstance(part, dict) and part.get("type") not in _VISION_PARTS:
                return _bad(f"messages.content.type is invalid, allowed values: {list(_VISION_PARTS)}")
    return None


def _max_tokens(call: ChatCall) -> Refusal | None:
    value, most = call.body["max_tokens"], call.model.max_output if call.model is not None else 131_072
    number = as_int(value)
    if value is None or (number is not None and 1 <= number <= most):
        return None
    return _bad(f"max_tokens parameter is illegal: it is between 1 and {most}")


def _effort(call: ChatCall) -> Refusal | None:
    value = call.body["reasoning_effort"]
    if value is None or call.model is None or not call.model.efforts or value in call.model.efforts:
        return None
    return _bad(f"reasoning_effort is invalid, allowed values: {list(call.model.efforts)}")


def _thinking_shape(call: ChatCall) -> Refusal | None:
    value = call.body["thinking"]
    if value is None:
        return None
    fits = (
        isinstance(value, dict)
        and value.get("type", "enabled") in ("enabled", "disabled")
        and isinstance(value.get("clear_thinking", True), bool)
    )
    return None if fits else _bad("thinking.type is invalid, allowed values: ['enabled', 'disabled']")


def _always_thinks(call: ChatCall) -> Refusal | None:
    value = call.body["thinking"]
    off = isinstance(value, dict) and value.get("type") == "disabled"
    if off and call.root == GENERAL and call.model is not None and call.model.thinking == "always":
        return _bad(f"{call.model.id} always thinks: thinking.type cannot be disabled")
    return None


def _boolean(field: str) -> Any:
    def check(call: ChatCall) -> Refusal | None:
        value = call.body[field]
        return None if value is None or isinstance(value, bool) else _bad(f"{field} parameter is illegal")

    return check


def _response_format(call: ChatCall) -> Refusal | None:
    value = call.body["response_format"]
    known = isinstance(value, dict) and value.get("type") in ("text", "json_object", "json_schema")
    return None if value is None or known else _bad("response_format.type is invalid")


def _tools_type(call: ChatCall) -> Refusal | None:
    for number, tool in enumerate(tool_entries(call.body)):
        if not isinstance(tool, dict) or not tool.get("type"):
            return Refusal("1214", f"tools[{number}].type:type cannot be empty.", content_type=False)
    return None


def _tools_kind(call: ChatCall) -> Refusal | None:
    for number, tool in enumerate(tool_entries(call.body)):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in ("function", "web_search", "retrieval", "mcp"):
            return Refusal("1214", f"tools[{number}].type:type is invalid", content_type=False)
    return None


def _tools_count(call: ChatCall) -> Refusal | None:
    return _bad(f"At most {_TOOLS} tools are allowed") if len(tool_entries(call.body)) > _TOOLS else None


def _tools_function(call: ChatCall) -> Refusal | None:
    for function in function_tools(call.body):
        name = function.get("name")
        if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
            return Refusal("1214", "tools[].function.name is invalid", content_type=False)
    return None


def _web_search_engine(call: ChatCall) -> Refusal | None:
    for tool in tool_entries(call.body):
        if isinstance(tool, dict) and tool.get("type") == "web_search":
            search = tool.get("web_search")
            if not isinstance(search, dict) or not search.get("search_engine"):
                return Refusal("1214", "web_search.search_engine cannot be empty", content_type=False)
    return None


def _metadata(call: ChatCall) -> Refusal | None:
    return Refusal("1210") if isinstance(call.body["metadata"], dict) else None


def _request_id_reuse(call: ChatCall) -> Refusal | None:
    request_id = call.body["request_id"]
    if not isinstance(request_id, str):
        return None
    if request_id in call.account.request_ids:
        return Refusal("1231")
    call.account.request_ids.add(request_id)
    return None


def _prompt_length(call: ChatCall) -> Refusal | None:
    return Refusal("1261") if call.model is not None and call.prompt_tokens > call.model.context else None


def _unsafe(call: ChatCall) -> Refusal | None:
    return Refusal("1301") if any(UNSAFE_INPUT in text for _, text in call.texts) else None


def _known_fields(call: ChatCall) -> Refusal | None:
    unknown = sorted(call.body.keys() - KNOWN_FIELDS)
    return _bad(f"Unknown parameter: {', '.join(unknown)}") if unknown else None


RULES: tuple[Rule | KeyRule, ...] = (
    KeyRule("glm.auth.missing", "DL", "no bearer key: 401/1001", "missing", Refusal("1001")),
    KeyRule("glm.auth.token", "DL", "a wrong key or signature: 401/1002", "bad", Refusal("1002")),
    KeyRule("glm.auth.expired", "DS", "a signed token past its `exp`: 401/1003", "expired", Refusal("1003")),
    Rule("glm.json.object", "?", "a body that is no JSON object: 400/1210", _json_object),
    Rule("glm.model.present", "D", "no `model`: 400/1213", _model_present),
    Rule("glm.model.known", "DL", "an unknown model: 400/1211", _model_known),
    Rule("glm.messages.present", "D", "no messages: 400/1214 without Content-Type", _messages_present),
    Rule(
        "glm.messages.role", "D", "a role other than system, user, assistant, tool: 400/1214", _messages_roles
    ),
    Rule("glm.messages.user", "D", "only system and assistant messages: 400/1214", _messages_user),
    Rule("glm.content.type", "?", "content that is neither text nor parts: 400/1214", _content_type),
    Rule("glm.content.parts", "?", "a part without a type: 400/1214", _content_parts),
    Rule(
        "glm.content.text_model",
        "W",
        "another part than text on a text model: 400/1210, no Content-Type",
        _text_model,
    ),
    Rule(
        "glm.content.vision_model",
        "D",
        "a part other than text, image_url, video_url, file and file_url: 400/1210",
        _vision_model,
    ),
    *PART_RULES,
    Rule(
        "glm.temperature.range",
        "D",
        "`temperature` outside 0 to 1: 400/1210",
        lambda call: _out_of_range(call, "temperature", 0, 1),
        "temperature",
    ),
    Rule(
        "glm.top_p.range",
        "D",
        "`top_p` outside 0.01 to 1: 400/1210",
        lambda call: _out_of_range(call, "top_p", 0.01, 1),
        "top_p",
    ),
    Rule(
        "glm.max_tokens.range", "D", "`max_tokens` above the model's cap: 400/1210", _max_tokens, "max_tokens"
    ),
    Rule("glm.stream.boolean", "?", "`stream` that is no boolean: 400/1210", _boolean("stream"), "stream"),
    Rule(
        "glm.do_sample.boolean",
        "D",
        "`do_sample` that is no boolean: 400/1210",
        _boolean("do_sample"),
        "do_sample",
    ),
    Rule(
        "glm.effort.value",
        "DW",
        "an effort that the model lacks (5.3: low, high, max): 400/1210",
        _effort,
        "reasoning_effort",
    ),
    Rule("glm.thinking.shape", "D", "`thinking` of another shape: 400/1210", _thinking_shape, "thinking"),
    Rule(
        "glm.thinking.always_on",
        "L",
        "thinking disabled on 5.3 at the general root: 400/1210",
        _always_thinks,
        "thinking",
    ),
    Rule(
        "glm.response_format.type",
        "D",
        "an unknown response format: 400/1210",
        _response_format,
        "response_format",
    ),
    Rule("glm.tools.count", "D", "more than 128 tools: 400/1210", _tools_count, "tools"),
    Rule("glm.tools.type", "DW", "a tool without type: 400/1214 without Content-Type", _tools_type, "tools"),
    Rule("glm.tools.kind", "D", "a tool of unknown type: 400/1214", _tools_kind, "tools"),
    Rule(
        "glm.tools.function_name",
        "D",
        "a function name outside [a-zA-Z0-9_-]{1,64}: 400/1214",
        _tools_function,
        "tools",
    ),
    Rule(
        "glm.web_search.engine",
        "D",
        "a web_search tool without engine: 400/1214",
        _web_search_engine,
        "tools",
    ),
    Rule("glm.metadata.object", "W", "`metadata` as an object: 400/1210", _metadata, "metadata"),
    Rule(
        "glm.request_id.length",
        "D",
        "`request_id` not of 6 to 64 characters: 400/1214",
        lambda call: _wrong_length(call, "request_id", 6, 64),
        "request_id",
    ),
    Rule(
        "glm.user_id.length",
        "D",
        "`user_id` not of 6 to 128 characters: 400/1214",
        lambda call: _wrong_length(call, "user_id", 6, 128),
        "user_id",
    ),
    Rule(
        "glm.fields.known",
        "?",
        "a field outside documentation and recordings: 400/1210",
        _known_fields,
        default=False,
    ),
    Rule("glm.prompt.length", "D", "a prompt above the context: 400/1261", _prompt_length),
    Rule("glm.input.unsafe", "D", f"the word {UNSAFE_INPUT} in a message: 400/1301", _unsafe),
    *LIMIT_RULES,
    Rule(
        "glm.request_id.reuse",
        "D",
        "a `request_id` for the second time: 400/1231",
        _request_id_reuse,
        "request_id",
    ),
)

BEHAVIOURS: tuple[Behaviour, ...] = (
    *LIMIT_BEHAVIOURS,
    Behaviour(
        CLOCKED,
        "?",
        "a signed token's expiry is judged by the emulator's clock instead of the machine's",
        switchable=True,
        default=False,
    ),
    Behaviour(
        "glm.auth.raw_and_signed",
        "S",
        "the raw key and an HS256 token with times in milliseconds are accepted",
    ),
    Behaviour(
        "glm.errors.envelope", "W", "errors are `error.code` (a string) and `error.message`, without `type`"
    ),
    Behaviour("glm.errors.no_retry_header", "W", "no 429 carries Retry-After or any rate-limit header"),
    Behaviour("glm.model.case", "L", "model ids are matched without regard to case"),
    Behaviour(
        SWAP, "L", "the coding root answers glm-4.6 and glm-4.5-air with another model", switchable=True
    ),
    Behaviour("glm.fields.ignored", "W", "the OpenAI fields of the recordings are accepted without effect"),
    Behaviour("glm.json_schema.ignored", "DL", "`json_schema` and `tool_choice` values have no effect"),
    Behaviour(
        "glm.json_mode.schema", "?", "in JSON mode an answer is an object by the schema that the prompt tells"
    ),
    Behaviour("glm.json_mode.tokens", "W", "JSON mode adds about 60 prompt tokens"),
    Behaviour(
        "glm.id.form", "W", "`id` is a UTC+8 time and 16 hex digits, equal to X-LOG-ID and `request_id`"
    ),
    Behaviour("glm.usage.details", "W", "`cached_tokens` and `reasoning_tokens` are always present"),
    Behaviour("glm.reasoning.absent", "W", "`reasoning_content` is absent when nothing was reasoned"),
    Behaviour("glm.effort.low", "W", "effort `low` gives no reasoning"),
    Behaviour(
        "glm.thinking.first", "W", "thinking uses up the cap first: empty content with finish `length`"
    ),
    Behaviour(
        "glm.stream.role", "W", "`role` stands in every delta; `finish_reason` is absent until the end"
    ),
    Behaviour("glm.stream.usage", "W", "the last chunk carries `usage`, asked for or not"),
    Behaviour("glm.output.sensitive", "D", f"the word {UNSAFE_OUTPUT} in a message: finish `sensitive`"),
    Behaviour(
        "glm.tool_calls.form",
        "D",
        "a call's id is `call_` and hex digits; streams bring each call whole, or in pieces on `tool_stream`",
    ),
    Behaviour(
        "glm.models.list",
        "?",
        "`GET /models` lists the catalogue in OpenAI's form; no documentation names it",
    ),
    Behaviour("glm.route.unknown", "?", "an unknown route with a good key: 404 in the envelope"),
    Behaviour("glm.stream.error_frame", "SI", "an error inside a stream is an `error` frame, then the end"),
)
