"""Schemas of results: every field, nothing that a reader pays for in vain."""

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from exai.protocol.schemas import ANSWER_LEVELS, answer_schema, input_schema, listed_schema, output_schema


class Deep(msgspec.Struct):
    leaf: int


class Row(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(description="Not listed", max_length=5)]
    deep: Deep


class Found(msgspec.Struct):
    """Not listed."""

    rows: tuple[Row, ...]
    best: Row | None
    kind: Literal["a", "b"] | None
    times: dict[str, float]
    more: str | UnsetType = UNSET


ROW = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "deep": {"type": "object", "properties": {"leaf": {"type": "integer"}}},
    },
}


def test_a_result_is_described_field_by_field() -> None:
    assert output_schema(Found) == {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": ROW},
            "best": {**ROW, "type": ["object", "null"]},
            "kind": {"enum": ["a", "b", None]},
            "times": {"type": "object", "additionalProperties": {"type": "number"}},
            "more": {"type": "string"},
        },
        "required": ["rows", "best", "kind", "times"],
    }


def test_what_lies_deeper_is_an_object_and_no_more() -> None:
    shallow = output_schema(Found, depth=1)
    assert shallow["properties"]["rows"]["items"]["properties"]["deep"] == {"type": "object"}
    assert output_schema(Found, depth=0)["properties"]["rows"] == {
        "type": "array",
        "items": {"type": "object"},
    }


def test_parts_stand_side_by_side_and_share_no_field() -> None:
    both = output_schema(Found, Deep)
    assert set(both["properties"]) == {"rows", "best", "kind", "times", "more", "leaf"}
    assert both["required"] == ["rows", "best", "kind", "times", "leaf"]
    with pytest.raises(ValueError, match="Deep repeats the fields leaf"):
        output_schema(Deep, Deep)


def test_lengths_are_not_listed_and_ranges_are() -> None:
    class Arguments(msgspec.Struct, forbid_unknown_fields=True):
        name: Annotated[str, msgspec.Meta(min_length=1, max_length=5)]
        count: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5

    assert input_schema(Arguments) == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "count": {"type": "integer", "minimum": 1, "maximum": 20, "default": 5},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    listed = listed_schema(Arguments, unlisted={"count"})
    assert set(listed["properties"]) == {"name"}
    assert "additionalProperties" not in listed


class Node(msgspec.Struct):
    below: "list[Node]"


def test_an_answer_is_an_object_of_bounded_depth_that_may_have_further_fields() -> None:
    class Strict(msgspec.Struct, forbid_unknown_fields=True):
        count: Annotated[int, msgspec.Meta(ge=1, description="At least 1")]
        deep: tuple[Deep, ...] | str

    assert answer_schema(Strict) == {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "description": "At least 1"},
            "deep": {
                "anyOf": [
                    {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"leaf": {"type": "integer"}},
                            "required": ["leaf"],
                        },
                    },
                    {"type": "string"},
                ]
            },
        },
        "required": ["count", "deep"],
    }


def test_choices_have_their_type_and_alternatives_nothing_beside_them() -> None:
    class Chosen(msgspec.Struct):
        word: Literal["a", "b"]
        number: Literal[1, 2]
        either: Annotated[int | str, msgspec.Meta(description="One of both")]

    assert answer_schema(Chosen)["properties"] == {
        "word": {"type": "string", "enum": ["a", "b"]},
        "number": {"type": "integer", "enum": [1, 2]},
        "either": {"description": "One of both", "anyOf": [{"type": "integer"}, {"type": "string"}]},
    }

    class Mixed(msgspec.Struct):
        either: Literal["a", 1]

    with pytest.raises(ValueError, match="must all be texts, or all whole numbers"):
        answer_schema(Mixed)


def test_an_answer_that_is_too_deep_is_no_answer() -> None:
    with pytest.raises(ValueError, match="Node refers to itself"):
        answer_schema(Node)
    kind: type[msgspec.Struct] = Deep
    for number in range(ANSWER_LEVELS):
        kind = msgspec.defstruct(f"Around{number}", [("inner", kind)])
    with pytest.raises(ValueError, match="nested in more than 5 levels"):
        answer_schema(kind)
