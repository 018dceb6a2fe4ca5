"""From what a client sent to a tool's typed arguments, and the schema that says what it may send."""

import difflib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from exai.errors import BadArguments
from exai.tools.base import Arguments, JsonObject, Tool

__all__ = ["input_schema", "parse_arguments"]

A = TypeVar("A", bound=Arguments)

_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<name>[^`]*)`")
_PLACE = re.compile(r" - at `\$\.?(?P<place>[^`]*)`$")


def input_schema(arguments: type[Arguments]) -> JsonObject:
    """The JSON Schema of a tool's arguments, flat and without titles: every token of it is paid for by clients."""
    (_,), components = msgspec.json.schema_components([arguments], ref_template="{name}")
    schema = components.pop(arguments.__name__)
    flat: JsonObject = _inlined(schema, components)
    flat.pop("title", None)
    flat.pop("description", None)
    flat.setdefault("properties", {})
    flat["additionalProperties"] = False
    return flat


def _inlined(node: Any, components: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            target = dict(components[node["$ref"]])
            target.pop("title", None)
            target.pop("description", None)
            return _inlined(
                {**target, **{key: value for key, value in node.items() if key != "$ref"}}, components
            )
        if "anyOf" in node:
            return _without_null(node, components)
        return {
            key: _inlined(value, components)
            for key, value in node.items()
            if not (key == "default" and value in (None, [], False))
        }
    if isinstance(node, list):
        return [_inlined(item, components) for item in node]
    return node


def _without_null(node: JsonObject, components: Mapping[str, Any]) -> Any:
    """`T | None` is written as `T`: leaving an argument out says the same as null, which is accepted as well."""
    choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    if len(choices) == 1:
        return _inlined({**choices[0], **rest}, components)
    return {**_inlined(rest, components), "anyOf": [_inlined(choice, components) for choice in choices]}


def parse_arguments(tool: Tool[A], arguments: Mapping[str, Any] | None) -> A:
    """Check and type what a client sent.

    Raises:
        BadArguments: with the place, what was expected, and what the tool takes.
    """
    given = arguments or {}
    if not tool.argument_aliases.keys().isdisjoint(given):
        given = _renamed(tool, given)
    try:
        return msgspec.convert(given, tool.arguments)
    except msgspec.ValidationError as error:
        raise BadArguments(_sentence(tool, str(error))) from None


def _renamed(tool: Tool[Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments under the names of the schema."""
    renamed: dict[str, Any] = {}
    for name, value in given.items():
        listed = tool.argument_aliases.get(name, name)
        if renamed.setdefault(listed, value) != value:
            raise BadArguments(
                f"Arguments {listed!r} and {name!r} mean the same and differ. Give one of them."
            )
    return renamed


def _sentence(tool: Tool[Any], said: str) -> str:
    names = tool.arguments.__struct_encode_fields__
    takes = f"{tool.name} takes: {', '.join(names)}." if names else f"{tool.name} takes no arguments."
    if match := _UNKNOWN_FIELD.search(said):
        unknown = match["name"]
        nearest = difflib.get_close_matches(unknown, names, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        return f"Unknown argument {unknown[:80]!r}.{hint} {takes}"
    place = _PLACE.search(said)
    what = (
        _PLACE.sub("", said)
        .replace("`", "'")
        .replace("Object missing", "Missing")
        .replace("field", "argument")
    )
    where = f"Argument '{place['place']}': " if place and place["place"] else ""
    return f"{where}{what}. {takes}"
