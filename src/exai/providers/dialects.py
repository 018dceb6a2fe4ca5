"""The dialects of well-known OpenAI-compatible services: the defaults of a custom row.

The configuration can override each value, except how errors and finish reasons are read.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from exai.errors import (
    ContentFiltered,
    ContextOverflow,
    ProviderDenied,
    ProviderFailed,
    ProviderOverloaded,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnauthorized,
    QuotaExhausted,
)
from exai.messages import Effort
from exai.providers.faults import Row, Verdict
from exai.providers.profile import WINDOW_FULL, CutShort, Finish, ThinkTags

__all__ = ["DIALECTS", "ERRORS", "FINISHES", "OTHER_SPELLINGS", "OVERRIDABLE", "Dialect", "Thinking"]

Thinking = Literal["off", "reasoning_effort", "reasoning", "thinking"]

_UNAUTHORIZED = Verdict(ProviderUnauthorized, "{title} does not accept the key ({code}). Check {key_hint}.")
_BROKE = Verdict(QuotaExhausted, "The {title} account is out of credit ({code}). Top up there.")
_PLAN = Verdict(
    QuotaExhausted,
    "The {title} plan's usage is used up ({code}). Wait for its reset, or raise the plan there.",
)
_OVERFLOW = Verdict(
    ContextOverflow,
    "The prompt does not fit into the window of {model} ({code}). Send less, or use a model with a larger "
    "window.",
)
_FILTERED = Verdict(
    ContentFiltered, "{title} filtered the question or the answer ({code}). Word it differently."
)
_THROTTLED = Verdict(
    ProviderThrottled, "{title} limits how often it may be asked ({code}). Try again a little later."
)
_LOST = Verdict(ProviderFailed, "{title} failed while answering ({code}). Try again later.")
_NO_MODEL = Verdict(
    ProviderDenied,
    "{title} has no {model} ({code}). Check the models listed for it in the configuration, and {url_setting}.",
)
_REFUSED = Verdict(
    ProviderRefused,
    "{title} calls the request for {model} invalid ({code}). Check its row in the configuration: the dialect, "
    "max_tokens_field, temperature and thinking.",
)
_BUSY = Verdict(
    ProviderOverloaded,
    "{title} has no capacity for {model} now ({code}). Try again later or use another model.",
)

_TOO_LONG = re.compile(
    r"context.{0,10}(length|size|window)|maximum prompt length|too many tokens|prompt is too long"
    r"|exceeds the maximum number of tokens",
    re.IGNORECASE,
)
_KEY = re.compile(r"\bapi.key\b", re.IGNORECASE)


def _codes(*codes: str) -> frozenset[str]:
    return frozenset(codes)


ERRORS: tuple[Row, ...] = (
    Row(_codes("invalid_api_key", "authentication_error"), _UNAUTHORIZED),
    Row(_codes("insufficient_quota", "billing_hard_limit_reached"), _BROKE),
    Row(_codes("context_length_exceeded", "exceed_context_size_error"), _OVERFLOW),
    Row(_codes("invalid_request_error", "BadRequestError", "400"), _OVERFLOW, text=_TOO_LONG),
    Row(_codes("content_filter", "content_policy_violation"), _FILTERED),
    Row(_codes("model_not_found"), _NO_MODEL),
    Row(_codes("rate_limit_exceeded", "rate_limit_error"), _THROTTLED),
    Row(_codes("unsupported_parameter", "unsupported_value"), _REFUSED),
)
"""Errors by the codes and types of OpenAI, which compatible servers copy."""

FINISHES: Mapping[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": CutShort(WINDOW_FULL, _OVERFLOW),
    "tool_calls": "tool_calls",
    "content_filter": _FILTERED,
    "sensitive": _FILTERED,
    "abort": _LOST,
    "error": _LOST,
    "network_error": _LOST,
}
"""Finish reasons of OpenAI, and the failures and cuts of vLLM and of GLM behind a proxy."""

OTHER_SPELLINGS: Mapping[str, Finish] = {
    "end_turn": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "max_new_tokens": "length",
    "model_length": "length",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
}
"""Finish reasons of TGI, Mistral and Anthropic behind a proxy, for rows without `strict_finish`."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How one service differs from the OpenAI API."""

    max_tokens_field: str = "max_tokens"
    stream_usage: bool = True
    key_header: Literal["authorization", "api-key", "x-api-key"] = "authorization"
    system_role: str = "system"
    thinking: Thinking = "reasoning_effort"
    most_effort: str = "max"
    """Its value for the effort `max`."""
    temperature: bool = True
    strict_finish: bool = False
    think_tags: ThinkTags = "off"
    request_fields: Mapping[str, Any] = field(default_factory=dict)
    """Sent with every request."""
    errors: tuple[Row, ...] = ()
    """Checked before the common ones."""
    finishes: Mapping[str, Finish] = field(default_factory=dict)
    """In addition to the common ones."""

    def thinking_fields(self, efforts: Collection[Effort]) -> dict[Effort, Mapping[str, Any]]:
        """Return the request fields for each effort of a model, lowest first; none when thinking is off."""
        if self.thinking == "off":
            return {}
        return {effort: self._fields_for(effort) for effort in Effort if effort in efforts}

    def _fields_for(self, effort: Effort) -> Mapping[str, Any]:
        if self.thinking == "thinking":
            return {"thinking": {"type": "disabled" if effort is Effort.NONE else "enabled"}}
        name = self.most_effort if effort is Effort.MAX else effort.value
        return {"reasoning": {"effort": name}} if self.thinking == "reasoning" else {"reasoning_effort": name}


