"""JSON Schemas of tools' arguments and results, made from their types, as clients and models are shown them.

Every token of a list of tools is paid for by each of its readers. So the schemas have no titles, no references, no
defaults that say nothing, and no bounds of lengths: a call that exceeds one gets an error.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

__all__ = ["LISTED_DEPTH", "answer_schema", "common_keywords", "input_schema", "output_schema"]

NULL = {"type": "null"}

LISTED_DEPTH = 2
"""How deep the objects of a result are described in a list of tools: the result's fields, their fields, and theirs."""

UNLISTED_BOUNDS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})

COMMON_KEYWORDS = frozenset(
    {"type", "description", "properties", "required", "items", "enum", "anyOf", "additionalProperties"}
)

ANSWER_DEPTH = 6
"""How deep the objects and lists of an answer may be nested; a type that refers to itself is deeper than any bound."""


def input_schema(arguments: type[msgspec.Struct], unlisted: Collection[str] = ()) -> dict[str, Any]:
    """Describe a tool's arguments.

    `unlisted` ones are left out although they are accepted; the schema then leaves room for them.
    """
    schema, components = _components_of(arguments)
    flat: dict[str, Any] = _as_input(schema, components)
    flat.pop("title", None)
    flat.pop("description", None)
    listed = {name: field for name, field in flat.get("properties", {}).items() if name not in unlisted}
    flat["properties"] = listed
    if unlisted:
        flat.pop("additionalProperties", None)
    else:
        flat["additionalProperties"] = False
    return flat


def common_keywords(schema: Any) -> Any:
    """Reduce a schema to the keywords that every provider takes.

    Kimi takes a subset of JSON Schema and refuses the rest; what is left out here is still checked when a value comes.
    """
    if not isinstance(schema, dict):
        return schema
    common: dict[str, Any] = {name: value for name, value in schema.items() if name in COMMON_KEYWORDS}
    for name, value in common.items():
        if name == "properties":
            common[name] = {field: common_keywords(of) for field, of in value.items()}
        elif name == "anyOf":
            common[name] = [common_keywords(choice) for choice in value]
        elif name == "items":
            common[name] = common_keywords(value)
    return common


def answer_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Describe the object that a model is to answer with; bounds belong into descriptions, as no provider takes them.

    Raises:
        ValueError: it is nested deeper than providers take, or refers to itself.
    """
    try:
        schema = common_keywords(input_schema(kind))
    except (KeyError, RecursionError):  # by itself, or by way of another type
        raise ValueError(f"{kind.__name__} refers to itself, which an answer's schema cannot") from None
    opened: dict[str, Any] = _opened(schema, ANSWER_DEPTH)
    return opened


def output_schema(
    *parts: type[msgspec.Struct], depth: int = LISTED_DEPTH, nulls: bool = False
) -> dict[str, Any]:
    """Describe a result that has the fields of all `parts` side by side.

    Objects that are nested deeper than `depth` are described as objects and no further. Only the outermost
    one says which fields are always there. Without `nulls`, a field that may be left out is so instead of being null.

    Raises:
        ValueError: two parts have a field of the same name.
    """
    properties: dict[str, Any] = {}
    required: list[str] = []
    for part in parts:
        schema, components = _components_of(part)
        fields = schema["properties"]
        if twice := properties.keys() & fields.keys():
            raise ValueError(f"{part.__name__} repeats the fields {', '.join(sorted(twice))}")
        described = {name: _as_output(field, components, depth, nulls) for name, field in fields.items()}
        for name in schema["required"]:
            if not nulls and NULL in fields[name].get("anyOf", ()):
                described[name] = _or_null(described[name])
        properties |= described
        required += schema["required"]
    schema = {"type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _components_of(kind: type[msgspec.Struct]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the schema of one type, and those that it refers to."""
    (_,), components = msgspec.json.schema_components([kind], ref_template="{name}")
    return components.pop(kind.__name__), components


def _as_input(node: Any, components: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            target = dict(components[node["$ref"]])
            target.pop("title", None)
            target.pop("description", None)
            return _as_input(
                {**target, **{key: value for key, value in node.items() if key != "$ref"}}, components
            )
        if "anyOf" in node:
            return _without_null(node, components)
        return {
            key: _as_input(value, components)
            for key, value in node.items()
            if key not in UNLISTED_BOUNDS and not (key == "default" and value in (None, [], False))
        }
    if isinstance(node, list):
        return [_as_input(item, components) for item in node]
    return node


def _without_null(node: dict[str, Any], components: Mapping[str, Any]) -> Any:
    """Write `T | None` as `T`: leaving an argument out means the same as null, which is accepted as well."""
    choices = [choice for choice in node["anyOf"] if choice != NULL]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    if len(choices) == 1:
        return _as_input({**choices[0], **rest}, components)
    return {**_as_input(rest, components), "anyOf": [_as_input(choice, components) for choice in choices]}


def _as_output(
    node: dict[str, Any], components: Mapping[str, Any], depth: int, nulls: bool
) -> dict[str, Any]:
    """Reduce the schema of one field or item to type, fields, items and choices."""
    if "$ref" in node:
        return _as_output(components[node["$ref"]], components, depth, nulls)
    if "anyOf" in node:
        choices = [_as_output(choice, components, depth, nulls) for choice in node["anyOf"]]
        values = [choice for choice in choices if choice != NULL]
        if len(values) == 1:
            return _or_null(values[0]) if nulls else values[0]
        return {"anyOf": choices}
    schema: dict[str, Any] = {key: node[key] for key in ("type", "enum") if key in node}
    if "enum" in schema:
        schema.pop("type", None)
    if "properties" in node and depth > 0:
        schema["properties"] = {
            name: _as_output(field, components, depth - 1, nulls)
            for name, field in node["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            schema[key] = _as_output(node[key], components, depth, nulls)
    return schema


def _opened(node: dict[str, Any], depth: int) -> dict[str, Any]:
    """Return a schema whose objects may have further fields, and that is nested no deeper than `depth`."""
    if depth < 0:
        raise ValueError(f"an answer's schema is nested deeper than {ANSWER_DEPTH} objects and lists")
    opened = {key: value for key, value in node.items() if key != "additionalProperties"}
    if "properties" in opened:
        opened["properties"] = {name: _opened(of, depth - 1) for name, of in opened["properties"].items()}
    if "items" in opened:
        opened["items"] = _opened(opened["items"], depth - 1)
    if "anyOf" in opened:
        opened["anyOf"] = [_opened(choice, depth) for choice in opened["anyOf"]]
    return opened


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}
