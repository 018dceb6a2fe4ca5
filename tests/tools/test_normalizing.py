"""Arguments as clients and agents write them: texts in place of values, null and blanks in place of nothing."""

import json
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.auth.scopes import SEARCH
from exai.errors import BadArguments
from exai.protocol import schemas
from exai.tools.arguments import parse_arguments
from exai.tools.base import Tool
from exai.tools.chat import Chat
from exai.tools.models import Models
from exai.tools.registry import Registry
from exai.tools.search import Search
from exai.tools.status import Status

absent: Any = None
TOOLS: list[Tool[Any, Any]] = [
    Chat(absent).tool(),
    Search(absent).tool(),
    Models(absent).tool(),
    Status(absent, absent, absent).tool(),
]
REGISTRY = Registry(TOOLS)


def with_lengths(tool: Tool[Any, Any]) -> dict[str, Any]:
    """The schema of all its arguments, with the bounds of lengths that the list of tools leaves out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schemas, "UNLISTED_BOUNDS", frozenset())
        return schemas.input_schema(tool.arguments)


texts = st.sampled_from(
    ["", " ", "true", "3", "0", "0.5", "null", "[]", '["a"]', "[1]", "{}", "/a b", "auto", "[x].md", "day"]
)
scalars = texts | st.text(max_size=5) | st.integers(-1, 21) | st.floats(-1, 3) | st.booleans() | st.none()
values = scalars | st.lists(scalars, max_size=6) | st.dictionaries(texts, scalars, max_size=2)


def good_values(field: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the schema of one argument allows, and that say something."""
    words = st.text(min_size=1, max_size=9).filter(str.strip)
    if "enum" in field:
        return st.sampled_from(field["enum"])
    if field["type"] == "string":
        return words
    if field["type"] == "boolean":
        return st.booleans()
    if field["type"] == "array":
        return st.lists(words, max_size=3)
    if field["type"] == "integer":
        return st.integers(field["minimum"], field["maximum"]) | st.sampled_from([1.0, 3.0])
    excluded = "exclusiveMinimum" in field
    least = field["exclusiveMinimum"] if excluded else field["minimum"]
    return st.floats(least, field["maximum"], exclude_min=excluded)


@st.composite
def good_calls(draw: st.DrawFn) -> tuple[Tool[Any, Any], dict[str, Any]]:
    tool = draw(st.sampled_from(TOOLS))
    fields, required = tool.argument_schema["properties"], tool.argument_schema.get("required", [])
    names = {*required, *draw(st.sets(st.sampled_from(sorted(fields))))}
    return tool, {name: draw(good_values(fields[name])) for name in sorted(names)}


@given(call=good_calls(), data=st.data())
def test_the_check_is_never_stricter_than_the_schema(
    call: tuple[Tool[Any, Any], dict[str, Any]], data: st.DataObject
) -> None:
    tool, arguments = call
    schema = with_lengths(tool)
    arguments |= data.draw(st.dictionaries(st.sampled_from(sorted(schema["properties"])), values, max_size=1))
    if jsonschema.Draft202012Validator(schema).is_valid(arguments):
        parse_arguments(tool, arguments)


@given(call=good_calls())
def test_a_text_that_holds_the_value_is_taken_for_it(call: tuple[Tool[Any, Any], dict[str, Any]]) -> None:
    tool, arguments = call
    fields = tool.argument_schema["properties"]
    spelled = {
        name: json.dumps(value) if fields[name].get("type", "string") != "string" else value
        for name, value in arguments.items()
    }
    assert parse_arguments(tool, spelled) == parse_arguments(tool, arguments)


@given(call=good_calls(), nothing=st.sampled_from([None, "", " \n"]))
def test_null_and_blanks_say_the_same_as_leaving_out(
    call: tuple[Tool[Any, Any], dict[str, Any]], nothing: str | None
) -> None:
    tool, arguments = call
    left_out = dict.fromkeys(tool.argument_schema["properties"].keys() - arguments.keys(), nothing)
    assert parse_arguments(tool, {**arguments, **left_out}) == parse_arguments(tool, arguments)


