"""Checks and types what a client sent as a tool's arguments, however it spelled them."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from exai.errors import BadArguments
from exai.tools.aliases import renamed
from exai.tools.base import Arguments, Tool
from exai.tools.normalizing import normalized

__all__ = ["parse_arguments"]

A = TypeVar("A", bound=Arguments)

_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<name>[^`]*)`")
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
    return f"{where}{what}. {takes}"
