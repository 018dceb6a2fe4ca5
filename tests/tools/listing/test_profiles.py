"""The lists of tools: what each has and costs, and who is shown which."""

from typing import get_args

import jsonschema
import pytest
from checks.opening import unserved_registry
from checks.prices import BEGIN, END, MANUAL, as_listed, price_of, table

from exai import config
from exai.callers import Caller, Credential, Door
from exai.config.calls.tools import ListedFor, Profile
from exai.tools.listing.profiles import ORDER, Profiles
from exai.tools.registry import Registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return unserved_registry()


def somebody(client: str = "", token_id: str | None = None) -> Caller:
    credential = None if token_id is None else Credential("exai", token_id, 0.0, None)
    return Caller("somebody", Door.WEBSOCKET, client=client, credential=credential)


def test_the_default_list_costs_a_client_little(registry: Registry) -> None:
    characters, tokens = price_of(*registry.listing)
    assert characters <= 10_000
    assert tokens <= 2_500


def test_the_lean_list_costs_half_of_that(registry: Registry) -> None:
    assert price_of(*registry.listing_of("lean"))[1] <= 1_300


def test_the_manual_has_the_price_of_every_list() -> None:
    written = MANUAL.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    assert written == table(), "lists have changed: run `python -m checks.prices`"


def test_every_listed_tool_has_its_place_in_the_order(registry: Registry) -> None:
    assert [entry.name for entry in registry.listing] == list(ORDER)


def test_the_lean_list_is_a_part_of_the_default_one(registry: Registry) -> None:
    lean = [entry.name for entry in registry.listing_of("lean")]
    assert lean == [name for name in ORDER if name in lean]
    assert {"chat", "debug", "consensus", "files", "status"} <= set(lean)


def test_the_full_list_has_every_argument(registry: Registry) -> None:
    for entry in registry.listing_of("full"):
        tool = registry.find(entry.name).tool
        assert set(entry.input_schema["properties"]) == set(tool.arguments.__struct_encode_fields__)


def test_the_compatible_list_has_every_name_that_can_answer(registry: Registry) -> None:
    names = [entry.name for entry in registry.listing_of("compatible")]
    assert names[: len(ORDER)] == list(ORDER)
    assert len(names) == len(set(names))
    assert registry.older_names - set(names) == {"clink"}
    assert {"models", "test_echo"} <= set(names)


def test_an_older_name_is_listed_with_the_arguments_that_it_had(registry: Registry) -> None:
    listed = {entry.name: entry.input_schema for entry in registry.listing_of("compatible")}
    query = listed["smart_file_query"]["properties"]
    assert {"file_path", "question", "provider"} <= set(query)
    assert "absolute_file_paths" not in query
    assert "prompt" not in query
    assert "prompt" not in listed["smart_file_query"].get("required", ())
    assert "dry_run" not in listed["glm_payload_preview"]["properties"], "the name implies it"


@pytest.mark.parametrize("profile", get_args(Profile))
def test_each_entry_is_one_that_clients_take(registry: Registry, profile: Profile) -> None:
    for entry in registry.listing_of(profile):
        listed = as_listed(entry)
        jsonschema.Draft202012Validator.check_schema(listed["inputSchema"])
        assert listed["inputSchema"]["type"] == "object"
        assert set(listed["inputSchema"].get("required", ())) <= set(listed["inputSchema"]["properties"])
        assert listed["description"]


def test_the_first_rule_that_applies_chooses_the_list() -> None:
    profiles = Profiles(
        config.Tools(
            profile="full",
            listed_for=(
                ListedFor(client="Claude-Code", token="tok_1", profile="compatible"),
                ListedFor(client="claude-code", profile="lean"),
                ListedFor(token="tok_2", profile="standard"),
            ),
        )
    )
    assert profiles.differ
    assert profiles.of(somebody("claude-code 2.1.319", "tok_1")) == "compatible"
    assert profiles.of(somebody("Claude-Code 2.1.319")) == "lean"
    assert profiles.of(somebody("codex 1", "tok_2")) == "standard"
    assert profiles.of(somebody("claude-code-like 1")) == "full"
    assert profiles.of(somebody()) == "full"


def test_without_rules_all_lists_are_the_same() -> None:
    assert not Profiles(config.Tools()).differ
    assert Profiles(config.Tools()).of(somebody("any 1")) == "standard"
