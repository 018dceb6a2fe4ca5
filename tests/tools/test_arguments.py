"""Arguments: their schemas, how they are checked, and the errors that name what is wrong."""

from dataclasses import replace
from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest

from exai.auth.scopes import SEARCH, STATUS
from exai.consulting.context import CallContext
from exai.consulting.results import Result, ToolReturn
from exai.errors import BadArguments
from exai.protocol.schemas import input_schema
from exai.tools.arguments import parse_arguments
from exai.tools.base import Arguments, Tool
from exai.tools.registry import Registry


class Inner(msgspec.Struct):
    line: int


class Sample(Arguments, frozen=True):
    name: Annotated[str, msgspec.Meta(min_length=1, description="A name")]
    count: Annotated[int, msgspec.Meta(ge=1)] | None = None
    inner: Inner | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    loud: bool = False
    colour: Literal["red", "green", "blue"] | None = None
    sizes: list[Literal["small", "large"]] = msgspec.field(default_factory=list)


class Nothing(Result, frozen=True):
    pass


async def run(arguments: Sample, context: CallContext) -> ToolReturn[Nothing]:
    raise AssertionError("not run here")


TOOL = Tool(
    name="sample",
    title="Sample",
    description="",
    arguments=Sample,
    run=run,
    result=Nothing,
    asks_provider=False,
    scope=STATUS,
)


def test_the_schema_is_flat_closed_and_valid() -> None:
    schema = input_schema(Sample)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "$ref" not in str(schema)
    assert "$defs" not in schema
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["name"] == {"type": "string", "description": "A name"}
    assert schema["properties"]["count"] == {"type": "integer", "minimum": 1}
    assert schema["properties"]["inner"]["properties"] == {"line": {"type": "integer"}}


@pytest.mark.parametrize(
    "arguments", [{"name": "a"}, {"name": "a", "count": 2, "inner": {"line": 1}, "tags": ["x"], "loud": True}]
)
def test_what_the_schema_allows_is_taken(arguments: dict[str, Any]) -> None:
    jsonschema.validate(arguments, input_schema(Sample))
    parsed = parse_arguments(TOOL, arguments)
    assert parsed.name == "a"


def test_null_says_the_same_as_leaving_out() -> None:
    assert parse_arguments(TOOL, {"name": "a", "count": None}) == parse_arguments(TOOL, {"name": "a"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (None, ["Missing", "'name'"]),
        ({"name": 3}, ["'name'", "str", "int"]),
        ({"name": ""}, ["'name'", "length"]),
        ({"name": "a", "count": -1}, ["'count'", ">= 1"]),
        ({"name": "a", "tags": [1]}, ["tags[0]"]),
        ({"name": "a", "inner": {"line": "x"}}, ["inner.line"]),
        (
            {"name": "a", "colour": "gren"},
            ["'colour'", "'gren'", "Did you mean 'green'?", "blue, green, red"],
        ),
        ({"name": "a", "colour": 3}, ["'colour'", "int", "It is one of blue, green, red."]),
        ({"name": "a", "colour": "x" * 1_000}, ["'colour'", "It is one of blue, green, red."]),
        ({"name": "a", "sizes": ["small", "huge"]}, ["'sizes[1]'", "'huge'", "one of large, small"]),
        ({"name": "a", "nmae": 1}, ["Unknown argument 'nmae'", "Did you mean 'name'?"]),
    ],
)
def test_a_refusal_names_the_place_and_what_the_tool_takes(arguments: Any, words: list[str]) -> None:
    with pytest.raises(BadArguments) as caught:
        parse_arguments(TOOL, arguments)
    sentence = str(caught.value)
    for word in [*words, "sample takes: name, count, inner, tags, loud, colour, sizes."]:
        assert word in sentence


def test_one_of_a_list_of_values_is_taken_in_any_case() -> None:
    parsed = parse_arguments(TOOL, {"name": "a", "colour": " Green", "sizes": ["LARGE"]})
    assert (parsed.colour, parsed.sizes) == ("green", ["large"])


def test_a_refusal_never_quotes_a_long_name_whole() -> None:
    with pytest.raises(BadArguments) as caught:
        parse_arguments(TOOL, {"name": "a", "x" * 10_000: 1})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("arguments", "needs_more"),
    [
        (None, False),
        ({}, False),
        ({"name": "x", "loud": False}, False),
        ({"loud": True}, True),
        ({"loud": "true"}, True),
        ({"loud": "anything"}, True),
        ({"loud": "false"}, False),
        ({"loud": None}, False),
        ({"quick": True}, True),
        ({"quick": False, "loud": True}, True),
    ],
)
def test_an_argument_may_need_a_scope_of_its_own_under_each_of_its_names(
    arguments: dict[str, Any] | None, needs_more: bool
) -> None:
    tool = replace(TOOL, argument_scopes={"loud": SEARCH}, argument_aliases={"quick": "loud"})
    assert Registry([tool]).find("sample", arguments).scopes == (
        (STATUS, SEARCH) if needs_more else (STATUS,)
    )