@given(value=values | st.sampled_from(["True", " TRUE ", "False", "FALSE", "None", 1, 1.0]))
def test_a_search_that_is_wanted_needs_its_scope_however_it_is_spelled(value: Any) -> None:
    arguments = {"prompt": "Hi.", "use_websearch": value}
    invocation = REGISTRY.find("chat", arguments)
    try:
        wanted = msgspec.to_builtins(invocation.arguments())["use_websearch"]
    except BadArguments:
        return
    assert (SEARCH in invocation.scopes) == wanted


def parsed(tool: str, **arguments: Any) -> Any:
    needed = {"chat": {"prompt": "Hi."}, "search": {"query": "q"}}.get(tool, {})
    return REGISTRY.find(tool, {**needed, **arguments}).arguments()


def test_what_clients_send() -> None:
    chat = parsed(
        "chat",
        fallback_models='["kimi-k3"]',
        temperature="0.5",
        use_websearch="true",
        absolute_file_paths="/src/[id].tsx",
        images='["/a.png", "/b.png"]',
        max_answer_tokens="100",
    )
    assert chat.fallback_models == ["kimi-k3"]
    assert chat.temperature == 0.5
    assert chat.use_websearch is True
    assert chat.absolute_file_paths == ["/src/[id].tsx"]
    assert chat.images == ["/a.png", "/b.png"]
    assert chat.max_answer_tokens == 100
    assert parsed("search", count="3", domains="example.org").count == 3
    assert parsed("search", count=3.0).count == 3
    assert parsed("chat", use_websearch="True").use_websearch is True


def test_zero_is_none_where_it_is_no_value() -> None:
    assert parsed("search", count=0).count == 5
    assert parsed("chat", max_answer_tokens="0").max_answer_tokens is None
    assert parsed("chat", temperature=0).temperature == 0


def test_an_empty_list_is_said_and_one_of_blanks_is_not() -> None:
    assert parsed("chat", fallback_models=[]).fallback_models == []
    assert parsed("chat", fallback_models="[]").fallback_models == []
    assert parsed("chat", fallback_models=["", None]).fallback_models is None
    assert parsed("chat", absolute_file_paths=["/a", "", None]).absolute_file_paths == ["/a"]


def test_a_text_argument_keeps_its_text() -> None:
    for text in ("true", "3", "[]", "null", ' "quoted" '):
        assert parsed("chat", prompt=text, model=text).prompt == text
        assert parsed("chat", model=text).model == text


def test_two_names_for_one_argument_do_not_differ_where_one_says_nothing() -> None:
    for nothing in (None, ""):
        assert parsed("chat", thinking_mode=nothing, effort="high").effort == "high"
        assert parsed("chat", thinking_mode="high", effort=nothing).effort == "high"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("chat", {"temperature": "hot"}),
        ("chat", {"temperature": "true"}),
        ("chat", {"temperature": "[0.5]"}),
        ("chat", {"use_websearch": "1"}),
        ("chat", {"use_websearch": 0}),
        ("chat", {"max_answer_tokens": "1.5"}),
        ("chat", {"absolute_file_paths": {"a": "/a"}}),
        ("chat", {"absolute_file_paths": "[1]"}),
        ("chat", {"prompt": None}),
        ("search", {"count": "1e400"}),
        ("search", {"count": "21"}),
    ],
)
def test_what_is_no_such_value_is_refused(tool: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(BadArguments, match=next(iter(arguments))):
        parsed(tool, **arguments)


def test_a_text_of_many_brackets_is_not_read() -> None:
    with pytest.raises(BadArguments, match="temperature"):
        parsed("chat", temperature="[" * 2_000_000)
