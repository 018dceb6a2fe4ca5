"""Checks and types what a client sent as a tool's arguments, however it spelled them."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from exai.errors import BadArguments
from exai.providers.catalog import did_you_mean
from exai.tools.aliases import renamed
from exai.tools.base import Arguments, Tool
from exai.tools.normalizing import normalized

__all__ = ["parse_arguments"]

A = TypeVar("A", bound=Arguments)

_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<name>[^`]*)`")
_BAD_CHOICE = re.compile(r"Invalid enum value (?P<given>.*)", re.DOTALL)
_STEP = re.compile(r"\[(?P<index>[^\]]*)\]|(?P<name>[^.\[\]]+)")
_PLACE = re.compile(r" - at `\$\.?(?P<place>[^`]*)`$")


def parse_arguments(tool: Tool[A, Any], arguments: Mapping[str, Any] | None) -> A:
    """Check and type arguments that are under the tool's own names, or under names of other servers for them.

    Raises:
        BadArguments: with the place, what was expected, and what the tool takes.
    """
    given = arguments or {}
    if not tool.argument_aliases.keys().isdisjoint(given):
        given = renamed(given, tool.argument_aliases)
    given = normalized(given, tool.argument_schema)
    try:
        return msgspec.convert(given, tool.arguments)
    except msgspec.ValidationError as error:
        raise BadArguments(_sentence(tool, str(error))) from None


def _sentence(tool: Tool[Any, Any], message: str) -> str:
    names = tool.arguments.__struct_encode_fields__
    takes = f"{tool.name} takes: {', '.join(names)}." if names else f"{tool.name} takes no arguments."
    if match := _UNKNOWN_FIELD.search(message):
        unknown = match["name"]
        nearest = difflib.get_close_matches(unknown, names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        return f"Unknown argument {unknown[:80]!r}.{hint} {takes}"
    place = _PLACE.search(message)
    what = (
        _PLACE.sub("", message)
        .replace("`", "'")
        .replace("Object missing", "Missing")
        .replace("field", "argument")
    )
    where = f"Argument '{place['place']}': " if place and place["place"] else ""
    choices = _choices(tool.argument_schema, place["place"]) if place else []
    if not choices:
        return f"{where}{what}. {takes}"
    if match := _BAD_CHOICE.fullmatch(what):
        given = match["given"]
        what = f"{given[:80]} is none of its values.{did_you_mean(given.strip(chr(39)), choices)}"
    else:
        what += "."
    return f"{where}{what} It is one of {', '.join(choices)}. {takes}"


def _choices(schema: Mapping[str, Any], place: str) -> list[str]:
    """Return the values that an argument may have, where these are a list."""
    for step in _STEP.finditer(place):
        schema = schema.get("items", {}) if step["name"] is None else schema["properties"][step["name"]]
    return [str(choice) for choice in schema.get("enum", ())]
