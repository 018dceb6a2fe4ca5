"""The catalogue of tools."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from checks.opening import unserved_registry

from exai.auth.scopes import SCOPES
from exai.config.calls.tools import Profile
from exai.consulting.answer import More
from exai.consulting.results import Report
from exai.errors import StartFault, UnknownTool
from exai.tools.aliases import Alias
from exai.tools.listing.profiles import ORDER
from exai.tools.registry import Registry

WRITING = {"files", "plan"}

NAMES = list(ORDER)


@pytest.fixture
def registry() -> Registry:
    return unserved_registry()


def test_every_tool_says_what_it_takes_and_gives(registry: Registry) -> None:
    assert [tool.name for tool in registry.listing] == NAMES
    for tool in registry.listing:
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
        assert (tool.output_schema or {})["type"] == "object"
        assert tool.description
        assert tool.annotations["readOnlyHint"] is (tool.name not in WRITING)


def test_hints_are_given_where_clients_would_assume_something_else(registry: Registry) -> None:
    hints = {tool.name: tool.annotations for tool in registry.listing}
    assert hints["chat"] == {"readOnlyHint": True}
    assert hints["plan"] == {"readOnlyHint": False, "destructiveHint": False}
    assert hints["files"] == {"readOnlyHint": False, "openWorldHint": False, "idempotentHint": True}
    assert hints["status"] == {"readOnlyHint": True, "openWorldHint": False}


def test_a_title_is_given_where_it_is_not_the_name(registry: Registry) -> None:
    titles = {tool.name: tool.title for tool in registry.listing}
    assert titles["debug"] is None
    assert titles["chat"] == "Ask a model"


def test_the_manual_names_every_argument_and_every_field(registry: Registry) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
    sections = {part.split("`")[0]: part for part in manual.split("\n## `")[1:]}
    shared = manual.split("\n## ")[0]
    for tool in registry.listing:
        fields = registry.find(tool.name).tool.arguments.__struct_encode_fields__
        result = registry.find(tool.name).tool.result
        names = {*fields, *result.__struct_encode_fields__}
        documented = sections[tool.name] + shared
        assert {name for name in names if f"`{name}`" not in documented} == set(), tool.name


def test_a_client_may_show_a_long_answer_whole(registry: Registry) -> None:
    asked = {tool.name: (tool.meta or {}).get("anthropic/maxResultSizeChars", 0) for tool in registry.listing}
    whole = {name for name, characters in asked.items() if characters == 500_000}
    assert whole == {"chat", "think", "files"}, "the most that its reader allows"


def test_older_names_answer_without_being_listed(registry: Registry) -> None:
    assert registry.find("listmodels").tool.name == "models"
    assert registry.find("version").tool.name == "status"
    assert registry.input_schema("version") == registry.input_schema("status")


def test_an_unknown_name_is_answered_with_what_there_is(registry: Registry) -> None:
    with pytest.raises(UnknownTool, match=f"This server has: {', '.join(NAMES)}") as caught:
        registry.find("x" * 5000)
    assert len(str(caught.value)) < 300
    assert registry.input_schema("nothing") is None


def test_two_tools_cannot_share_a_name(registry: Registry) -> None:
    tool = registry.find("models").tool
    with pytest.raises(ValueError, match="two tools answer to 'models'"):
        Registry([tool, tool])


def test_what_each_tool_needs(registry: Registry) -> None:
    needed = {each.name: registry.find(each.name).scopes for each in registry.listing}
    assert needed == {
        "chat": ("tools:models",),
        "think": ("tools:models",),
        "debug": ("tools:models",),
        "review": ("tools:models",),
        "plan": ("tools:models",),
        "analyze": ("tools:models",),
        "write": ("tools:models",),
        "consensus": ("tools:models",),
        "challenge": ("tools:models",),
        "search": ("tools:search",),
        "files": ("files",),
        "status": ("tools:status",),
    }
    assert registry.find("chat", {"use_websearch": True}).scopes == ("tools:models", "tools:search")
    assert {scope for tool in needed.values() for scope in tool} <= SCOPES.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unlisted": frozenset({"nothing"})}, "models has no arguments nothing"),
        ({"argument_scopes": {"nothing": "admin"}}, "models has no arguments nothing"),
        ({"argument_aliases": {"vendor": "nothing"}}, "models has no arguments nothing"),
        ({"aliases": (Alias("older", presets={"nothing": 1}),)}, "models has no arguments nothing"),
        ({"aliases": (Alias("older", renames={"vendor": "nothing"}),)}, "models has no arguments nothing"),
        ({"aliases": (Alias("older", joins={"nothing": ("a", "b")}),)}, "models has no arguments nothing"),
        ({"aliases": (Alias("models"),)}, "two tools answer to 'models'"),
    ],
)
def test_a_tool_that_contradicts_itself_stops_the_start(
    registry: Registry, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Registry([replace(registry.find("models").tool, **changes)])


def test_an_argument_that_must_be_given_cannot_be_unlisted(registry: Registry) -> None:
    with pytest.raises(ValueError, match="chat needs prompt, which must be listed"):
        Registry([replace(registry.find("chat").tool, unlisted=frozenset({"prompt"}))])


def test_a_report_cannot_have_the_fields_that_the_dispatcher_adds(registry: Registry) -> None:
    class Clashing(Report, frozen=True):
        call_id: str

    with pytest.raises(ValueError, match="CallFacts repeats the fields call_id"):
        Registry([replace(registry.find("chat").tool, report=Clashing)])


def test_every_answer_can_say_where_it_goes_on(registry: Registry) -> None:
    """A long one is cut by the dispatcher, whichever tool it is of."""
    for tool in registry.listing:
        result = registry.find(tool.name).tool.result
        fields = {field.name: field.type for field in msgspec.structs.fields(result)}
        if registry.find(tool.name).tool.asks_provider and "answer" in fields:
            assert fields["more"] == tuple[More, ...], tool.name
            assert fields["notes"] == tuple[str, ...], tool.name


def test_a_hidden_tool_answers_and_no_list_has_it(registry: Registry) -> None:
    tools = [registry.find(name).tool for name in ("chat", "plan")]
    hiding = Registry(tools, ["plan"])
    for profile in get_args(Profile):
        names = [entry.name for entry in hiding.listing_of(profile)]
        assert "plan" not in names
        assert "chat" in names
    assert hiding.find("plan").tool.name == "plan"


def test_a_hidden_tool_that_does_not_exist_stops_the_start(registry: Registry) -> None:
    with pytest.raises(StartFault, match=r"`tools\.hidden` names plann, and there is no such tool"):
        Registry([registry.find("plan").tool], ["plann"])
