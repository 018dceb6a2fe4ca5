"""Where the plain service refuses: little, and in OpenAI's words."""

from collections.abc import Mapping
from typing import Any

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.custom.dialects import DIALECTS
from exai_emulator.rules import Behaviour, KeyRule, Rule
from exai_emulator.shapes import fields

__all__ = ["BEHAVIOURS", "MODELS", "RULES", "effort_of"]

_GEMINI_FIELDS = fields(
    "model messages stream stream_options max_tokens max_completion_tokens temperature top_p n stop tools"
    " tool_choice parallel_tool_calls response_format reasoning_effort frequency_penalty presence_penalty seed"
    " logprobs top_logprobs user extra_body"
)

MODELS = ("emulated-large", "emulated-small")
"""The listed models; any other name answers as well."""


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _json_object(call: ChatCall) -> Refusal | None:
    return None if isinstance(call.raw, dict) else _bad("We could not parse the JSON body of your request.")


def _model_present(call: ChatCall) -> Refusal | None:
    return None if call.asked_model else _bad("you must provide a model parameter")


def _model_known(call: ChatCall) -> Refusal | None:
    if call.asked_model in MODELS:
        return None
    return Refusal("model_not_found", f"The model '{call.asked_model}' does not exist")


def _messages(call: ChatCall) -> Refusal | None:
    messages = call.body.get("messages")
    if isinstance(messages, list) and messages and all(isinstance(entry, dict) for entry in messages):
        return None
    return _bad("Invalid 'messages': expected a list with at least one message.")


_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh"})
_OPENAI = ("openai", "azure")


def effort_of(body: Mapping[str, Any]) -> Any:
    """The thinking effort that a request asks for, however it is spelled."""
    for field, inner in (("reasoning", "effort"), ("thinking", "type")):
        value = body.get(field)
        if isinstance(value, dict) and inner in value:
            return value[inner]
    return body.get("reasoning_effort")


def _context(call: ChatCall) -> Refusal | None:
    if call.model is None or DIALECTS[call.root].truncates or call.prompt_tokens <= call.model.context:
        return None
    return Refusal("context")


def _api_version(call: ChatCall) -> Refusal | None:
    return Refusal("not_found") if call.root == "azure" and "api-version" not in call.query else None


def _old_cap(call: ChatCall) -> Refusal | None:
    if call.root not in _OPENAI:
        return None
    return Refusal(
        "unsupported",
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'"
        " instead.",
    )


def _temperature(call: ChatCall) -> Refusal | None:
    if call.root not in _OPENAI or call.body["temperature"] in (None, 1):
        return None
    return Refusal(
        "unsupported",
        "Unsupported value: 'temperature' does not support this value with this model. Only the default (1)"
        " value is supported.",
    )


def _effort(call: ChatCall) -> Refusal | None:
    if call.root not in (*_OPENAI, "openrouter", "gemini", "xai"):
        return None
    value = effort_of(call.body)
    known = value is None or (isinstance(value, str) and value in _EFFORTS)
    return None if known else Refusal("unsupported")


def _developer(call: ChatCall) -> Refusal | None:
    if call.root not in ("deepseek", "minimax"):
        return None
    if all(message.get("role") != "developer" for message in call.messages):
        return None
    return Refusal("unsupported", "messages[0].role: unknown variant `developer`")


def _known_fields(call: ChatCall) -> Refusal | None:
    unknown = sorted(call.body.keys() - _GEMINI_FIELDS) if call.root == "gemini" else []
    if not unknown:
        return None
    return Refusal(
        "unsupported", f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.'
    )


def _quota(call: ChatCall) -> Refusal | None:
    state = call.account.state
    return Refusal("quota") if state.suspended or state.balance <= 0 else None


def _rpm(call: ChatCall) -> Refusal | None:
    account = call.account
    most = account.state.rpm
    used = account.usage.minute_calls.used(account.clock.now())
    return Refusal("rate_limit") if most is not None and used >= most else None


