"""JSON Schemas of tools' arguments and results, made from their types, as clients and models are shown them.

Every token of a list of tools is paid for by each of its readers. So the schemas have no titles, no references, no
defaults that say nothing, and no bounds of lengths: a call that exceeds one gets an error.
"""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import msgspec

__all__ = [
    "LISTED_DEPTH",
    "answer_schema",
    "common_keywords",
    "input_schema",
    "listed_part",
    "listed_schema",
    "output_schema",
]

NULL = {"type": "null"}

LISTED_DEPTH = 2
"""How deep the objects of a result are described in a list of tools: the result's fields, their fields, and theirs."""

UNLISTED_BOUNDS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})

COMMON_KEYWORDS = frozenset(
    {"type", "description", "properties", "required", "items", "enum", "anyOf", "additionalProperties"}
)

ANSWER_LEVELS = 5
"""How deep the objects of an answer may be nested, itself included: what Kimi takes."""


def input_schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """Describe a tool's arguments, and that there are no others."""
    schema, components = _components_of(arguments)
    flat: dict[str, Any] = _as_input(schema, components)
    flat.pop("title", None)
    flat.pop("description", None)
    if not flat.get("required"):
        flat.pop("required", None)
    return {**flat, "properties": flat.get("properties", {}), "additionalProperties": False}


def listed_schema(arguments: type[msgspec.Struct], unlisted: Collection[str] = ()) -> dict[str, Any]:
    """Describe a tool's arguments as the list of tools does: without `unlisted` ones.

    The schema leaves room for them, and for what arguments are called elsewhere, as all that is accepted.
    """
    return listed_part(input_schema(arguments), unlisted)


def listed_part(schema: Mapping[str, Any], unlisted: Collection[str]) -> dict[str, Any]:
    """Return what the list of tools has of the schema of a tool's arguments."""
    listed = {name: field for name, field in schema["properties"].items() if name not in unlisted}
    kept = {name: value for name, value in schema.items() if name != "additionalProperties"}
    return {**kept, "properties": listed}


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
        ValueError: no provider takes it: it is nested too deeply, refers to itself, or has choices of several types.
    """
    try:
        schema = common_keywords(input_schema(kind))
    except (KeyError, RecursionError):  # by itself, or by way of another type
        raise ValueError(f"{kind.__name__} refers to itself, which an answer's schema cannot") from None
    opened: dict[str, Any] = _opened(schema, ANSWER_LEVELS)
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


@cache
def _components_of(kind: type[msgspec.Struct]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the schema of one type, and those that it refers to. It takes a millisecond, which a start has often."""
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


def _opened(node: dict[str, Any], levels: int) -> dict[str, Any]:
    """Return a schema whose objects may have further fields, and are nested in no more than `levels`."""
    opened = {key: value for key, value in node.items() if key != "additionalProperties"}
    if "properties" in opened:
        if not levels:
            raise ValueError(f"the objects of an answer are nested in more than {ANSWER_LEVELS} levels")
        opened["properties"] = {name: _opened(of, levels - 1) for name, of in opened["properties"].items()}
    if "items" in opened:
        opened["items"] = _opened(opened["items"], levels)
    if "anyOf" in opened:
        described = {"description": opened["description"]} if "description" in opened else {}
        return {**described, "anyOf": [_opened(choice, levels) for choice in opened["anyOf"]]}
    if "enum" in opened and "type" not in opened:
        opened["type"] = _type_of_all(opened["enum"])
    return opened


def _type_of_all(values: list[Any]) -> str:
    """Return the type of the values of an enumeration, which Kimi wants beside them."""
    kinds = {type(value) for value in values}
    if kinds == {str}:
        return "string"
    if kinds == {int}:
        return "integer"
    raise ValueError("the choices of an answer must all be texts, or all whole numbers")


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}
