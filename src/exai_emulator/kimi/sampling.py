"""Kimi's rules for sampling, thinking and effort: which values a model takes."""

from collections.abc import Callable
from typing import Any

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.kimi.catalog import family_of
from exai_emulator.rules import Rule
from exai_emulator.shapes import is_number

__all__ = ["SAMPLING_RULES"]


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _fixed(
    field: str, allowed: Callable[[ChatCall], tuple[Any, str]]
) -> Callable[[ChatCall], Refusal | None]:
    """The one value that a K-series model takes; null counts as not sent."""

    def check(call: ChatCall) -> Refusal | None:
        value, (fixed, shown) = call.body[field], allowed(call)
        same_kind = isinstance(value, bool) == isinstance(fixed, bool)
        if value is None or call.model is None or (same_kind and value == fixed):
            return None
        return _bad(f"invalid {field}: only {shown} is allowed for this model")

    return check


def _fixed_temperature(call: ChatCall) -> tuple[Any, str]:
    return (0.6, "0.6") if family_of(call.model_id) == "k2.6" and not call.thinks else (1, "1")


def _top_logprobs(call: ChatCall) -> Refusal | None:
    if call.body["top_logprobs"] is None or call.body.get("logprobs") is True:
        return None
    return _bad("Invalid request: logprobs must be set to true if top_logprobs is used")


def _logit_bias(call: ChatCall) -> Refusal | None:
    return (
        _bad("Invalid request: logit_bias is not supported yet")
        if call.body["logit_bias"] is not None
        else None
    )


def _effort_model(call: ChatCall) -> Refusal | None:
    if call.body["reasoning_effort"] is None or call.model is None or call.model.efforts:
        return None
    return _bad("Invalid request: reasoning_effort is not supported by this model")


def _effort_value(call: ChatCall) -> Refusal | None:
    value = call.body["reasoning_effort"]
    if value is None or call.model is None or not call.model.efforts or value in call.model.efforts:
        return None
    return _bad("invalid reasoning_effort: only low, high, max is allowed for this model")


def _thinking_both(call: ChatCall) -> Refusal | None:
    if call.body["thinking"] is not None and call.body.get("reasoning_effort") is not None:
        return _bad("cannot specify both 'thinking' and 'reasoning_effort'")
    return None


def _thinking_shape(call: ChatCall) -> Refusal | None:
    value = call.body["thinking"]
    if value is None:
        return None
    fits = (
        isinstance(value, dict)
        and value.keys() <= {"type", "keep"}
        and value.get("type", "enabled") in ("enabled", "disabled")
        and value.get("keep") in ("all", None)
    )
    return None if fits else _bad("Invalid request: invalid thinking")


def _thinking_family(call: ChatCall) -> Refusal | None:
    if call.body["thinking"] is None or family_of(call.model_id) != "k3":
        return None
    return _bad("Invalid request: thinking is not supported by this model, use reasoning_effort")


def _thinking_k27(call: ChatCall) -> Refusal | None:
    value = call.body["thinking"]
    if family_of(call.model_id) != "k2.7" or not isinstance(value, dict):
        return None
    if value.get("type", "enabled") != "enabled":
        return _bad("invalid thinking: only type=enabled is allowed for this model")
    return None


def _sampling_number(call: ChatCall) -> Refusal | None:
    for field in ("temperature", "top_p", "presence_penalty", "frequency_penalty"):
        value = call.body.get(field)
        if value is not None and not is_number(value):
            return _bad(f"Invalid request: {field} must be a number")
    return None


SAMPLING_RULES: tuple[Rule, ...] = (
    Rule("kimi.sampling.number", "?", "a sampling value that is no number: 400", _sampling_number),
    Rule(
        "kimi.temperature.fixed",
        "DW",
        "`temperature` other than 1 (0.6 on K2.6 without thinking): 400",
        _fixed("temperature", _fixed_temperature),
        "temperature",
    ),
    Rule(
        "kimi.top_p.fixed",
        "DW",
        "`top_p` other than 0.95: 400",
        _fixed("top_p", lambda _: (0.95, "0.95")),
        "top_p",
    ),
    Rule("kimi.n.fixed", "DI", "`n` other than 1: 400", _fixed("n", lambda _: (1, "1")), "n"),
    Rule(
        "kimi.frequency_penalty.fixed",
        "DW",
        "`frequency_penalty` other than 0: 400",
        _fixed("frequency_penalty", lambda _: (0, "0")),
        "frequency_penalty",
    ),
    Rule(
        "kimi.presence_penalty.fixed",
        "DW",
        "`presence_penalty` other than 0: 400",
        _fixed("presence_penalty", lambda _: (0, "0")),
        "presence_penalty",
    ),
    Rule(
        "kimi.logprobs.fixed",
        "W",
        "`logprobs` other than false: 400",
        _fixed("logprobs", lambda _: (False, "false")),
        "logprobs",
    ),
    Rule(
        "kimi.top_logprobs.alone",
        "W",
        "`top_logprobs` without `logprobs`: 400",
        _top_logprobs,
        "top_logprobs",
    ),
    Rule("kimi.logit_bias.unsupported", "W", "`logit_bias`: 400", _logit_bias, "logit_bias"),
    Rule("kimi.thinking.both", "DI", "`thinking` with `reasoning_effort`: 400", _thinking_both, "thinking"),
    Rule(
        "kimi.thinking.shape",
        "DI",
        "`thinking` as a boolean or with other keys: 400",
        _thinking_shape,
        "thinking",
    ),
    Rule("kimi.thinking.family", "D", "`thinking` on K3: 400", _thinking_family, "thinking"),
    Rule("kimi.thinking.always_on", "DI", "thinking disabled on K2.7: 400", _thinking_k27, "thinking"),
    Rule("kimi.effort.family", "D", "`reasoning_effort` on K2: 400", _effort_model, "reasoning_effort"),
    Rule(
        "kimi.effort.value",
        "DI",
        "an effort other than low, high, max: 400",
        _effort_value,
        "reasoning_effort",
    ),
)
