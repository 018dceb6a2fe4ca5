"""Moonshot's subset of JSON Schema, as strict as any published version of its checker.

The subset is described in the documents of MoonshotAI/walle; of two versions that differ the stricter one counts,
so that what passes here passes both.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from exai_emulator.shapes import as_int, is_number

__all__ = ["Trouble", "TroubleKind", "troubles_of"]

TroubleKind = Literal["keyword", "value", "type", "reference", "beside", "size"]

TYPES = ("null", "boolean", "object", "array", "number", "integer", "string")
MOST_PROPERTIES = 100
MOST_LEVELS = 5
MOST_BRANCHES = 10
MOST_ENUMERATED = 500

_DEEPEST = 60
"""Steps of a path below which nothing is looked at."""

_ANNOTATIONS = frozenset({"description", "title"})
_ROOT_ONLY = frozenset({"$defs", "$id"})
_BOUNDS = (("minLength", "maxLength"), ("minItems", "maxItems"), ("minimum", "maximum"))
_ANY_TYPE = _ANNOTATIONS | {"type", "enum", "default", "anyOf", "$ref"}
_OF_TYPE: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength"}),
    "number": frozenset({"minimum", "maximum"}),
    "integer": frozenset({"minimum", "maximum"}),
}
_KEYWORDS = _ANY_TYPE | _ROOT_ONLY | frozenset().union(*_OF_TYPE.values())
_NOT_PROPERTIES = frozenset({"$defs", "$ref", "anyOf", "required", "additionalProperties"})
_PYTHON = {"boolean": bool, "string": str, "null": type(None)}


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a schema, and where."""

    kind: TroubleKind
    path: str
    detail: str

    def __str__(self) -> str:
        return f"<At path '{self.path or 'root'}': {self.detail}>"


def troubles_of(schema: Mapping[str, Any]) -> Iterator[Trouble]:
    """Everything in a schema that the subset does not have."""
    if schema:
        check = _Check(schema)
        yield from check.of(schema, "", 0)
        yield from check.sizes()
        if not check.is_too_deep and not check.ends():
            yield Trouble("reference", "", "detected infinite recursion without termination condition")


