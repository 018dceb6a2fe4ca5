"""The emulated models call tools as each service spells it, with every documented defect."""

import json
from typing import Any

import openai
import pytest

from exai_emulator import Emulator, Fault, Persona, ScriptedCall
from exai_emulator.tool_calls import CallDefect

LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "parameters": {
            "type": "object",
            "properties": {"words": {"type": "string"}, "within": {"type": "object"}},
        },
    },
}
SEARCH = {"type": "builtin_function", "function": {"name": "$web_search"}}
ONE = Persona(rounds=((ScriptedCall("look_up", {"words": "owls", "within": {"days": [1, 2]}}),),))
USER = {"role": "user", "content": "Say hello."}


def calls_of(frames: list[Any]) -> list[Any]:
    """The pieces of tool calls in a stream."""
    chunks = [frame for frame in frames if frame != "[DONE]" and frame["choices"]]
    return [piece for chunk in chunks for piece in chunk["choices"][0]["delta"].get("tool_calls", [])]


@pytest.mark.parametrize(("door", "shape"), [("glm", "call_"), ("kimi", "look_up:0"), ("custom", "call_")])
async def test_a_call_that_does_not_stream(emulator: Emulator, ask: Any, door: str, shape: str) -> None:
    emulator.persona = ONE
    choice = (await ask(door, tools=[LOOK_UP])).json["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert not choice["message"]["content"]
    (call,) = choice["message"]["tool_calls"]
    assert call["id"].startswith(shape)
    assert (call["type"], call["index"], call["function"]["name"]) == ("function", 0, "look_up")
    assert json.loads(call["function"]["arguments"]) == {"words": "owls", "within": {"days": [1, 2]}}


@pytest.mark.parametrize(
    ("door", "fields", "in_pieces"),
    [
        ("glm", {}, False),
        ("glm", {"tool_stream": True}, True),
        ("kimi", {}, True),
        ("custom", {}, True),
    ],
)
async def test_a_call_that_streams(
    emulator: Emulator, ask: Any, door: str, fields: Any, in_pieces: bool
) -> None:
    emulator.persona = ONE
    reply = await ask(door, tools=[LOOK_UP], stream=True, **fields)
    first, *rest = calls_of(reply.frames)
    assert bool(rest) is in_pieces
    assert first["id"]
    assert first["function"]["name"] == "look_up"
    assert all(set(piece) == {"index", "function"} and "name" not in piece["function"] for piece in rest)
    arguments = "".join(piece["function"]["arguments"] for piece in (first, *rest))
    assert json.loads(arguments)["words"] == "owls"
    finishes = [
        frame["choices"][0].get("finish_reason")
        for frame in reply.frames
        if frame != "[DONE]" and frame["choices"]
    ]
    assert finishes[-1] == "tool_calls"


async def test_several_calls_and_several_rounds_then_the_answer(emulator: Emulator, ask: Any) -> None:
    emulator.persona = Persona(
        rounds=(
            (ScriptedCall("look_up", {"words": "a"}), ScriptedCall("look_up")),
            (ScriptedCall("look_up"),),
        ),
        text="Let me look.",
    )
    messages: list[Any] = [USER]
    said = []
    for _ in range(3):
        message = (await ask("kimi", messages=messages, tools=[LOOK_UP])).json["choices"][0]["message"]
        calls = message.get("tool_calls", [])
        said.append((message["content"], [call["id"] for call in calls]))
        messages += [
            message,
            *({"role": "tool", "tool_call_id": call["id"], "content": f"<{call['id']}>"} for call in calls),
        ]
    assert said == [
        ("[emulated kimi-k3] Let me look.", ["look_up:0", "look_up:1"]),
        ("[emulated kimi-k3] Let me look.", ["look_up:2"]),
        ("[emulated kimi-k3] Say hello.\nTools said: <look_up:0> | <look_up:1> | <look_up:2>", []),
    ]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("defect", "arguments"),
    [
        ("object", {"n": {"a": 1}}),
        ("empty", ""),
        ("missing", None),
        ("invalid_json", '{"n":{"a":'),
        ("nested_strings", '{"n":"{\\"a\\":1}"}'),
    ],
)
async def test_defects_of_arguments(
    emulator: Emulator, ask: Any, defect: Any, arguments: Any, stream: bool
) -> None:
    emulator.persona = Persona(rounds=((ScriptedCall("look_up", {"n": {"a": 1}}, defect=defect),),))
    reply = await ask("kimi", tools=[LOOK_UP], stream=stream)
    if stream:
        pieces = [piece["function"].get("arguments") for piece in calls_of(reply.frames)]
        got = "".join(pieces) if isinstance(arguments, str) else pieces[0]
    else:
        got = reply.json["choices"][0]["message"]["tool_calls"][0]["function"].get("arguments")
    assert got == arguments


async def test_defects_of_ids_and_places(emulator: Emulator, ask: Any) -> None:
    emulator.persona = Persona(
        rounds=(
            (
                ScriptedCall("look_up", {"words": "owls"}, defect="no_id"),
                ScriptedCall("unknown", id="twice"),
                ScriptedCall("look_up", id="twice"),
            ),
        )
    )
    calls = (await ask("glm", tools=[LOOK_UP])).json["choices"][0]["message"]["tool_calls"]
    assert [call.get("id") for call in calls] == [None, "twice", "twice"]
    cases: tuple[tuple[CallDefect, set[str]], ...] = (
        ("no_index", {"function"}),
        ("id_repeated", {"id", "type", "index", "function"}),
    )
    for defect, has in cases:
        emulator.persona = Persona(rounds=((ScriptedCall("look_up", {"words": "owls"}, defect=defect),),))
        pieces = calls_of((await ask("kimi", tools=[LOOK_UP], stream=True)).frames)
        assert set(pieces[-1]) == has