def _concurrency(call: ChatCall) -> Refusal | None:
    most = call.account.state.concurrency
    return (
        Refusal("rate_limit") if most is not None and sum(call.account.in_flight.values()) >= most else None
    )


RULES: tuple[Rule | KeyRule, ...] = (
    KeyRule("custom.auth.missing", "D", "no bearer key: 401", "missing", Refusal("missing_key")),
    KeyRule("custom.auth.key", "D", "a wrong key: 401", "bad", Refusal("invalid_key")),
    Rule("custom.json.object", "D", "a body that is no JSON object: 400", _json_object),
    Rule("custom.model.present", "D", "no `model`: 400", _model_present),
    Rule("custom.messages.present", "D", "no messages: 400", _messages),
    Rule("custom.model.known", "D", "a model that is not listed: 404", _model_known, default=False),
    Rule("custom.context", "D", "a prompt above the window (not in `ollama`, which cuts it): 400", _context),
    Rule("custom.azure.version", "?", "`azure`: no `api-version` in the query: 404", _api_version),
    Rule("custom.openai.max_tokens", "?", "`openai`, `azure`: `max_tokens`: 400", _old_cap, "max_tokens"),
    Rule(
        "custom.openai.temperature",
        "?",
        "`openai`, `azure`: `temperature` other than 1: 400",
        _temperature,
        "temperature",
    ),
    Rule(
        "custom.effort.value",
        "?",
        "`openai`, `azure`, `openrouter`, `gemini`, `xai`: an effort other than none to xhigh: 400",
        _effort,
    ),
    Rule("custom.developer.role", "?", "`deepseek`, `minimax`: the role `developer`: refused", _developer),
    Rule("custom.gemini.fields", "I", "`gemini`: a field that it does not know: 400", _known_fields),
    Rule("custom.account.quota", "D", "no balance or a suspended account: 429 `insufficient_quota`", _quota),
    Rule("custom.account.rpm", "D", "more calls within 60 seconds than allowed: 429", _rpm),
    Rule("custom.account.concurrency", "D", "more calls in flight than allowed: 429", _concurrency),
)

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        "custom.dialect",
        "?",
        "`custom_dialect` gives the service the habits of one that copies OpenAI's form",
    ),
    Behaviour("custom.errors.envelope", "D", "errors have message, type, param and code"),
    Behaviour(
        "custom.openrouter.errors",
        "D",
        "`openrouter`: errors are `error.code` and `error.message`, also in a response with status 200; one in "
        "a stream has the finish reason `error`",
    ),
    Behaviour("custom.openrouter.keep_alive", "D", "`openrouter`: a stream begins with a comment"),
    Behaviour("custom.openrouter.reasoning", "?", "`openrouter`: thinking is `reasoning`"),
    Behaviour(
        "custom.deepseek.keep_alive",
        "D",
        "`deepseek`: empty lines before a whole answer, a comment before a stream",
    ),
    Behaviour("custom.deepseek.balance", "D", "`deepseek`: no balance is 402"),
    Behaviour(
        "custom.minimax.verdict",
        "?",
        "`minimax`: `base_resp` in every answer; an error is one with status 200 and a `status_code` above 0",
    ),
    Behaviour(
        "custom.minimax.thinking",
        "D",
        "`minimax`: thinking stands in `<think>` tags, or in `reasoning_details` on `reasoning_split`",
    ),
    Behaviour(
        "custom.xai.errors", "I", "`xai`: errors are `code` and `error`, both sentences; a wrong key is 400"
    ),
    Behaviour("custom.gemini.errors", "I", "`gemini`: errors stand in an array; a wrong key is 400"),
    Behaviour("custom.vllm.errors", "?", "`vllm`: errors are not inside `error`"),
    Behaviour("custom.ollama.key", "?", "`ollama`: no key is asked for"),
    Behaviour("custom.azure.key", "?", "`azure`: the key stands in the header `api-key`"),
    Behaviour("custom.stream.usage", "D", "a stream has usage only on `include_usage`, in a further chunk"),
    Behaviour("custom.reasoning.on_request", "?", "thinking only when the persona has `think_tokens`"),
)
