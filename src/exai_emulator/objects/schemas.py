"""Reading JSON schemas: where a request holds one, what a reference stands for, and whether a value fits."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from exai_emulator.shapes import is_number

__all__ = [
    "allows_text",
    "asked_schema",
    "fits",
    "list_at",
    "mapping_at",
    "number_at",
    "object_schema",
    "placed_objects",
    "resolved",
    "schema_in_prompt",
]

Schema = Mapping[str, Any]

_WORD = re.compile("schema", re.IGNORECASE)
_BEHIND = 200
_MOST_STARTS = 2_000
_DEEPEST = 40
_FINITE = 1e300
_decoder = json.JSONDecoder()


def asked_schema(response_format: Any) -> Schema | None:
    """The schema of a `response_format` of type `json_schema`."""
    form = response_format.get("json_schema") if isinstance(response_format, dict) else None
    schema = form.get("schema") if isinstance(form, dict) else None
    is_asked = isinstance(response_format, dict) and response_format.get("type") == "json_schema"
    return schema if is_asked and isinstance(schema, dict) else None


def object_schema(response_format: Any, texts: Sequence[tuple[str, str]]) -> Schema | None:
    """The schema of the object that is asked for: the one of a `json_schema`, or in JSON mode the prompt's."""
    if isinstance(response_format, dict) and response_format.get("type") == "json_object":
        return schema_in_prompt(texts)
    return asked_schema(response_format)


def schema_in_prompt(texts: Sequence[tuple[str, str]]) -> Schema | None:
    """The schema that a prompt tells: of the system messages the last, else of the user messages the last.

    It is a JSON object that begins within 200 characters behind the word "schema" and describes an object.
    """
    for wanted in ("system", "user"):
        for role, text in reversed(texts):
            found = list(_told_schemas(text)) if role == wanted else []
            if found:
                return found[-1]
    return None


def _told_schemas(text: str) -> Iterator[Schema]:
    """The objects behind the word, in order, without those inside others."""
    done = 0
    for word in _WORD.finditer(text):
        start = text.find("{", max(done, word.end()), word.end() + _BEHIND)
        while start >= 0:
            value, end = _object_at(text, start)
            if value is not None and _describes_object(value):
                yield value
                done = end
                break
            start = text.find("{", start + 1, word.end() + _BEHIND)


def placed_objects(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects that stand in a text, in order and each with its place, without those inside others."""
    start = text.find("{")
    for _ in range(_MOST_STARTS):
        if start < 0:
            return
        value, end = _object_at(text, start)
        if value is not None:
            yield start, value
        start = text.find("{", end)


def _object_at(text: str, start: int) -> tuple[dict[str, Any] | None, int]:
    """The JSON object that begins there, if one does, and where to go on."""
    try:
        value, end = _decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, start + 1
    return value, end


def _describes_object(value: Schema) -> bool:
    schema = resolved(value, value)
    return schema.get("type") == "object" and isinstance(schema.get("properties"), dict)


def resolved(schema: Schema, root: Schema) -> Schema:
    """The schema itself, or what its reference into `$defs` or to the root stands for; {} for no such place."""
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        target: Any = root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if part:
                target = target.get(part) if isinstance(target, dict) else None
        if not isinstance(target, dict):
            return {}
        schema = target
    return {}


def mapping_at(schema: Schema, name: str) -> Mapping[str, Any]:
    """The object under a keyword; {} for anything else."""
    value = schema.get(name)
    return value if isinstance(value, dict) else {}


def list_at(schema: Schema, name: str) -> list[Any]:
    """The list under a keyword; [] for anything else."""
    value = schema.get(name)
    return value if isinstance(value, list) else []


def number_at(schema: Schema, name: str) -> float | None:
    """The finite number under a keyword; None for anything else."""
    value = schema.get(name)
    return value if is_number(value) and abs(value) < _FINITE else None


def allows_text(schema: Schema, root: Schema) -> bool:
    """Whether an object of this schema may have a further property that is a text."""
    further = schema.get("additionalProperties", True)
    return fits("", further, root) if isinstance(further, dict) else further is not False


def fits(value: Any, schema: Schema, root: Schema, depth: int = 0) -> bool:
    """Whether a value is an instance of a schema, by the keywords that Kimi's subset has, and `const`."""
    schema = resolved(schema, root)
    if depth > _DEEPEST:
        return False
    branches = list_at(schema, "anyOf")
    if branches and not any(
        isinstance(branch, dict) and fits(value, branch, root, depth + 1) for branch in branches
    ):
        return False
    kinds = [schema["type"]] if isinstance(schema.get("type"), str) else list_at(schema, "type")
    if kinds and not any(_is_of(value, kind) for kind in kinds):
        return False
    enumerated = list_at(schema, "enum")
    if enumerated and not any(_same(value, each) for each in enumerated):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    return _within_bounds(value, schema) and _parts_fit(value, schema, root, depth + 1)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_of(value: Any, kind: Any) -> bool:
    if kind == "integer":
        return is_number(value) and value == value // 1
    if kind == "number":
        return is_number(value)
    types = {"null": type(None), "boolean": bool, "object": dict, "array": list, "string": str}
    return isinstance(kind, str) and kind in types and isinstance(value, types[kind])


def _within_bounds(value: Any, schema: Schema) -> bool:
    size: float
    if isinstance(value, str):
        size, least, most = len(value), "minLength", "maxLength"
    elif isinstance(value, list):
        size, least, most = len(value), "minItems", "maxItems"
    elif is_number(value):
        size, least, most = value, "minimum", "maximum"
    else:
        return True
    low, high = number_at(schema, least), number_at(schema, most)
    return (low is None or size >= low) and (high is None or size <= high)


def _parts_fit(value: Any, schema: Schema, root: Schema, depth: int) -> bool:
    if isinstance(value, list):
        items = mapping_at(schema, "items")
        return all(fits(each, items, root, depth) for each in value)
    if not isinstance(value, dict):
        return True
    properties = mapping_at(schema, "properties")
    further = schema.get("additionalProperties", True)
    if any(name not in value for name in list_at(schema, "required") if isinstance(name, str)):
        return False
    for name, part in value.items():
        rule = properties.get(name, further)
        if rule is False or (isinstance(rule, dict) and not fits(part, rule, root, depth)):
            return False
    return True
