"""Calls whose arguments are taken from what was shown, and the persona `explorer` that follows a trail of them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from exai_emulator.calls import text_of
from exai_emulator.tool_calls import ScriptedCall

__all__ = ["filled", "next_on_trail"]

_FOUND = "$found"
_TYPES = {"string": str, "integer": int}
_MISSING = object()


def filled(call: ScriptedCall, messages: Sequence[Mapping[str, Any]]) -> tuple[ScriptedCall, bool]:
    """The call with its placeholders filled, and whether all of them were; one that is not is left out.

    A placeholder is an argument `{"$found": PATTERN, "type": "integer"}`: the first group, or the match, in the latest
    tool result that has one, else in the latest message of a user or the system.
    """
    if not any(isinstance(value, dict) and _FOUND in value for value in call.arguments.values()):
        return call, True
    texts = _texts(messages)
    values = {
        name: _found(value, texts) if isinstance(value, dict) and _FOUND in value else value
        for name, value in call.arguments.items()
    }
    arguments = {name: value for name, value in values.items() if value is not _MISSING}
    return msgspec.structs.replace(call, arguments=arguments), len(arguments) == len(values)


def next_on_trail(
    trail: Sequence[Sequence[ScriptedCall]],
    messages: Sequence[Mapping[str, Any]],
    functions: Sequence[Mapping[str, Any]],
) -> tuple[ScriptedCall, ...]:
    """The calls of the next step whose tools are declared and whose placeholders are found; none at the end.

    How far the trail was walked is read from the calls since the last user message.
    """
    declared = {function.get("name") for function in functions}
    place = 0
    for names in _made(messages):
        steps = range(place, len(trail))
        place = next((step + 1 for step in steps if names <= {call.name for call in trail[step]}), place)
    for step in trail[place:]:
        calls = [filled(call, messages) for call in step if call.name in declared]
        if ready := tuple(call for call, is_whole in calls if is_whole):
            return ready
    return ()


def _made(messages: Sequence[Mapping[str, Any]]) -> list[set[object]]:
    """The names of the tools of each round since the last user message."""
    rounds: list[set[object]] = []
    for message in messages:
        if message.get("role") == "user":
            rounds.clear()
        entries = message.get("tool_calls")
        functions = [each.get("function") for each in entries or () if isinstance(each, dict)]
        if names := {each.get("name") for each in functions if isinstance(each, dict)}:
            rounds.append(names)
    return rounds


def _texts(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tool results, the latest first, and then what users and the system said, the latest first."""
    told = [(each.get("role"), text_of(each.get("content"))) for each in reversed(messages)]
    return [text for role, text in told if role == "tool"] + [
        text for role, text in told if role in ("user", "system")
    ]


def _found(placeholder: Mapping[str, Any], texts: Sequence[str]) -> Any:
    try:
        pattern = re.compile(str(placeholder[_FOUND]), re.MULTILINE)
    except re.error:
        return _MISSING
    for text in texts:
        if match := pattern.search(text):
            value = match[1] if pattern.groups else match[0]
            try:
                return _TYPES.get(placeholder.get("type", "string"), json.loads)(value)
            except ValueError:
                return _MISSING
    return _MISSING
