"""What is sent: each provider's own words, and a note for whatever was changed."""

import base64
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from exai.errors import AbilityMissing
from exai.messages import Effort, Image, Message, Role
from exai.providers.base import AnswerSchema, Prompt, ToolSpec
from exai.providers.catalog import Catalog, Model
from exai.providers.glm import glm_profile
from exai.providers.kimi import KIMI
from exai.providers.pictures import NO_PICTURES, Shown
from exai.providers.wire.request_body import request_body

CATALOG = Catalog.load()
GLM = glm_profile("https://api.z.ai/api/paas/v4")
PNG = Image("image/png", b"\x89PNG\r\n")


def spell(
    name: str,
    *,
    streams: bool = True,
    messages: tuple[Message, ...] = (Message(Role.USER, "hi"),),
    shown: Shown = NO_PICTURES,
    **fields: Any,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    model = CATALOG.models[name]
    body = request_body(
        Prompt(model=model, messages=messages, **fields),
        GLM if model.provider == "glm" else KIMI,
        streams=streams,
        shown=shown,
    )
    return msgspec.json.decode(body.json), body.notes


PLAIN = {"model", "messages", "stream"}


def test_a_plain_prompt_sends_nothing_but_what_it_must() -> None:
    for name in ("glm-5.3", "glm-4.7", "kimi-k2.6"):
        body, notes = spell(name, streams=False)
        assert body == {"model": name, "messages": [{"role": "user", "content": "hi"}], "stream": False}
        assert notes == ()
    assert spell("glm-5.3")[0].keys() == PLAIN
    assert spell("kimi-k3")[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("name", "effort", "sent"),
    [
        ("glm-5.3", Effort.LOW, {"reasoning_effort": "low"}),
        ("glm-5.3", Effort.NONE, {"reasoning_effort": "low"}),
        ("glm-5.2", Effort.NONE, {"reasoning_effort": "none"}),
        ("glm-4.7", Effort.NONE, {"thinking": {"type": "disabled"}}),
        ("glm-4.7", Effort.MAX, {"thinking": {"type": "enabled"}}),
        ("glm-4-32b-0414-128k", Effort.HIGH, {}),
        ("kimi-k3", Effort.MAX, {"reasoning_effort": "max"}),
        ("kimi-k2.6", Effort.NONE, {"thinking": {"type": "disabled"}}),
        ("kimi-k2.7-code", Effort.HIGH, {}),
    ],
)
def test_effort_is_asked_for_in_the_models_dialect(name: str, effort: Effort, sent: dict[str, Any]) -> None:
    body, notes = spell(name, streams=False, effort=effort)
    assert {key: value for key, value in body.items() if key not in PLAIN} == sent
    assert bool(notes) == (effort not in CATALOG.models[name].efforts)


@pytest.mark.parametrize(
    ("name", "asked", "sent", "noted"),
    [
        ("glm-5.3", 0.5, 0.5, False),
        ("glm-5.3", 1.7, 1.0, True),
        ("glm-5.3", 0.123, 0.12, True),
        ("glm-5.3", 0.0, 0.0, False),
        ("kimi-k3", 0.5, None, True),
    ],
)
def test_temperature_is_kept_within_what_the_model_takes(
    name: str, asked: float, sent: float | None, noted: bool
) -> None:
    body, notes = spell(name, temperature=asked)
    assert body.get("temperature") == sent
    assert bool(notes) == noted


def test_the_answers_cap_has_each_providers_name_and_bound() -> None:
    assert spell("glm-5.3", max_output_tokens=100)[0]["max_tokens"] == 100
    assert spell("kimi-k3", max_output_tokens=100)[0]["max_completion_tokens"] == 100
    body, notes = spell("glm-5.3", max_output_tokens=999_999)
    assert body["max_tokens"] == 131_072
    assert "131072" in notes[0]


def test_web_search_is_spelt_for_the_platform_or_refused() -> None:
    tool = spell("glm-5.3", web_search=True)[0]["tools"][0]
    assert tool["type"] == "web_search"
    assert tool["web_search"] == {"enable": True, "search_engine": "search_pro_jina", "search_result": True}
    mainland = glm_profile("https://open.bigmodel.cn/api/paas/v4").search_tool
    assert mainland is not None
    assert mainland["web_search"]["search_engine"] == "search_pro_sogou"
    chosen = glm_profile("https://api.z.ai/api/paas/v4", "search-prime").search_tool
    assert chosen is not None
    assert chosen["web_search"]["search_engine"] == "search-prime"
    with pytest.raises(AbilityMissing, match="kimi-k3 cannot search"):
        spell("kimi-k3", web_search=True)


def test_images_go_as_data_urls_before_the_text() -> None:
    asked = (Message(Role.USER, "what is it?", images=(PNG,)),)
    content = spell("kimi-k3", messages=asked)[0]["messages"][0]["content"]
    url = "data:image/png;base64," + base64.b64encode(PNG.data).decode()
    assert content == [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "what is it?"},
    ]