class _Check:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._properties = self._enumerated = self._levels = 0
        self.is_too_deep = False

    def sizes(self) -> Iterator[Trouble]:
        if self._properties > MOST_PROPERTIES:
            yield Trouble("size", "", f"a schema has at most {MOST_PROPERTIES} properties")
        if self._levels > MOST_LEVELS or self.is_too_deep:
            yield Trouble("size", "", f"a schema has at most {MOST_LEVELS} levels of objects")
        if self._enumerated > MOST_ENUMERATED:
            yield Trouble("size", "", f"a schema has at most {MOST_ENUMERATED} enumerated values")

    def of(self, schema: Any, path: str, level: int) -> Iterator[Trouble]:
        """What is wrong at one place and below it."""
        if not isinstance(schema, dict):
            yield Trouble("value", path, "schema must be an object")
            return
        if path.count(".") > _DEEPEST:
            self.is_too_deep = True
            return
        yield from _keywords(schema, path)
        yield from _annotations(schema, path)
        if "$ref" in schema or "anyOf" in schema:
            yield from _beside(schema, path)
        elif "type" not in schema:
            yield Trouble("type", path, "type is not defined")
        yield from self._reference(schema, path)
        yield from self._type(schema, path)
        yield from self._enum(schema, path)
        yield from self._inside(schema, path, level)

    def _reference(self, schema: Mapping[str, Any], path: str) -> Iterator[Trouble]:
        if "$ref" not in schema:
            return
        reference = schema["$ref"]
        name = reference.removeprefix("#/$defs/") if isinstance(reference, str) else ""
        if not isinstance(reference, str):
            yield Trouble("value", path, "$ref must be a string")
        elif reference != "#" and not reference.startswith("#/$defs/"):
            yield Trouble("reference", _at(path, "$ref"), "references must start with #/$defs/")
        elif reference != "#" and name not in self._definitions:
            yield Trouble("reference", _at(path, "$ref"), f"invalid $ref path: {reference}")

    @property
    def _definitions(self) -> Mapping[str, Any]:
        held = self._root.get("$defs")
        return held if isinstance(held, dict) else {}

    def _type(self, schema: Mapping[str, Any], path: str) -> Iterator[Trouble]:
        kinds = schema.get("type")
        if kinds is None:
            return
        if isinstance(kinds, list) and kinds and all(isinstance(each, str) for each in kinds):
            yield from _several_types(schema, kinds, path)
        elif not isinstance(kinds, str):
            yield Trouble("value", path, "type must be string or array of strings")
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if isinstance(kind, str) and kind not in TYPES:
                yield Trouble("value", path, "invalid type")
        if isinstance(kinds, str) and kinds in TYPES:
            yield from _of_type(schema, kinds, path)

    def _enum(self, schema: Mapping[str, Any], path: str) -> Iterator[Trouble]:
        if "enum" not in schema:
            return
        values = schema["enum"]
        if not isinstance(values, list) or not values:
            yield Trouble("value", path, "enum must be an array that is not empty")
            return
        self._enumerated += len(values)
        kinds = schema.get("type")
        allowed = kinds if isinstance(kinds, list) else [kinds]
        if not all(any(_is_of(value, kind) for kind in allowed) for value in values):
            yield Trouble("value", path, "enum value does not match type")
        if len({_group(value) for value in values} - {"null"}) > 1:
            yield Trouble("value", path, "enum values must be of one type")

    def _inside(self, schema: Mapping[str, Any], path: str, level: int) -> Iterator[Trouble]:
        properties = schema.get("properties")
        if isinstance(properties, dict):
            self._properties += len(properties)
            self._levels = max(self._levels, level + 1)
            for name, part in properties.items():
                if name in _NOT_PROPERTIES:
                    yield Trouble("value", _at(path, "properties"), f"property name '{name}' is not allowed")
                yield from self.of(part, _at(path, f"properties.{name}"), level + 1)
        elif "properties" in schema:
            yield Trouble("value", path, "properties must be an object")
        if "items" in schema:
            yield from self.of(schema["items"], _at(path, "items"), level)
        if further := schema.get("additionalProperties"):
            if isinstance(further, dict):
                yield from self.of(further, _at(path, "additionalProperties"), level)
            elif not isinstance(further, bool):
                yield Trouble("value", path, "additionalProperties must be a boolean or an object")
        yield from self._branches(schema, path, level)
        if not path:
            yield from self._own_definitions(schema)

    def _branches(self, schema: Mapping[str, Any], path: str, level: int) -> Iterator[Trouble]:
        if "anyOf" not in schema:
            return
        branches = schema["anyOf"]
        if not isinstance(branches, list) or not 1 <= len(branches) <= MOST_BRANCHES:
            yield Trouble("size", path, f"anyOf must have 1-{MOST_BRANCHES} items")
            return
        for place, branch in enumerate(branches):
            yield from self.of(branch, _at(path, f"anyOf.{place}"), level)

    def _own_definitions(self, schema: Mapping[str, Any]) -> Iterator[Trouble]:
        if not isinstance(schema.get("$defs", {}), dict):
            yield Trouble("value", "", "$defs must be an object")
        for name, part in self._definitions.items():
            if "/" in name:
                yield Trouble("value", "$defs", f"$defs property name '{name}' cannot contain '/' character")
            yield from self.of(part, f"$defs.{name}", 0)

    def ends(self) -> bool:
        """Whether every definition, and the root, has an instance that ends."""
        places = {f"#/$defs/{name}": part for name, part in self._definitions.items()} | {"#": self._root}
        ending: set[str] = set()
        while True:
            found = {name for name, part in places.items() if name not in ending and _ends(part, ending)}
            if not found:
                return len(ending) == len(places)
            ending |= found


def _ends(schema: Any, ending: set[str]) -> bool:
    """Whether a schema has an instance that needs no other definitions than `ending`."""
    if not isinstance(schema, dict):
        return True
    if isinstance(reference := schema.get("$ref"), str) and reference.startswith("#"):
        return reference in ending
    branches = schema.get("anyOf")
    if isinstance(branches, list) and branches and not any(_ends(branch, ending) for branch in branches):
        return False
    if (as_int(schema.get("minItems")) or 0) > 0 and not _ends(schema.get("items"), ending):
        return False
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or not isinstance(required, list):
        return True
    return all(_ends(part, ending) for name, part in properties.items() if name in required)


