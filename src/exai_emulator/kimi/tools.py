"""Kimi's rules for tools and for the messages of a tool loop."""

import re
from collections import Counter
from typing import Any

from exai_emulator.calls import ChatCall, Refusal
from exai_emulator.kimi.catalog import family_of
from exai_emulator.rules import Rule
from exai_emulator.shapes import function_tools, tool_entries

__all__ = ["TOOL_RULES"]

_FUNCTION_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9\-_]{0,127}")


def _bad(message: str) -> Refusal:
    return Refusal("invalid_request", message)


def _type(call: ChatCall) -> Refusal | None:
    for tool in tool_entries(call.body):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in ("function", "builtin_function"):
            named = kind if isinstance(kind, str) else ""
            return _bad(
                f"Invalid request: unknown tool type: {named},"
                " currently only function and plugin are supported"
            )
    return None


def _name(call: ChatCall) -> Refusal | None:
    for function in function_tools(call.body):
        name = function.get("name")
        if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
            return _bad(
                "Invalid request: function name is invalid, must start with a letter and can contain letters,"
                " numbers, underscores, and dashes"
            )
    return None


def _duplicate(call: ChatCall) -> Refusal | None:
    names = Counter(str(function.get("name")) for function in function_tools(call.body))
    twice = next((name for name, count in names.items() if count > 1), None)
    return _bad(f"Invalid request: function name {twice} is duplicated") if twice is not None else None


def _parameters(call: ChatCall) -> Refusal | None:
    for function in function_tools(call.body):
        if not isinstance(function.get("parameters"), dict):
            return _bad("Invalid request: function parameters is required and must be an object")
    return None


def _choice_named(call: ChatCall) -> Refusal | None:
    if isinstance(call.body["tool_choice"], dict) and call.thinks:
        return _bad("tool_choice 'specified' is incompatible with thinking enabled")
    return None


def _choice_required(call: ChatCall) -> Refusal | None:
    if call.body["tool_choice"] == "required" and family_of(call.model_id) in ("k2.6", "k2.7"):
        return _bad("tool_choice 'required' is not supported by this model")
    return None


def _choice_value(call: ChatCall) -> Refusal | None:
    value = call.body["tool_choice"]
    if value is None or isinstance(value, dict) or value in ("auto", "none", "required"):
        return None
    return _bad("Invalid request: tool_choice is one of auto, none, required or a function")


def _legacy(call: ChatCall) -> Refusal | None:
    if "functions" in call.body or "function_call" in call.body:
        return _bad("Invalid request: functions and function_call are not supported, use tools")
    return None


def _call_ids(message: Any) -> list[str]:
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return []
    return [str(call.get("id")) for call in calls if isinstance(call, dict)]


def _reasoning(call: ChatCall) -> Refusal | None:
    if not call.thinks:
        return None
    last_user = max(
        (place for place, entry in enumerate(call.messages) if entry.get("role") == "user"), default=-1
    )
    for place, message in enumerate(call.messages):
        if place > last_user and _call_ids(message) and not message.get("reasoning_content"):
            return _bad(
                "thinking is enabled but reasoning_content is missing in assistant tool call message"
                f" at index {place}"
            )
    return None


def _answers(call: ChatCall) -> Refusal | None:
    """Every tool call has exactly one tool message, directly after its assistant message."""
    open_ids: list[str] = []
    for message in call.messages:
        if message.get("role") == "tool":
            answered = str(message.get("tool_call_id"))
            if answered not in open_ids:
                return _bad(f"Invalid request: tool_call_id {answered} is not found")
            open_ids.remove(answered)
            continue
        if open_ids:
            break
        open_ids = _call_ids(message)
        if len(set(open_ids)) < len(open_ids):
            return _bad("Invalid request: tool_call ids must be unique")
    if open_ids:
        return _bad(
            "Invalid request: an assistant message with 'tool_calls' must be followed by tool messages"
            " responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            + ", ".join(open_ids)
        )
    return None


TOOL_RULES: tuple[Rule, ...] = (
    Rule(
        "kimi.tools.type",
        "DW",
        "a tool of a type other than function or builtin_function: 400",
        _type,
        "tools",
    ),
    Rule(
        "kimi.tools.name", "DI", "a function name outside [a-zA-Z_][a-zA-Z0-9-_]{0,127}: 400", _name, "tools"
    ),
    Rule("kimi.tools.duplicate", "DI", "two functions of one name: 400", _duplicate, "tools"),
    Rule("kimi.tools.parameters", "D", "a function without parameters: 400", _parameters, "tools"),
    Rule("kimi.tool_choice.value", "D", "another tool_choice: 400", _choice_value, "tool_choice"),
    Rule(
        "kimi.tool_choice.named", "DI", "a named function while thinking: 400", _choice_named, "tool_choice"
    ),
    Rule(
        "kimi.tool_choice.required", "I", "`required` on K2.6 and K2.7: 400", _choice_required, "tool_choice"
    ),
    Rule("kimi.functions.legacy", "D", "`functions` or `function_call`: 400", _legacy),
    Rule("kimi.tool_loop.reasoning", "DI", "a tool loop without its `reasoning_content`: 400", _reasoning),
    Rule(
        "kimi.tool_loop.answers",
        "D",
        "a tool call without its answer, or an answer without call: 400",
        _answers,
    ),
)