def test_a_picture_that_lies_at_the_provider_is_named() -> None:
    other = replace(PNG, data=b"another")
    asked = (Message(Role.USER, "", images=(PNG, other)),)
    shown = Shown({other.sha256: "ms://file_1"}, ("Image 2 was changed.",))
    body, notes = spell("kimi-k3", messages=asked, shown=shown)
    urls = [part["image_url"]["url"] for part in body["messages"][0]["content"]]
    assert urls[0].startswith("data:image/png;base64,")
    assert urls[1] == "ms://file_1"
    assert notes == ("Image 2 was changed.",)


def test_reasoning_goes_back_only_where_it_is_wanted() -> None:
    history = (
        Message(Role.USER, "a"),
        Message(Role.ASSISTANT, "b", reasoning="thought"),
        Message(Role.USER, "c"),
    )
    for name, wanted in {
        "kimi-k3": True,
        "kimi-k2.7-code": True,
        "kimi-k2.6": False,
        "glm-5.3": False,
    }.items():
        assert spell(name, messages=history)[0]["messages"][1].get("reasoning_content") == (
            "thought" if wanted else None
        )


def test_the_conversation_key_reaches_kimis_cache_alone() -> None:
    assert spell("kimi-k3", conversation_key="c-1")[0]["prompt_cache_key"] == "c-1"
    assert spell("glm-5.3", conversation_key="c-1")[0].keys() == PLAIN


def test_text_is_sent_as_it_is() -> None:
    text = 'quotes " and \\ and \u2028 and 🦉 and \x00'
    assert spell("glm-5.3", messages=(Message(Role.USER, text),))[0]["messages"][0]["content"] == text


def test_a_custom_models_own_name_is_sent() -> None:
    model = Model("local/Org/Tiny", "local", "Org/Tiny", 1_000, 100)
    body = request_body(Prompt(model=model, messages=(Message(Role.USER, "hi"),)), KIMI, streams=False)
    assert msgspec.json.decode(body.json)["model"] == "Org/Tiny"


VOTE = AnswerSchema("vote", {"type": "object", "properties": {"yes": {"type": "boolean"}}})
IN_PROMPT = '{"type":"object","properties":{"yes":{"type":"boolean"}}}'


def test_the_schema_of_an_answer_is_a_field_where_the_provider_obeys_it() -> None:
    body, _ = spell("kimi-k3", answer_schema=VOTE)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "vote", "strict": True, "schema": VOTE.schema},
    }
    assert body["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "messages",
    [
        (Message(Role.SYSTEM, "Vote."), Message(Role.USER, "hi")),
        (Message(Role.USER, "hi"),),
    ],
)
def test_elsewhere_it_ends_the_instructions(messages: tuple[Message, ...]) -> None:
    body, _ = spell("glm-5.3", messages=messages, answer_schema=VOTE)
    assert body["response_format"] == {"type": "json_object"}
    first, last = body["messages"]
    assert first["role"] == "system"
    assert first["content"].endswith(f"It must match this JSON Schema:\n{IN_PROMPT}")
    assert first["content"].startswith("Vote.\n\n" if len(messages) == 2 else "Answer with one JSON object")
    assert last == {"role": "user", "content": "hi"}


def test_with_tools_it_ends_the_question() -> None:
    asked = (Message(Role.SYSTEM, "Vote."), Message(Role.USER, "hi"), Message(Role.ASSISTANT, "Well."))
    tool = ToolSpec("look", "Look.", {"type": "object", "properties": {}})
    body, _ = spell("glm-5.3", messages=asked, answer_schema=VOTE, tools=(tool,))
    first, question, last = body["messages"]
    assert first == {"role": "system", "content": "Vote."}
    assert question["content"].startswith("hi\n\nAnswer with one JSON object")
    assert question["content"].endswith(IN_PROMPT)
    assert last["content"] == "Well."
