"""Moonshot's subset of JSON Schema, case by case."""

from typing import Any

import pytest

from exai_emulator.objects.moonshot import TroubleKind, troubles_of

TEXT = {"type": "string"}


def of(part: Any, **root: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": part}, **root}


def nested(levels: int) -> dict[str, Any]:
    return of(nested(levels - 1)) if levels > 1 else of(TEXT)


def node(*required: str, **more: Any) -> dict[str, Any]:
    """A schema whose definition refers to itself."""
    defs = {"N": {"type": "object", "properties": {"next": more or {"$ref": "#/$defs/N"}}}}
    return of({"$ref": "#/$defs/N"}, **{"$defs": {"N": defs["N"] | {"required": list(required)}}})


TAKEN: dict[str, dict[str, Any]] = {
    "anything": {},
    "annotations": of({"type": "string", "title": "A", "description": "What a is.", "default": "x"}),
    "bounds": of(
        {"type": "array", "items": {"type": "number", "minimum": -1.5, "maximum": 2}, "minItems": 1}
    ),
    "lengths": of({"type": "string", "minLength": 1, "maxLength": 9}),
    "enumerated": of({"type": "string", "enum": ["x", "y"]}),
    "enumerated or null": of({"type": ["string", "null"], "enum": ["x", None]}),
    "several types": of({"type": ["string", "integer"], "description": "Either."}),
    "alternatives": of({"anyOf": [TEXT, {"type": "null"}], "description": "Perhaps."}),
    "free list": of({"type": "array"}),
    "map": {"type": "object", "additionalProperties": TEXT},
    "closed": of(TEXT, additionalProperties=False, required=["a"]),
    "reference": of({"$ref": "#/$defs/B", "title": "A"}, **{"$defs": {"B": TEXT}, "$id": "b"}),
    "root reference": {"$ref": "#/$defs/B", "$defs": {"B": of(TEXT)}},
    "optional recursion": node(),
    "recursion that may be null": node("next", anyOf=[{"$ref": "#/$defs/N"}, {"type": "null"}]),
    "recursion in a list": node("next", type="array", items={"$ref": "#/$defs/N"}),
    "five levels": nested(5),
}

REFUSED: dict[str, tuple[dict[str, Any], TroubleKind, str, str]] = {
    "no type": (of({"description": "x"}), "type", "properties.a", "type is not defined"),
    "empty part": (of({}), "type", "properties.a", "type is not defined"),
    "unknown type": (of({"type": "text"}), "value", "properties.a", "invalid type"),
    "type of the wrong kind": (of({"type": 7}), "value", "properties.a", "type must be string"),
    "several types with more": (
        of({"type": ["string", "null"], "minLength": 1}),
        "type",
        "properties.a",
        "minLength",
    ),
    "enum of three types": (
        of({"type": ["string", "integer", "null"], "enum": ["x"]}),
        "type",
        "properties.a",
        "one",
    ),
    "part that is no schema": (of(True), "value", "properties.a", "schema must be an object"),
    "properties that are a list": (
        {"type": "object", "properties": []},
        "value",
        "root",
        "properties must be",
    ),
    "reserved name": (
        of(TEXT) | {"properties": {"anyOf": TEXT}},
        "value",
        "properties",
        "'anyOf' is not allowed",
    ),
    "unknown keyword": (of({"type": "string", "pattern": "x"}), "keyword", "properties.a", "'pattern'"),
    "one of": ({"type": "object", "oneOf": [TEXT]}, "keyword", "root", "'oneOf'"),
    "constant": (of({"type": "string", "const": "x"}), "keyword", "properties.a", "'const'"),
    "definitions below the root": (
        of({**of(TEXT), "$defs": {}}),
        "keyword",
        "properties.a",
        "only allowed at root",
    ),
    "keyword of another type": (
        of({"type": "string", "minItems": 1}),
        "value",
        "properties.a",
        "for type string",
    ),
    "description that is a list": (
        of({**TEXT, "description": []}),
        "value",
        "properties.a",
        "must be a string",
    ),
    "required name that is missing": (of(TEXT, required=["b"]), "value", "root", "'b' is not defined"),
    "required that is a text": (of(TEXT, required="a"), "value", "root", "required array"),
    "enum that is empty": (of({"type": "string", "enum": []}), "value", "properties.a", "not empty"),
    "enum of mixed values": (
        of({"type": ["string", "null"], "enum": ["x", 1]}),
        "value",
        "properties.a",
        "enum",
    ),
    "default of a list": (of({"type": "array", "default": []}), "value", "properties.a", "default"),
    "default of another type": (of({"type": "integer", "default": "1"}), "value", "properties.a", "default"),
    "bounds that cross": (
        of({"type": "integer", "minimum": 3, "maximum": 1}),
        "value",
        "properties.a",
        "greater",
    ),
    "negative length": (
        of({"type": "string", "minLength": -1}),
        "value",
        "properties.a",
        "minLength is invalid",
    ),
    "additional text": (of(TEXT, additionalProperties="no"), "value", "root", "boolean or an object"),
    "items that are a list": (
        of({"type": "array", "items": [TEXT]}),
        "value",
        "properties.a.items",
        "an object",
    ),
    "type beside alternatives": (
        of({"type": "string", "anyOf": [TEXT]}),
        "beside",
        "properties.a",
        "anyOf items",
    ),
    "default beside alternatives": (
        of({"default": None, "anyOf": [TEXT, {"type": "null"}]}),
        "beside",
        "properties.a",
        "keyword 'default' is not allowed at the same level as anyOf",
    ),
    "length beside a reference": (
        of({"$ref": "#/$defs/B", "minLength": 1}, **{"$defs": {"B": TEXT}}),
        "beside",
        "properties.a",
        "'minLength'",
    ),
    "reference elsewhere": (
        of({"$ref": "https://x"}),
        "reference",
        "properties.a.$ref",
        "must start with #/$defs/",
    ),
    "reference to nothing": (
        of({"$ref": "#/$defs/B"}),
        "reference",
        "properties.a.$ref",
        "invalid $ref path",
    ),
    "reference that is a number": (of({"$ref": 1}), "value", "properties.a", "$ref must be a string"),
    "definition with a slash": (of(TEXT, **{"$defs": {"a/b": TEXT}}), "value", "$defs", "'/'"),
    "definitions that are a list": (of(TEXT, **{"$defs": []}), "value", "root", "$defs must be an object"),
    "endless recursion": (node("next"), "reference", "root", "infinite recursion"),
    "endless list": (
        node("next", type="array", items={"$ref": "#/$defs/N"}, minItems=1),
        "reference",
        "root",
        "infin",
    ),
    "endless alternatives": (node("next", anyOf=[{"$ref": "#/$defs/N"}]), "reference", "root", "infinite"),
    "six levels": (nested(6), "size", "root", "5 levels"),
    "bottomless": (nested(70), "size", "root", "5 levels"),
    "101 properties": (
        {"type": "object", "properties": {f"p{n}": TEXT for n in range(101)}},
        "size",
        "root",
        "100 properties",
    ),
    "501 values": (of({"type": "integer", "enum": list(range(501))}), "size", "root", "500 enumerated"),
    "no alternatives": (of({"anyOf": []}), "size", "properties.a", "1-10 items"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_subset_has_is_taken(name: str) -> None:
    assert [str(trouble) for trouble in troubles_of(TAKEN[name])] == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_subset_lacks_is_refused_by_its_place(name: str) -> None:
    schema, kind, path, detail = REFUSED[name]
    found = [trouble for trouble in troubles_of(schema) if trouble.kind == kind]
    assert any(
        str(trouble).startswith(f"<At path '{path}': ") and detail in trouble.detail for trouble in found
    )