OVERRIDABLE = (
    "max_tokens_field",
    "stream_usage",
    "key_header",
    "system_role",
    "thinking",
    "temperature",
    "strict_finish",
    "think_tags",
)
"""The fields that a row can also set."""

_OPENAI = Dialect(
    max_tokens_field="max_completion_tokens",
    system_role="developer",
    most_effort="xhigh",
    temperature=False,
    strict_finish=True,
)

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "compatible": Dialect(think_tags="both"),
        "openai": _OPENAI,
        "azure": replace(_OPENAI, key_header="api-key"),
        "openrouter": Dialect(
            thinking="reasoning",
            most_effort="xhigh",
            strict_finish=True,
            errors=(Row(_codes("403"), _FILTERED, text=re.compile(r"moderation|flagged", re.IGNORECASE)),),
        ),
        "deepseek": Dialect(
            thinking="thinking",
            strict_finish=True,
            finishes={"insufficient_system_resource": _BUSY},
        ),
        "minimax": Dialect(
            max_tokens_field="max_completion_tokens",
            thinking="off",
            # Otherwise its thinking is part of the answer.
            request_fields={"reasoning_split": True},
            think_tags="both",
            errors=(
                Row(_codes("1002"), _THROTTLED),
                Row(_codes("1004", "2049"), _UNAUTHORIZED),
                Row(_codes("1008", "insufficient_balance_error"), _BROKE),
                Row(_codes("api_error"), _BROKE, text=re.compile(r"\(1008\)")),
                Row(_codes("2056"), _PLAN),
                Row(_codes("1026", "1027"), _FILTERED),
                Row(_codes("2013"), _OVERFLOW, text=_TOO_LONG),
                Row(_codes("2013"), _REFUSED),
            ),
        ),
        "xai": Dialect(
            max_tokens_field="max_completion_tokens",
            errors=(
                Row(_codes("Client specified an invalid argument"), _UNAUTHORIZED, text=_KEY),
                Row(_codes("Client specified an invalid argument"), _OVERFLOW, text=_TOO_LONG),
            ),
        ),
        "gemini": Dialect(
            errors=(
                Row(_codes("INVALID_ARGUMENT"), _UNAUTHORIZED, text=_KEY),
                Row(_codes("RESOURCE_EXHAUSTED"), _THROTTLED),
                Row(_codes("UNAVAILABLE"), _BUSY),
            ),
        ),
        "ollama": Dialect(think_tags="both"),
        "vllm": Dialect(think_tags="both"),
    }
)
"""By the name in a row's `dialect`."""
