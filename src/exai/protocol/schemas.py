"""The schema of a tool's arguments, as clients and models are shown it."""

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["input_schema"]


def input_schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments, without references and titles: every token of it is paid for."""
    (_,), components = msgspec.json.schema_components([arguments], ref_template="{name}")
    schema = components.pop(arguments.__name__)
    flat: dict[str, Any] = _inlined(schema, components)
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


def _without_null(node: dict[str, Any], components: Mapping[str, Any]) -> Any:
    """`T | None` is written as `T`: leaving an argument out says the same as null, which is accepted as well."""
    choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    if len(choices) == 1:
        return _inlined({**choices[0], **rest}, components)
    return {**_inlined(rest, components), "anyOf": [_inlined(choice, components) for choice in choices]}
