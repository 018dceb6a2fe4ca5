"""Every rule refuses what it says it refuses, in the provider's own words, and can be switched off."""

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest

from exai_emulator import AccountState, Emulator, EmulatorOptions
from exai_emulator.emulator import CONFORMANCE
from exai_emulator.rules import MARKS, Behaviour, Rule

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
WIDE_PNG = (
    "data:image/png;base64,"
    + base64.b64encode(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (6_001).to_bytes(4, "big") + (1).to_bytes(4, "big")
    ).decode()
)
PLACED_FIRST = "file_5061327fdedb17032301"
"""The id of the first file that is placed in a fresh emulator."""
PLACED_LARGE = "file_large"
AT = "https://emulated.invalid/a.pdf"
CUSTOM_KEY = EmulatorOptions().custom_key
USER = {"role": "user", "content": "Say hello."}
SYSTEM = {"role": "system", "content": "Be brief."}
FUNCTION = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "look:0", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
}


def part(shown: dict[str, Any], model: str, *more: dict[str, Any]) -> dict[str, Any]:
    parts = [{"type": "text", "text": "What is this?"}, shown, *more]
    return {"model": model, "messages": [{"role": "user", "content": parts}]}


def image(url: Any, model: str) -> dict[str, Any]:
    return part({"type": "image_url", "image_url": {"url": url}}, model)


def shown_file(**file: str) -> dict[str, Any]:
    return {"type": "file", "file": file}


def tool(**changes: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {**FUNCTION, **changes}}]}


def builtin(name: str) -> dict[str, Any]:
    return {"tools": [{"type": "builtin_function", "function": {"name": name}}]}


SEARCHED = [
    USER,
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "I search.",
        "tool_calls": [
            {
                "id": "$web_search:0",
                "type": "builtin_function",
                "function": {
                    "name": "$web_search",
                    "arguments": '{"search_result":{"search_id":"invented"}}',
                },
            }
        ],
    },
    {
        "role": "tool",
        "tool_call_id": "$web_search:0",
        "content": '{"search_result":{"search_id":"invented"}}',
    },
]


def answer_schema(schema: Any, name: str = "answer") -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}}


def property_schema(schema: Any, **root: Any) -> dict[str, Any]:
    return answer_schema({"type": "object", "properties": {"a": schema}, **root})


