"""Kimi's Responses as the openai client sees them."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from exai_emulator import Emulator, Fault, Persona
from exai_emulator.tool_calls import ScriptedCall

TOOL: Any = {
    "type": "function",
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object"},
    "strict": True,
}


@pytest.fixture
async def kimi(emulator: Emulator) -> AsyncIterator[openai.AsyncOpenAI]:
    there = emulator.addresses
    async with openai.AsyncOpenAI(base_url=there.kimi, api_key=there.kimi_key, max_retries=0) as client:
        yield client


async def test_a_response_is_answered(kimi: openai.AsyncOpenAI) -> None:
    response = await kimi.responses.create(model="kimi-k3", input="Say hello.", instructions="Be brief.")
    assert response.output_text == "[emulated kimi-k3] Say hello."
    assert (response.status, response.object, response.model_dump()["store"]) == (
        "completed",
        "response",
        False,
    )
    assert response.usage is not None
    assert response.usage.output_tokens_details.reasoning_tokens > 0
    assert response.usage.input_tokens_details.cached_tokens == 0


async def test_a_stream_is_numbered_and_adds_up(kimi: openai.AsyncOpenAI) -> None:
    stream = await kimi.responses.create(model="kimi-k3", input="Say hello.", stream=True)
    events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == "[emulated kimi-k3] Say hello."


async def test_a_cap_makes_it_incomplete(kimi: openai.AsyncOpenAI) -> None:
    response = await kimi.responses.create(model="kimi-k3", input="Say hello.", max_output_tokens=3)
    assert (response.status, response.output) == ("incomplete", [])
    assert response.incomplete_details is not None


async def test_functions_are_called_and_answered(kimi: openai.AsyncOpenAI, emulator: Emulator) -> None:
    emulator.persona = Persona(rounds=((ScriptedCall("look", {"at": "it"}),),))
    first = await kimi.responses.create(model="kimi-k3", input="Look.", tools=[TOOL])
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, call.arguments) == ("look", '{"at":"it"}')
    stream = await kimi.responses.create(model="kimi-k3", input="Look.", tools=[TOOL], stream=True)
    assert "response.function_call_arguments.done" in [event.type async for event in stream]
    history: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "Look."}]},
        {"type": "function_call", "call_id": call.call_id, "name": "look", "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "seen"},
    ]
    second = await kimi.responses.create(model="kimi-k3", input=history, tools=[TOOL])
    assert "seen" in second.output_text


async def test_the_chats_rules_and_faults_hold(kimi: openai.AsyncOpenAI, emulator: Emulator) -> None:
    effort: Any = {"effort": "medium"}
    with pytest.raises(openai.BadRequestError):
        await kimi.responses.create(model="kimi-k3", input="Hi.", reasoning=effort)
    with pytest.raises(openai.NotFoundError):
        await kimi.responses.create(model="kimi-k2.6", input="Hi.")
    emulator.faults.add("kimi", Fault(path="/responses", error="overloaded"))
    with pytest.raises(openai.RateLimitError):
        await kimi.responses.create(model="kimi-k3", input="Hi.")