def _keywords(schema: Mapping[str, Any], path: str) -> Iterator[Trouble]:
    for keyword in sorted(schema.keys() - _KEYWORDS):
        yield Trouble("keyword", path, f"keyword '{keyword}' is not supported")
    if path:
        for keyword in sorted(schema.keys() & _ROOT_ONLY):
            yield Trouble("keyword", path, f"keyword '{keyword}' is only allowed at root")


def _annotations(schema: Mapping[str, Any], path: str) -> Iterator[Trouble]:
    for keyword in ("description", "title", "$id"):
        if not isinstance(schema.get(keyword, ""), str):
            yield Trouble("value", path, f"{keyword} must be a string")


def _beside(schema: Mapping[str, Any], path: str) -> Iterator[Trouble]:
    word = "anyOf" if "anyOf" in schema else "$ref"
    if "type" in schema:
        yield Trouble(
            "beside",
            path,
            f"when using {word}, type should be defined in {word} items instead of the parent schema",
        )
    allowed = _ANNOTATIONS | {word, "type"} | (frozenset() if path else _ROOT_ONLY)
    for keyword in sorted((schema.keys() & _KEYWORDS) - allowed - (_ROOT_ONLY if path else frozenset())):
        yield Trouble("beside", path, f"keyword '{keyword}' is not allowed at the same level as {word}")


def _several_types(schema: Mapping[str, Any], kinds: list[str], path: str) -> Iterator[Trouble]:
    if "enum" in schema:
        if len(kinds) > 2 or (len(kinds) == 2 and "null" not in kinds):
            yield Trouble("type", path, "beside enum, type is one type, or one and null")
    elif others := sorted((schema.keys() & _KEYWORDS) - _ANNOTATIONS - _ROOT_ONLY - {"type"}):
        yield Trouble("type", path, f"keyword '{others[0]}' is not allowed beside several types")


def _of_type(schema: Mapping[str, Any], kind: str, path: str) -> Iterator[Trouble]:
    allowed = _ANY_TYPE | _OF_TYPE.get(kind, frozenset()) | _ROOT_ONLY
    for keyword in sorted((schema.keys() & _KEYWORDS) - allowed):
        yield Trouble("value", path, f"keyword '{keyword}' is not allowed for type {kind}")
    if "default" in schema and (kind in ("object", "array") or not _is_of(schema["default"], kind)):
        yield Trouble("value", path, "default does not match type")
    yield from _bounds(schema, path)
    required, properties = schema.get("required", []), schema.get("properties", {})
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield Trouble("value", path, "items in required array must be strings")
    elif isinstance(properties, dict) and (unknown := sorted(set(required) - properties.keys())):
        yield Trouble("value", path, f"required property '{unknown[0]}' is not defined in properties")


def _bounds(schema: Mapping[str, Any], path: str) -> Iterator[Trouble]:
    for least, most in _BOUNDS:
        low, high = schema.get(least), schema.get(most)
        whole = least != "minimum"
        for name, value in ((least, low), (most, high)):
            if name in schema and (not is_number(value) or (whole and (as_int(value) is None or value < 0))):
                yield Trouble("value", path, f"{name} is invalid")
        if is_number(low) and is_number(high) and low > high:
            yield Trouble("value", path, f"{least} is greater than {most}")


def _is_of(value: Any, kind: Any) -> bool:
    if kind == "integer":
        return as_int(value) is not None
    if kind == "number":
        return is_number(value)
    return isinstance(kind, str) and kind in _PYTHON and isinstance(value, _PYTHON[kind])


def _group(value: Any) -> str:
    if is_number(value):
        return "number"
    return next((name for name, kind in _PYTHON.items() if isinstance(value, kind)), "other")


def _at(path: str, step: str) -> str:
    return f"{path}.{step}" if path else step