def content(value: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": value}]}


@dataclass
class Example:
    """A request that breaks one rule, and the answer to it."""

    fields: dict[str, Any]
    status: int
    code: str
    """GLM's code, Kimi's type, OpenAI's type."""
    message: str = ""
    """What the text holds, where it is known."""
    account: AccountState | None = None
    typed: bool = True
    """Whether the answer has a Content-Type."""
    options: dict[str, Any] = field(default_factory=dict)
    door: str = ""
    """Where it is sent, when not to the provider's general root."""


def glm(fields: dict[str, Any], code: str = "1210", message: str = "", **more: Any) -> Example:
    limited = {"1302", "1113", "1304", "1308", "1309", "1310"}
    status = 429 if code in limited else 400
    return Example(fields, status, code, message, **more)


def kimi(fields: dict[str, Any], message: str = "", **more: Any) -> Example:
    return Example(fields, 400, "invalid_request_error", message, **more)


def dialect(name: str) -> dict[str, Any]:
    return {"custom_dialect": name}


def kimi_404(model: str, **more: Any) -> Example:
    said = f"Not found the model {model} or Permission denied"
    return Example({"model": model}, 404, "resource_not_found_error", said, **more)


TEXT_ONLY = "messages.content.type is invalid, allowed values: ['text']"
UNSAFE = content("this is emulated-unsafe-input")

EXAMPLES: dict[str, Example] = {
    "glm.json.object": glm({"raw": "[]"}, "1210"),
    "glm.model.present": glm({"model": None}, "1213"),
    "glm.model.known": glm({"model": "glm-5.2[1m]"}, "1211", "Unknown Model, please check the model code."),
    "glm.messages.present": glm({"messages": []}, "1214", typed=False),
    "glm.messages.role": glm(
        {"messages": [USER, {"role": "developer", "content": "x"}]}, "1214", typed=False
    ),
    "glm.messages.user": glm({"messages": [SYSTEM]}, "1214", typed=False),
    "glm.content.type": glm(content(7), "1214", typed=False),
    "glm.content.parts": glm(content([{"text": "x"}]), "1214", typed=False),
    "glm.content.text_model": glm(image(PNG, "glm-5.3"), "1210", TEXT_ONLY, typed=False),
    "glm.image.data": glm(image("data:image/gif;base64,R0lGOA==", "glm-5.3-flash")),
    "glm.image.pixels": glm(image(WIDE_PNG, "glm-5.3-flash")),
    "glm.video.address": glm(
        part({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}, "glm-5.3-flash")
    ),
    "glm.content.vision_model": glm(part({"type": "input_file", "file_id": "x"}, "glm-5.3-flash")),
    "glm.file.count": glm(part(shown_file(file_url=AT), "glm-5.3-flash", *[shown_file(file_url=AT)] * 50)),
    "glm.file.size": glm(part(shown_file(file_id=PLACED_LARGE), "glm-5.3-flash")),
    "glm.file.address": glm(part(shown_file(file_url="ftp://emulated.invalid/a.pdf"), "glm-5.3-flash")),
    "glm.file.kind": glm(part(shown_file(file_data="dGV4dA==", filename="a.txt"), "glm-5.3-flash")),
    "glm.file.readable": glm(part(shown_file(file_data="AAAA", filename="a.pdf"), "glm-5.3-flash")),
    "glm.file.shape": glm(part({"type": "file", "file": {}}, "glm-5.3-flash")),
    "glm.file.purpose": glm(part({"type": "file", "file": {"file_id": "none"}}, "glm-5.3-flash")),
    "glm.file.mixed": glm(
        part(
            {"type": "file", "file": {"file_url": "https://emulated.invalid/a.pdf"}},
            "glm-5.3-flash",
            {"type": "image_url", "image_url": {"url": PNG}},
        )
    ),
    "glm.temperature.range": glm({"temperature": 1.5}),
    "glm.top_p.range": glm({"top_p": 0}),
    "glm.max_tokens.range": glm({"max_tokens": 131_073}),
    "glm.stream.boolean": glm({"stream": "yes"}),
    "glm.do_sample.boolean": glm({"do_sample": 1}),
    "glm.effort.value": glm({"reasoning_effort": "medium"}),
    "glm.thinking.shape": glm({"thinking": True}),
    "glm.thinking.always_on": glm({"thinking": {"type": "disabled"}}),
    "glm.response_format.type": glm({"response_format": {"type": "xml"}}),
    "glm.tools.count": glm({"tools": tool()["tools"] * 129}),
    "glm.tools.type": glm({"tools": [{}]}, "1214", "tools[0].type:type cannot be empty.", typed=False),
    "glm.tools.kind": glm({"tools": [{"type": "builtin_function"}]}, "1214", typed=False),
    "glm.tools.function_name": glm(tool(name="a b"), "1214", typed=False),
    "glm.web_search.engine": glm({"tools": [{"type": "web_search", "web_search": {}}]}, "1214", typed=False),
    "glm.metadata.object": glm(
        {"metadata": {}}, "1210", "Invalid API parameter, please check the documentation."
    ),
    "glm.request_id.length": glm({"request_id": "five5"}, "1214"),
    "glm.user_id.length": glm({"user_id": "u" * 129}, "1214"),
    "glm.fields.known": glm({"invented": 1}),
    "glm.prompt.length": glm(content("w" * 600), "1261", options={"context_windows": {"glm-5.3": 100}}),
    "glm.input.unsafe": glm(UNSAFE, "1301"),
    "glm.account.suspended": Example({}, 401, "1112", account=AccountState(suspended=True)),
    "glm.account.plan_expired": glm({}, "1309", door="glm_coding", account=AccountState(plan_ends_at=0)),
    "glm.account.plan_window": glm({}, "1308", door="glm_coding", account=AccountState(plan_window_calls=0)),
    "glm.account.plan_week": glm({}, "1310", door="glm_coding", account=AccountState(plan_week_calls=0)),
    "glm.account.daily": glm({}, "1304", account=AccountState(daily_calls=0)),
    "glm.account.plan_only": glm({}, "1113", account=AccountState(balance=0, plan_only=True)),
    "glm.account.balance": glm({}, "1113", account=AccountState(balance=0)),
    "glm.account.concurrency": glm({}, "1302", account=AccountState(concurrency=0)),
    "glm.anthropic.max_tokens": glm({}, "1214", door="glm_anthropic"),
    "glm.request_id.reuse": glm({"request_id": "used-before"}, "1231"),
    "kimi.json.object": kimi({"raw": "not json"}),
    "kimi.model.retired": kimi_404("kimi-k2.5"),
    "kimi.model.known": kimi_404("kimi-k9"),
    "kimi.model.locked": kimi_404("kimi-k3", account=AccountState(locked_models=("kimi-k3",))),
    "kimi.messages.present": kimi({"messages": None}),
    "kimi.messages.role": kimi({"messages": [{"role": "developer", "content": "x"}]}),
    "kimi.content.type": kimi(content(7)),
    "kimi.content.empty": kimi(
        {"messages": [USER, {"role": "assistant", "content": ""}, USER]},
        "Invalid request: the message at position 1 with role 'assistant' must not be empty",
    ),
    "kimi.parts.type": kimi(content([{"type": "file", "file": {}}])),
    "kimi.image.url": kimi(image("https://emulated.invalid/a.png", "kimi-k3"), "unsupported image url"),
    "kimi.image.svg": kimi(image("data:image/svg+xml;base64,PHN2Zz4=", "kimi-k3")),
    "kimi.image.data": kimi(image("data:image/png;base64,***", "kimi-k3")),
    "kimi.video.url": kimi(
        part({"type": "video_url", "video_url": {"url": "https://emulated.invalid/a.mp4"}}, "kimi-k3")
    ),
    "kimi.video.data": kimi(
        part({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}, "kimi-k3")
    ),
    "kimi.file.known": kimi(image("ms://file_none", "kimi-k3"), "not found"),
    "kimi.file.purpose": kimi(image(f"ms://{PLACED_FIRST}", "kimi-k3"), "not usable as image"),
    "kimi.partial.last": kimi({"messages": [{"role": "assistant", "content": "H", "partial": True}, USER]}),
    "kimi.partial.json": kimi(
        {
            "messages": [USER, {"role": "assistant", "content": "{", "partial": True}],
            "response_format": {"type": "json_object"},
        }
    ),
    "kimi.messages.tools": kimi({"model": "kimi-k2.6", "messages": [{"role": "system", **tool()}, USER]}),
    "kimi.stream.boolean": kimi({"stream": 1}),
    "kimi.sampling.number": kimi({"temperature": "1"}),
    "kimi.temperature.fixed": kimi(
        {"temperature": 0.7}, "invalid temperature: only 1 is allowed for this model"
    ),
    "kimi.top_p.fixed": kimi({"top_p": 1}, "invalid top_p: only 0.95 is allowed for this model"),
    "kimi.n.fixed": kimi({"n": 2}, "invalid n: only 1 is allowed for this model"),
    "kimi.frequency_penalty.fixed": kimi(
        {"frequency_penalty": 0.1}, "invalid frequency_penalty: only 0 is allowed for this model"
    ),
    "kimi.presence_penalty.fixed": kimi(
        {"presence_penalty": 1}, "invalid presence_penalty: only 0 is allowed for this model"
    ),
    "kimi.logprobs.fixed": kimi({"logprobs": True}, "invalid logprobs: only false is allowed for this model"),
    "kimi.top_logprobs.alone": kimi(
        {"top_logprobs": 3}, "Invalid request: logprobs must be set to true if top_logprobs is used"
    ),
    "kimi.logit_bias.unsupported": kimi(
        {"logit_bias": {}}, "Invalid request: logit_bias is not supported yet"
    ),
    "kimi.thinking.both": kimi(
        {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
        "cannot specify both 'thinking' and 'reasoning_effort'",
    ),
    "kimi.thinking.shape": kimi({"model": "kimi-k2.6", "thinking": True}),
    "kimi.thinking.family": kimi({"thinking": {"type": "enabled"}}),
    "kimi.thinking.always_on": kimi(
        {"model": "kimi-k2.7-code", "thinking": {"type": "disabled"}},
        "invalid thinking: only type=enabled is allowed for this model",
    ),
    "kimi.effort.family": kimi({"model": "kimi-k2.6", "reasoning_effort": "low"}),
    "kimi.effort.value": kimi({"reasoning_effort": "none"}),
    "kimi.response_format.type": kimi({"response_format": {"type": "json_schema"}}),
    "kimi.schema.name": kimi(answer_schema({"type": "object"}, "")),
    "kimi.schema.types": kimi(
        property_schema({"enum": ["x"]}),
        "response_format.json_schema is not a valid moonshot flavored json schema, details:"
        " <At path 'properties.a': type is not defined>",
    ),
    "kimi.schema.beside": kimi(
        property_schema({"type": "string", "anyOf": [{"type": "string"}, {"type": "null"}]}),
        "<At path 'properties.a': when using anyOf, type should be defined in anyOf items instead of the parent",
    ),
    "kimi.schema.references": kimi(
        property_schema({"$ref": "#/definitions/A"}),
        "<At path 'properties.a.$ref': references must start with #/$defs/>",
    ),
    "kimi.schema.keywords": kimi(property_schema({"type": "string", "format": "uuid"}), "'format'"),
    "kimi.schema.values": kimi(property_schema({"type": "integer", "enum": [3.67]}), "enum value"),
    "kimi.schema.size": kimi(property_schema({"anyOf": [{"type": "null"}] * 11}), "1-10 items"),
    "kimi.tools.schema": kimi(
        tool(parameters={"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}),
        "tools.function.parameters is not a valid moonshot flavored json schema",
    ),
    "kimi.stop.count": kimi({"stop": list("abcdef")}),
    "kimi.stop.bytes": kimi({"stop": "é" * 17}),
    "kimi.cap.both": kimi({"max_tokens": 1, "max_completion_tokens": 2}),
    "kimi.cap.positive": kimi({"max_tokens": 0}),
    "kimi.tools.type": kimi(
        {"tools": [{"function": FUNCTION}]},
        "Invalid request: unknown tool type: , currently only function and plugin are supported",
    ),
    "kimi.tools.name": kimi(tool(name="1st")),
    "kimi.tools.duplicate": kimi({"tools": tool()["tools"] * 2}),
    "kimi.tools.parameters": kimi(tool(parameters=None)),
    "kimi.tool_choice.value": kimi({"tool_choice": "any"}),
    "kimi.tool_choice.named": kimi(
        {**tool(), "tool_choice": {"type": "function", "function": {"name": "look"}}},
        "tool_choice 'specified' is incompatible with thinking enabled",
    ),
    "kimi.tool_choice.required": kimi({"model": "kimi-k2.6", **tool(), "tool_choice": "required"}),
    "kimi.functions.legacy": kimi({"functions": [FUNCTION]}),
    "kimi.tool_loop.reasoning": kimi(
        {"messages": [USER, CALLED, {"role": "tool", "tool_call_id": "look:0", "content": "seen"}]},
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1",
    ),
    "kimi.tool_loop.answers": kimi(
        {"messages": [USER, {**CALLED, "reasoning_content": "I look."}, USER]}, "look:0"
    ),
    "kimi.builtin.known": kimi(builtin("$draw"), "unknown builtin function: $draw"),
    "kimi.web_search.family": kimi(builtin("$web_search"), "not supported by this model"),
    "kimi.web_search.thinking": kimi(
        {"model": "kimi-k2.6", **builtin("$web_search")}, "incompatible with thinking enabled"
    ),
    "kimi.web_search.declared": kimi({"messages": SEARCHED}, "$web_search is not declared in tools"),
    "kimi.web_search.echo": kimi(
        {"model": "kimi-k2.6", "messages": SEARCHED, **builtin("$web_search")},
        "the arguments of $web_search at index 1 were changed",
    ),
    "kimi.fields.known": kimi({"invented": 1}),
    "kimi.cap.window": kimi(
        {"max_tokens": 1_048_576}, "Invalid request: Your request exceeded model token limit: 1048576"
    ),
    "kimi.input.unsafe": Example(
        UNSAFE, 400, "content_filter", "The request was rejected because it was considered high risk"
    ),
    "kimi.account.suspended": Example(
        {}, 429, "exceeded_current_quota_error", account=AccountState(suspended=True)
    ),
    "kimi.account.rpm": Example(
        {}, 429, "rate_limit_reached_error", "max RPM: 0", account=AccountState(rpm=0)
    ),
    "kimi.account.tpm": Example(
        {}, 429, "rate_limit_reached_error", "TPM rate limit", account=AccountState(tpm=1)
    ),
    "kimi.account.tpd": Example(
        {}, 429, "rate_limit_reached_error", "TPD rate limit", account=AccountState(tpd=1)
    ),
    "kimi.account.balance": Example(
        {}, 429, "exceeded_current_quota_error", account=AccountState(balance=-1)
    ),
    "kimi.account.concurrency": Example(
        {}, 429, "rate_limit_reached_error", "max concurrency: 0", account=AccountState(concurrency=0)
    ),
    "kimi.anthropic.max_tokens": kimi({}, door="kimi_anthropic"),
    "kimi.anthropic.role": kimi(
        {"max_tokens": 100, "messages": [{"role": "system", "content": "x"}, USER]}, door="kimi_anthropic"
    ),
    "kimi.anthropic.tool_choice": kimi(
        {"max_tokens": 100, "tool_choice": {"type": "tool", "name": "look"}}, door="kimi_anthropic"
    ),
    "kimi.responses.model": Example(
        {"model": "kimi-k2.6", "input": "Hi."}, 404, "resource_not_found_error", door="kimi_responses"
    ),
    "kimi.responses.memory": kimi({"input": "Hi.", "store": True}, door="kimi_responses"),
    "kimi.responses.tool_choice": kimi({"input": "Hi.", "tool_choice": "none"}, door="kimi_responses"),
    "kimi.responses.tools": kimi({"input": "Hi.", "tools": [{"type": "mcp"}]}, door="kimi_responses"),
    "custom.json.object": Example({"raw": "{"}, 400, "invalid_request_error"),
    "custom.model.present": Example({"model": None}, 400, "invalid_request_error"),
    "custom.messages.present": Example({"messages": "hello"}, 400, "invalid_request_error"),
    "custom.model.known": Example({"model": "llama"}, 404, "invalid_request_error"),
    "custom.context": Example(
        content("w" * 600), 400, "invalid_request_error", options={"context_windows": {"emulated-large": 100}}
    ),
    "custom.azure.version": Example({"api_key": CUSTOM_KEY}, 404, "", options=dialect("azure")),
    "custom.openai.max_tokens": Example(
        {"max_tokens": 10}, 400, "invalid_request_error", "max_completion_tokens", options=dialect("openai")
    ),
    "custom.openai.temperature": Example(
        {"temperature": 0.5}, 400, "invalid_request_error", "temperature", options=dialect("openai")
    ),
    "custom.effort.value": Example(
        {"reasoning_effort": "max"}, 400, "invalid_request_error", options=dialect("openai")
    ),
    "custom.developer.role": Example(
        {"messages": [{"role": "developer", "content": "x"}, USER]},
        422,
        "invalid_request_error",
        "developer",
        options=dialect("deepseek"),
    ),
    "custom.gemini.fields": Example({"invented": 1}, 400, "", "invented", options=dialect("gemini")),
    "custom.account.quota": Example({}, 429, "insufficient_quota", account=AccountState(balance=0)),
    "custom.account.rpm": Example({}, 429, "requests", account=AccountState(rpm=0)),
    "custom.account.concurrency": Example({}, 429, "requests", account=AccountState(concurrency=0)),
}

RULES = {row.id: row for rows in CONFORMANCE.values() for row in rows if isinstance(row, Rule)}


def test_every_rule_has_an_example() -> None:
    assert EXAMPLES.keys() == RULES.keys()


@pytest.mark.parametrize("rule_id", EXAMPLES)
async def test_rule_refuses_and_can_be_switched_off(started: Any, post: Any, rule_id: str) -> None:
    example = EXAMPLES[rule_id]
    provider = rule_id.partition(".")[0]
    async with started(EmulatorOptions(rules={rule_id: True}, **example.options)) as emulator:
        if example.account is not None:
            emulator.accounts[provider].state = example.account
        if rule_id == "glm.request_id.reuse":
            assert (await post(emulator, provider, **example.fields)).status == 200
        if rule_id == "kimi.file.purpose":
            assert emulator.place_file("kimi", "a.txt", "file-extract", b"x").id == PLACED_FIRST

        if rule_id == "glm.file.size":
            emulator.place_file(
                "glm", "a.pdf", "user_data", b"%PDF-1.7", file_id=PLACED_LARGE, size=50 * 2**20 + 1
            )

        refused = await post(emulator, example.door or provider, **example.fields)
        emulator.rules.set(rule_id, on=False)
        after = await post(emulator, example.door or provider, **example.fields)

    assert refused.status == example.status
    body = refused.json
    error = (body[0] if isinstance(body, list) else body)["error"]
    assert error.get("type" if provider != "glm" else "code", "") == example.code
    assert example.message in error["message"]
    assert ("Content-Type" in refused.headers) is example.typed
    assert (after.status, after.content) != (refused.status, refused.content)


@pytest.mark.parametrize(
    ("provider", "authorization", "expected"),
    [
        ("glm", None, {"code": "1001"}),
        ("glm", "Bearer ", {"code": "1001"}),
        ("glm", "Bearer wrong", {"code": "1002"}),
        ("kimi", None, {"type": "invalid_authentication_error", "message": "Invalid Authentication"}),
        (
            "kimi",
            "Bearer sk-wrong",
            {"type": "incorrect_api_key_error", "message": "Incorrect API key provided"},
        ),
        ("custom", None, {"code": "invalid_api_key"}),
        ("custom", "Bearer sk-wrong", {"code": "invalid_api_key"}),
    ],
)
async def test_a_wrong_key_gets_the_providers_own_401_on_every_path(
    emulator: Emulator, http: Any, provider: str, authorization: str | None, expected: dict[str, str]
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/chat/completions", "/nowhere"):
        async with http.post(getattr(emulator.addresses, provider) + path, headers=headers) as response:
            assert response.status == 401
            assert expected.items() <= (await response.json())["error"].items()


async def test_an_auth_rule_that_is_off_lets_everyone_in(emulator: Emulator, ask: Any) -> None:
    emulator.rules.set("kimi.auth.key", on=False)
    assert (await ask("kimi", key="sk-wrong")).status == 200


IGNORED = {
    "frequency_penalty": 1,
    "presence_penalty": 1,
    "logit_bias": {"1": 2},
    "logprobs": True,
    "top_logprobs": 3,
    "n": 1,
    "top_k": 4,
    "seed": 7,
    "parallel_tool_calls": False,
    "service_tier": "priority",
    "store": True,
    "prompt_cache_key": "k",
    "stream_options": {"include_usage": True},
    "response_format": {"type": "json_schema", "json_schema": {}},
    "tool_choice": "required",
    "max_completion_tokens": 500,
}


@pytest.mark.parametrize("name", IGNORED)
async def test_glm_ignores_the_fields_that_recordings_show_as_ignored(ask: Any, name: str) -> None:
    assert (await ask("glm", **{name: IGNORED[name]})).status == 200


ACCEPTED = {
    "seed": 7,
    "top_k": 4,
    "service_tier": "flex",
    "metadata": {"a": "b"},
    "verbosity": "low",
    "store": True,
    "do_sample": False,
    "partial_mode": True,
    "parallel_tool_calls": True,
    "n": 1,
    "temperature": 1.0,
    "top_p": 0.95,
    "presence_penalty": 0,
    "logprobs": False,
    "stream_options": {"include_usage": True},
    "prompt_cache_key": "k",
    "stop": ["a", "b", "c", "d", "e"],
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_kimi_accepts_the_fields_that_recordings_show_as_accepted(ask: Any, name: str) -> None:
    assert (await ask("kimi", **{name: ACCEPTED[name]})).status == 200


async def test_glm_53_takes_disabled_thinking_on_the_coding_root_alone(ask: Any) -> None:
    off = {"thinking": {"type": "disabled"}}
    assert (await ask("glm", **off)).status == 400
    coding = await ask("glm_coding", **off)
    assert coding.status == 200
    assert "reasoning_content" not in coding.json["choices"][0]["message"]


async def test_kimi_k26_without_thinking_wants_another_temperature(ask: Any) -> None:
    off = {"model": "kimi-k2.6", "thinking": {"type": "disabled"}}
    assert (await ask("kimi", temperature=0.6, **off)).status == 200
    assert (await ask("kimi", temperature=1, **off)).status == 400


async def test_a_whole_tool_loop_is_accepted_by_kimi(ask: Any) -> None:
    loop = [
        USER,
        {**CALLED, "reasoning_content": "I look."},
        {"role": "tool", "tool_call_id": "look:0", "content": "seen"},
    ]
    assert (await ask("kimi", messages=loop, **tool())).status == 200


async def test_recorded_strictness_keeps_only_rules_seen_on_the_wire(started: Any, post: Any) -> None:
    async with started(EmulatorOptions(strictness="recorded")) as emulator:
        documented_only = await post(emulator, "glm", temperature=2)
        recorded = await post(emulator, "kimi", temperature=0.5)
    assert (documented_only.status, recorded.status) == (200, 400)


async def test_all_strictness_refuses_unknown_fields(started: Any, post: Any) -> None:
    async with started(EmulatorOptions(strictness="all")) as emulator:
        assert (await post(emulator, "glm", invented=1)).status == 400


def test_ids_are_unique_and_marks_are_explained() -> None:
    rows = [row for provider in CONFORMANCE.values() for row in provider]
    assert len({row.id for row in rows}) == len(rows)
    assert all(row.marks and set(row.marks) <= MARKS.keys() for row in rows)
    assert all(row.id.startswith(f"{provider}.") for provider, of in CONFORMANCE.items() for row in of)


def test_a_behaviour_without_switch_and_an_unknown_id_cannot_be_set() -> None:
    emulator = Emulator(EmulatorOptions())
    fixed = next(row for row in CONFORMANCE["glm"] if isinstance(row, Behaviour) and not row.switchable)
    for rule_id in (fixed.id, "glm.invented"):
        with pytest.raises(ValueError, match="There is no rule"):
            emulator.rules.set(rule_id, on=False)
