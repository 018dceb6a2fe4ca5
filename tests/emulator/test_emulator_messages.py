"""The Anthropic-compatible roots: the same models, rules and faults in another form."""

import base64
import json
from typing import Any

import aiohttp
import pytest

from exai_emulator import Emulator, Fault, Persona
from exai_emulator.tool_calls import ScriptedCall

DOORS = ("glm_anthropic", "kimi_anthropic")
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()

every_door = pytest.mark.parametrize("door", DOORS)


def events(reply: Any) -> list[dict[str, Any]]:
    """The data of each event, whose name is its type."""
    found = []
    for event in reply.content.decode().split("\n\n"):
        if event:
            name, _, data = event.partition("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {found[-1]['type']}"
    return found


@every_door
async def test_an_answer_is_a_message(ask: Any, door: str) -> None:
    body = (await ask(door, max_tokens=1_000, system="Be brief.")).json
    assert set(body) == {
        "id",
        "type",
        "role",
        "model",
        "content",
        "stop_reason",
        "stop_sequence",
        "usage",
    }
    assert body["id"].startswith("msg_")
    assert body["content"] == [{"type": "text", "text": f"[emulated {body['model']}] Say hello."}]
    assert body["stop_reason"] == "end_turn"
    assert set(body["usage"]) == {"input_tokens", "cache_read_input_tokens", "output_tokens"}


@every_door
async def test_a_stream_has_anthropics_events(ask: Any, door: str) -> None:
    reply = await ask(door, max_tokens=1_000, stream=True)
    heard = events(reply)
    kinds = [event["type"] for event in heard]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    text = "".join(event["delta"]["text"] for event in heard if event["type"] == "content_block_delta")
    assert text.endswith("] Say hello.")
    assert heard[-2]["delta"]["stop_reason"] == "end_turn"
    assert heard[-2]["usage"]["output_tokens"] > 0
    assert "[DONE]" not in reply.content.decode()


@every_door
async def test_the_cap_counts_thinking_and_ends_with_max_tokens(ask: Any, door: str) -> None:
    body = (await ask(door, max_tokens=3)).json
    assert (body["content"], body["stop_reason"]) == ([], "max_tokens")


@every_door
async def test_tools_are_called_and_their_results_read(ask: Any, emulator: Emulator, door: str) -> None:
    emulator.persona = Persona(rounds=((ScriptedCall("look", {"at": "it"}),),))
    tool = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
    first = (await ask(door, max_tokens=1_000, tools=[tool])).json
    (used,) = [block for block in first["content"] if block["type"] == "tool_use"]
    assert (used["name"], used["input"], first["stop_reason"]) == ("look", {"at": "it"}, "tool_use")
    streamed = events(await ask(door, max_tokens=1_000, tools=[tool], stream=True))
    deltas = [event["delta"] for event in streamed if event["type"] == "content_block_delta"]
    assert {"type": "input_json_delta", "partial_json": '{"at":"it"}'} in deltas
    messages = [
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": used["id"], "content": "seen"}]},
    ]
    second = await ask(door, max_tokens=1_000, tools=[tool], messages=messages)
    assert (second.status, second.json["stop_reason"]) == (200, "end_turn")


async def test_the_rules_of_the_provider_hold(ask: Any) -> None:
    glm = await ask("glm_anthropic", max_tokens=100, model="glm-9")
    error = glm.json["error"]
    assert (glm.status, glm.json["type"], error["code"]) == (400, "error", "1211")
    assert error["message"].startswith("[1211][Unknown Model")
    kimi = await ask("kimi_anthropic", max_tokens=100, model="kimi-k9")
    assert (kimi.status, kimi.json["error"]["type"]) == (404, "not_found_error")
    assert set(kimi.json) == {"type", "error", "request_id"}
    part = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    seen = [{"role": "user", "content": [part, {"type": "text", "text": "?"}]}]
    assert (await ask("glm_anthropic", max_tokens=100, messages=seen)).json["error"]["code"] == "1210"
    assert (await ask("kimi_anthropic", max_tokens=100, messages=seen)).status == 200
    effort = {"effort": "medium"}
    assert (await ask("kimi_anthropic", max_tokens=100, output_config=effort)).status == 400


@every_door
async def test_faults_and_personas_hold(ask: Any, emulator: Emulator, door: str) -> None:
    provider = door.partition("_")[0]
    emulator.persona = Persona("fixed", text="Hi.")
    assert (await ask(door, max_tokens=100)).json["content"][0]["text"].endswith("] Hi.")
    name = {"glm": "1302", "kimi": "rate_limit_rpm"}[provider]
    emulator.faults.add(provider, Fault(path="/v1/messages", error=name))
    limited = await ask(door, max_tokens=100)
    assert (limited.status, limited.json["error"]["type"]) == (429, "rate_limit_error")
    assert ("Retry-After" in limited.headers) is (provider == "kimi")


async def test_keys(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    body = {"model": "glm-5.3", "max_tokens": 10, "messages": [{"role": "user", "content": "Hi."}]}
    there = emulator.addresses
    for url, key, status in (
        (there.glm_anthropic, there.glm_key, 200),
        (there.glm_anthropic, "wrong", 401),
        (there.kimi_anthropic, there.kimi_key, 401),
    ):
        async with http.post(f"{url}/v1/messages", json=body, headers={"x-api-key": key}) as response:
            assert response.status == status


@every_door
@pytest.mark.parametrize(
    "raw", ["[]", "no json", '{"messages": 3}', '{"messages": [3, {"content": [4, {"type": "image"}]}]}']
)
async def test_odd_bodies_are_refused(ask: Any, emulator: Emulator, door: str, raw: str) -> None:
    reply = await ask(door, raw=raw)
    assert 400 <= reply.status < 500
    assert reply.json["type"] == "error"
    assert emulator.log.requests[-1].outcome == "complete"