async def test_nothing_is_called_that_was_not_declared(emulator: Emulator, ask: Any) -> None:
    emulator.persona = ONE
    for door in ("glm", "kimi", "custom"):
        assert (await ask(door)).json["choices"][0]["finish_reason"] == "stop"


async def test_auto_calls_a_function_that_wants_a_query(ask: Any) -> None:
    tool = {
        "type": "function",
        "function": {"name": "find", "parameters": {"type": "object", "required": ["query"]}},
    }
    (call,) = (await ask("kimi", tools=[tool])).json["choices"][0]["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"query": "Say hello."}


async def test_a_cap_cuts_a_call(emulator: Emulator, ask: Any) -> None:
    emulator.persona = Persona(rounds=ONE.rounds, think_tokens=0)
    choice = (await ask("kimi", tools=[LOOK_UP], max_completion_tokens=3)).json["choices"][0]
    assert choice["finish_reason"] == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])


async def search(ask: Any, **fields: Any) -> Any:
    return (await ask("kimi", **{"model": "kimi-k2.6", "tools": [SEARCH], **fields})).json


async def test_the_web_search_loop(emulator: Emulator, ask: Any) -> None:
    first = await search(ask)
    message = first["choices"][0]["message"]
    (call,) = message["tool_calls"]
    assert (call["type"], call["id"], call["function"]["name"]) == (
        "builtin_function",
        "$web_search:0",
        "$web_search",
    )
    handle = json.loads(call["function"]["arguments"])
    assert handle["search_result"]["search_id"]
    assert handle["usage"]["total_tokens"] == 1200
    echo = {"role": "tool", "tool_call_id": call["id"], "name": "$web_search", "content": json.dumps(handle)}
    second = await search(ask, messages=[USER, message, echo])
    assert second["choices"][0]["finish_reason"] == "stop"
    assert second["usage"]["prompt_tokens"] >= first["usage"]["prompt_tokens"] + 1200
    assert emulator.accounts["kimi"].fees == {"$web_search": 1}


@pytest.mark.parametrize("wrong", ["content", "arguments", "undeclared", "no reasoning", "no answer"])
async def test_a_broken_web_search_loop_is_refused(emulator: Emulator, ask: Any, wrong: str) -> None:
    message = (await search(ask))["choices"][0]["message"]
    (call,) = message["tool_calls"]
    echo = {"role": "tool", "tool_call_id": call["id"], "content": call["function"]["arguments"]}
    fields: dict[str, Any] = {"messages": [USER, message, echo]}
    if wrong == "content":
        echo["content"] = "Searched."
    elif wrong == "arguments":
        call["function"]["arguments"] = echo["content"] = json.dumps({"search_result": {"search_id": "x"}})
    elif wrong == "undeclared":
        fields["tools"] = [LOOK_UP]
    elif wrong == "no reasoning":
        del message["reasoning_content"]
    else:
        fields["messages"] = [USER, message]
    refused = await search(ask, **fields)
    assert refused["error"]["type"] == "invalid_request_error"


async def test_web_search_is_a_matter_of_the_model(emulator: Emulator, ask: Any) -> None:
    assert "error" in await search(ask, model="kimi-k3")
    emulator.rules.set("kimi.web_search.family", on=False)
    assert (await search(ask, model="kimi-k3"))["choices"][0]["finish_reason"] == "tool_calls"
    emulator.rules.set("kimi.web_search.thinking", on=True)
    assert "error" in await search(ask)
    assert "choices" in await search(ask, thinking={"type": "disabled"})
    assert "error" in await search(ask, tools=[{"type": "builtin_function", "function": {"name": "$draw"}}])


async def test_a_fault_in_the_answers_place_charges_no_search(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add("kimi", Fault(error="overloaded"))
    assert "error" in await search(ask)
    assert not emulator.accounts["kimi"].fees


@pytest.mark.parametrize("door", ["glm", "kimi", "custom"])
async def test_the_openai_client_reads_streamed_calls(emulator: Emulator, door: str) -> None:
    emulator.persona = Persona(rounds=((ScriptedCall("look_up", {"words": "a"}), ScriptedCall("look_up")),))
    there = emulator.addresses
    async with openai.AsyncOpenAI(
        base_url=getattr(there, door), api_key=getattr(there, f"{door}_key"), max_retries=0
    ) as client:
        model = {"glm": "glm-5.3", "kimi": "kimi-k3", "custom": "emulated-large"}[door]
        async with client.chat.completions.stream(
            model=model,
            messages=[USER],  # type: ignore[list-item]
            tools=[LOOK_UP],  # type: ignore[list-item]
        ) as stream:
            completion = await stream.get_final_completion()
    calls = completion.choices[0].message.tool_calls or []
    assert [json.loads(call.function.arguments) for call in calls] == [{"words": "a"}, {}]
