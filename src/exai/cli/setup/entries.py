"""One entry over another: what `exai init` decides is replaced, everything else in it stays."""

import difflib
import re
from collections.abc import Callable

from exai.cli.setup.server import JsonObject
from exai.config.tree import find

__all__ = ["difference", "masked", "merged_entry"]

DECIDED = frozenset({"type", "command", "args", "url", "httpUrl", "serverUrl", "bearer_token_env_var"})
"""The members that say how EXAI is reached. All others are filled in where they are missing."""
SECRETIVE = frozenset({"env", "environment", "headers", "http_headers"})
"""The members whose values may be secrets."""
REFERENCE = re.compile(r"(Bearer )?(\$\{[^}]*\}|\$\w+|\{(env|file):[^}]*\})|\d*|true|false", re.IGNORECASE)
"""A value that gives nothing away."""
HIDDEN = "…"


def merged_entry(before: object, entry: JsonObject) -> JsonObject:
    """Return the entry with what stood there before and is not EXAI's to decide, in its order."""
    if not isinstance(before, dict):
        return dict(entry)
    merged = {name: value for name, value in before.items() if name not in DECIDED or name in entry}
    for name, value in entry.items():
        there = merged.get(name)
        if name in DECIDED or there is None:
            merged[name] = value
        elif isinstance(there, dict) and isinstance(value, dict):
            merged[name] = {**value, **there}
        elif isinstance(there, list) and isinstance(value, list):
            merged[name] = [*there, *(each for each in value if each not in there)]
    return merged


def masked(entry: JsonObject) -> JsonObject:
    """Return the entry for a screen: without the values that may be secrets."""
    return {name: _shown(name, value) for name, value in entry.items()}


def difference(before: object, after: JsonObject, text: Callable[[JsonObject], str]) -> str:
    """Format what changes in an entry, line by line.

    Args:
        text: formats an entry in the client's form.
    """
    old = text(masked(before)) if isinstance(before, dict) else HIDDEN
    lines = difflib.ndiff(old.splitlines(), text(masked(after)).splitlines())
    return "\n".join(line for line in lines if not line.startswith("?"))


def _shown(name: str, value: object) -> object:
    if isinstance(value, dict) and name in SECRETIVE:
        return {each: _masked(secret) for each, secret in value.items()}
    return [_masked_setting(each) for each in value] if isinstance(value, list) else value


def _masked(value: object) -> object:
    return value if isinstance(value, str) and REFERENCE.fullmatch(value) else HIDDEN


def _masked_setting(argument: object) -> object:
    """Hide the value of a `KEY=VALUE` whose setting is a secret."""
    if not isinstance(argument, str):
        return argument
    key, equals, _ = argument.partition("=")
    setting = find(key.strip()) if equals else None
    return f"{key}={HIDDEN}" if setting is not None and setting.secret else argument
