"""Thinking, through the daemon: what is asked for, what goes back, and what a caller is told."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from exai_emulator import Emulator, Persona
from support.daemons import StartDaemon
from support.mcp_websocket import McpSocket, mcp_socket
from support.results import whole


@pytest.fixture
async def client(start_daemon: StartDaemon) -> AsyncIterator[McpSocket]:
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        yield socket


def sent(emulator: Emulator) -> dict[str, Any]:
    """The body of the latest request."""
    return dict(emulator.log.requests[-1].body)


async def chat(client: McpSocket, **arguments: Any) -> dict[str, Any]:
    """The structured answer of a chat that goes well."""
    result = await client.tool("chat", arguments)
    assert not result["isError"], result
    return whole(result)


SPELT: dict[tuple[str, str], dict[str, Any]] = {
    ("glm-5.3", "none"): {"reasoning_effort": "low"},
    ("glm-5.3", "medium"): {"reasoning_effort": "high"},
    ("glm-5.3", "max"): {"reasoning_effort": "max"},
    ("glm-5.2", "none"): {"reasoning_effort": "none"},
    ("glm-5.2", "medium"): {"reasoning_effort": "medium"},
    ("glm-4.7", "none"): {"thinking": {"type": "disabled"}},
    ("glm-4.7", "low"): {"thinking": {"type": "enabled"}},
    ("kimi-k3", "none"): {"reasoning_effort": "low"},
    ("kimi-k3", "high"): {"reasoning_effort": "high"},
    ("kimi-k2.7-code", "max"): {},
    ("kimi-k2.6", "none"): {"thinking": {"type": "disabled"}},
    ("kimi-k2.6", "high"): {"thinking": {"type": "enabled"}},
    ("glm-4-32b-0414-128k", "high"): {},
}
INSTEAD = {
    ("glm-5.3", "none"): "low",
    ("glm-5.3", "medium"): "high",
    ("glm-4.7", "low"): "high",
    ("kimi-k3", "none"): "low",
    ("kimi-k2.7-code", "max"): "high",
    ("glm-4-32b-0414-128k", "high"): None,
}
"""The effort that takes the place of one that the model does not have."""


async def test_one_argument_is_spelt_for_each_model_and_every_other_effort_is_told(
    client: McpSocket, emulator: Emulator
) -> None:
    for (model, effort), fields in SPELT.items():
        answer = await chat(client, prompt="Hi.", model=model, effort=effort)
        body = sent(emulator)
        assert {name: body[name] for name in ("reasoning_effort", "thinking") if name in body} == fields
        assert answer["effort"] == INSTEAD.get((model, effort), effort)
        told = [note for note in answer["notes"] if model in note and repr(effort) in note]
        assert bool(told) is ((model, effort) in INSTEAD), (model, effort, answer["notes"])


async def test_names_and_steps_of_other_servers_are_taken(client: McpSocket, emulator: Emulator) -> None:
    for argument, effort, spelt in (
        ("thinking_mode", "minimal", "low"),
        ("reasoning_effort", "xhigh", "max"),
        ("effort", " HIGH ", "high"),
    ):
        await chat(client, prompt="Hi.", model="glm-5.3", **{argument: effort})
        assert sent(emulator)["reasoning_effort"] == spelt
    await chat(client, prompt="Hi.", model="glm-5.3")
    assert "reasoning_effort" not in sent(emulator)


async def test_reasoning_goes_back_to_the_model_that_builds_on_it_and_to_no_other(
    client: McpSocket, emulator: Emulator
) -> None:
    emulator.persona = Persona(think_tokens=30)
    first = await chat(client, prompt="One.", model="kimi-k3")
    handle = first["continuation_id"]
    assert first["usage"]["reasoning"] == 30
    for number, model in enumerate(("kimi-k3", "glm-5.3", "kimi-k2.7-code", "kimi-k2.6", "kimi-k3"), start=2):
        answer = await chat(client, prompt=f"{number}.", model=model, continuation_id=handle)
        earlier = [message for message in sent(emulator)["messages"] if message["role"] == "assistant"]
        assert len(earlier) == number - 1
        kept = ["reasoning_content" in message for message in earlier]
        # Each sees its own thinking alone: K3 the first two and not those of the others.
        assert (
            kept
            == {
                2: [True],
                3: [False] * 2,
                4: [False] * 3,
                5: [False] * 4,
                6: [True, True, False, False, False],
            }[number]
        ), (number, model)
        thought = [message["reasoning_content"] for message in earlier if "reasoning_content" in message]
        assert all(thought)
        # A caller sees the answer and not the thinking.
        assert not any(text in str(answer) for text in thought)


async def test_always_thinking_models_are_said_to_be_such(client: McpSocket) -> None:
    result = await client.tool("models")
    models = {model["name"]: model for provider in whole(result)["providers"] for model in provider["models"]}
    for name, (efforts, always, default) in {
        "glm-5.3": (["low", "high", "max"], True, "max"),
        "glm-4.7": (["none", "high"], False, None),
        "kimi-k3": (["low", "high", "max"], True, "max"),
        "kimi-k2.7-code": (["high"], True, None),
        "glm-4-32b-0414-128k": ([], False, None),
    }.items():
        model = models[name]
        assert (model["thinking"], model["always_thinks"], model["default_effort"]) == (
            efforts,
            always,
            default,
        )
    text = result["content"][0]["text"]
    assert "- glm-5.3; 1000k window; web_search, always thinks low/high/max" in text
    assert "thinking on or off" in text


@pytest.mark.parametrize("model", ["glm-5.3", "glm-4.7", "kimi-k3", "kimi-k2.6"])
async def test_a_cap_spent_on_thinking_is_reported_with_what_to_change(
    client: McpSocket, emulator: Emulator, model: str
) -> None:
    emulator.persona = Persona(think_tokens=100)
    for listener in (None, lambda _: None):
        result = await client.tool(
            "chat", {"prompt": "Hi.", "model": model, "max_answer_tokens": 20, "effort": "high"}, listener
        )
        assert result["isError"]
        assert result["_meta"]["exai/error"]["code"] == "answer_empty"
        sentence = result["content"][0]["text"]
        assert f"{model} spent its whole cap of 20 tokens on thinking" in sentence
        assert "max_answer_tokens" in sentence
        least = "low" if model in {"glm-5.3", "kimi-k3"} else "none"
        assert f"effort {least!r}" in sentence


async def test_what_was_spent_on_thinking_alone_is_in_the_journal(
    start_daemon: StartDaemon, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.persona = Persona(think_tokens=100)
    async with start_daemon() as daemon, mcp_socket(daemon.mcp_ws) as socket:
        result = await socket.tool("chat", {"prompt": "Hi.", "model": "kimi-k3", "max_answer_tokens": 20})
        assert result["isError"]
    with sqlite3.connect(tmp_path / "data" / "exai.sqlite") as database:
        row = database.execute(
            "SELECT outcome, output_tokens, reasoning_tokens, input_tokens, cost_usd FROM calls"
        ).fetchone()
    outcome, output, reasoning, prompt, cost = row
    assert (outcome, output, reasoning) == ("failed", 20, 20)
    assert cost == pytest.approx((prompt * 3 + 20 * 15) / 1e6)
