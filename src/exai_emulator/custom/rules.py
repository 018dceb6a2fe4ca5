"""Where the plain service refuses: little, and in OpenAI's words."""

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.rules import Behaviour, KeyRule, Rule

__all__ = ["BEHAVIOURS", "MODELS", "RULES"]

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
    Rule("custom.account.quota", "D", "no balance or a suspended account: 429 `insufficient_quota`", _quota),
    Rule("custom.account.rpm", "D", "more calls within 60 seconds than allowed: 429", _rpm),
    Rule("custom.account.concurrency", "D", "more calls in flight than allowed: 429", _concurrency),
)

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour("custom.errors.envelope", "D", "errors have message, type, param and code"),
    Behaviour("custom.stream.usage", "D", "a stream has usage only on `include_usage`, in a further chunk"),
    Behaviour("custom.reasoning.on_request", "?", "thinking only when the persona has `think_tokens`"),
)
