"""Faults, seen by a client that sees bytes."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from exai_emulator import Emulator, Fault, Persona
from exai_emulator.faults import FrameFault
from support.virtual_time import now

pytestmark = pytest.mark.virtual_time

PROVIDERS = ["glm", "kimi", "custom"]


def body_of(chunked: bytes) -> bytes:
    """The content of a chunked body, as far as it goes."""
    content, rest = b"", chunked
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        content += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return content


def events_of(content: bytes) -> list[str]:
    return [event for event in content.decode().split("\n\n") if event]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("cut", "end"), [("reset", "reset"), ("close", "fin")])
async def test_a_cut_before_the_headers_sends_nothing(
    emulator: Emulator, raw_ask: Any, cut: Any, end: str, streams: bool
) -> None:
    emulator.faults.add("glm", Fault(cut=cut, at="before_headers"))
    connection = await raw_ask("glm", stream=streams)
    assert await connection.rest() == (b"", end)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("cut", "end"), [("reset", "reset"), ("close", "fin")])
async def test_a_cut_after_the_headers_sends_them_alone(
    emulator: Emulator, raw_ask: Any, cut: Any, end: str, streams: bool
) -> None:
    emulator.faults.add("kimi", Fault(cut=cut, at="after_headers", before_first_byte_ms=20))
    connection = await raw_ask("kimi", stream=streams)
    assert (await connection.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert await connection.rest() == (b"", end)


@pytest.mark.parametrize(("cut", "end"), [("reset", "reset"), ("close", "fin")])
async def test_a_cut_in_a_stream_comes_after_so_many_frames(
    emulator: Emulator, raw_ask: Any, cut: Any, end: str
) -> None:
    emulator.faults.add("glm", Fault(cut=cut, after_frames=3))
    connection = await raw_ask("glm", stream=True)
    await connection.until(b"\r\n\r\n")
    got, ended = await connection.rest()
    assert ended == end
    events = events_of(body_of(got))
    assert len(events) == 3
    assert all(json.loads(event.removeprefix("data: ")) for event in events)


async def test_a_cut_inside_a_frame_leaves_half_of_it(emulator: Emulator, raw_ask: Any) -> None:
    emulator.faults.add("kimi", Fault(cut="close", at="mid_frame", after_frames=2))
    connection = await raw_ask("kimi", stream=True)
    await connection.until(b"\r\n\r\n")
    got, _ = await connection.rest()
    last = events_of(body_of(got))[-1]
    assert len(events_of(body_of(got))) == 3
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        json.loads(last.removeprefix("data: "))


@pytest.mark.parametrize("cut", ["close", "truncate"])
async def test_a_short_body_announces_more_than_it_sends(emulator: Emulator, raw_ask: Any, cut: Any) -> None:
    emulator.faults.add("kimi", Fault(cut=cut))
    connection = await raw_ask("kimi")
    head = (await connection.until(b"\r\n\r\n")).lower()
    announced = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    got, ended = await connection.rest()
    assert ended == "fin"
    assert 0 < len(got) < announced


async def test_a_truncated_stream_lacks_its_last_chunk(emulator: Emulator, raw_ask: Any) -> None:
    emulator.faults.add("glm", Fault(cut="truncate"))
    connection = await raw_ask("glm", stream=True)
    await connection.until(b"\r\n\r\n")
    got, _ = await connection.rest()
    assert got.endswith(b"data: [DONE]\n\n\r\n")


async def test_silence_before_the_headers(emulator: Emulator, raw_ask: Any) -> None:
    emulator.faults.add("glm", Fault(before_headers_ms=5_000))
    connection = await raw_ask("glm")
    await connection.until(b"HTTP/1.1")
    assert now() == 5


async def test_silence_between_headers_and_first_byte(emulator: Emulator, raw_ask: Any) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=5_000))
    connection = await raw_ask("glm", stream=True)
    await connection.until(b"\r\n\r\n")
    assert now() == 0
    await connection.until(b"data: ")
    assert now() == 5


async def test_a_stall_lasts_until_the_client_leaves(emulator: Emulator, raw_ask: Any) -> None:
    emulator.faults.add("kimi", Fault(cut="stall", after_frames=2))
    connection = await raw_ask("kimi", stream=True)
    await connection.until(b"\r\n\r\n")
    await emulator.log.wait_for(lambda record: record.frames == 2 and record.outcome == "open")
    assert emulator.log.in_flight_of("kimi", "kimi-k3") == 1

    connection.leave()
    record = await emulator.log.wait_for(lambda record: record.ended is not None)

    assert record.outcome == "disconnected"
    assert record.disconnected == record.ended
    assert record.frames == 2
    assert emulator.log.in_flight == 0


@pytest.mark.parametrize("at", ["before_headers", "after_headers", "mid_body"])
async def test_a_stall_that_ends_is_followed_by_the_rest(emulator: Emulator, ask: Any, at: Any) -> None:
    for streams in (False, True):
        emulator.faults.add("glm", Fault(cut="stall", at=at, stall_ms=30))
        reply = await ask("glm", stream=streams)
        assert reply.status == 200
        assert reply.content.endswith(b"data: [DONE]\n\n" if streams else b"}")
        assert emulator.log.requests[-1].outcome == "fault"


async def test_trickle_sends_single_bytes(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add("custom", Fault(cut="trickle", stall_ms=0.01))
    assert (await ask("custom")).json["choices"]
    emulator.faults.add("custom", Fault(cut="trickle", stall_ms=0.01, after_frames=15))
    assert (await ask("custom", stream=True)).frames[-1] == "[DONE]"


async def test_heartbeats_fill_a_silence(emulator: Emulator, raw_ask: Any) -> None:
    emulator.faults.add("glm", Fault(before_first_byte_ms=120, heartbeat_ms=20))
    connection = await raw_ask("glm", stream=True)
    before_data = await connection.until(b"data: ")
    assert before_data.count(b": keep-alive\n\n") >= 2


FRAMES: dict[str, Callable[[str], bool]] = {
    "truncated_json": lambda event: not parses(event),
    "not_json": lambda event: event.startswith("data: <html>"),
    "wrong_index": lambda event: parsed(event)["choices"][0]["index"] == 7,
    "missing_id": lambda event: "id" not in parsed(event),
    "null_delta": lambda event: parsed(event)["choices"][0]["delta"] is None,
    "missing_choices": lambda event: "choices" not in parsed(event),
    "empty_choices": lambda event: parsed(event)["choices"] == [],
    "extra_fields": lambda event: parsed(event).get("x_unknown") == {"nested": [1, None]},
    "error": lambda event: "error" in parsed(event),
    "comment": lambda event: event == ": keep-alive",
    "bad_sse": lambda event: event.startswith("daat "),
    "event_lines": lambda event: event.startswith("event: message\nid: 1\n"),
}


def parsed(event: str) -> Any:
    return json.loads(event.removeprefix("data: "))


def parses(event: str) -> bool:
    try:
        parsed(event)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", FRAMES)
async def test_a_malformed_frame_stands_where_it_was_put(
    emulator: Emulator, ask: Any, provider: str, kind: Any
) -> None:
    good = events_of((await ask(provider, stream=True)).content)
    assert not any(FRAMES[kind](event) for event in good if event != "data: [DONE]")
    emulator.faults.add(provider, Fault(frame=kind, after_frames=4))
    events = events_of((await ask(provider, stream=True)).content)
    assert FRAMES[kind](events[4])
    assert ("data: [DONE]" in events) is (kind != "error")


async def test_a_duplicated_frame_comes_twice(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add("glm", Fault(frame="duplicate", after_frames=4))
    events = events_of((await ask("glm", stream=True)).content)
    assert events[4] == events[5]


async def test_the_error_in_a_stream_is_the_one_asked_for(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add("glm", Fault(frame="error", error="1302", after_frames=2))
    events = events_of((await ask("glm", stream=True)).content)
    assert parsed(events[-1]) == {"error": {"code": "1302", "message": "Rate limit reached for requests"}}
    assert len(events) == 3


async def test_a_malformed_body_without_streaming(emulator: Emulator, ask: Any) -> None:
    malformed: tuple[FrameFault, ...] = ("truncated_json", "not_json")
    for kind in malformed:
        emulator.faults.add("kimi", Fault(frame=kind))
        reply = await ask("kimi")
        assert reply.status == 200
        assert not parses(reply.content.decode())
    without_choices: tuple[tuple[FrameFault, Any], ...] = (("missing_choices", None), ("empty_choices", []))
    for kind, expected in without_choices:
        emulator.faults.add("kimi", Fault(frame=kind))
        assert (await ask("kimi")).json.get("choices") == expected
    emulator.faults.add("kimi", Fault(frame="error"))
    assert (await ask("kimi")).json["error"]["type"] == "server_error"


async def test_done_can_be_missing_twice_or_not_last(emulator: Emulator, ask: Any) -> None:
    ends = {}
    for done in ("missing", "twice", "data_after"):
        emulator.faults.add("glm", Fault(done=done))
        ends[done] = [
            event == "data: [DONE]" for event in events_of((await ask("glm", stream=True)).content)[-2:]
        ]
    assert ends == {"missing": [False, False], "twice": [True, True], "data_after": [True, False]}


async def test_crlf_and_split_writes_keep_the_content(emulator: Emulator, ask: Any) -> None:
    asked = [{"role": "user", "content": "Grüße 🦉"}]
    emulator.faults.add("glm", Fault(crlf=True, bytes_per_write=3))
    content = (await ask("glm", stream=True, messages=asked)).content.decode()
    assert "\n" not in content.replace("\r\n", "")
    events = [parsed(event) for event in content.split("\r\n\r\n") if event.startswith("data: {")]
    said = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert said == "[emulated glm-5.3] Grüße 🦉"


@pytest.mark.parametrize(
    "reason", ["network_error", "sensitive", "model_context_window_exceeded", "invented"]
)
async def test_finish_reasons_can_be_chosen(emulator: Emulator, ask: Any, reason: str) -> None:
    emulator.faults.add("glm", Fault(finish_reason=reason, times=2))
    assert (await ask("glm")).json["choices"][0]["finish_reason"] == reason
    assert (await ask("glm", stream=True)).frames[-2]["choices"][0]["finish_reason"] == reason


async def test_content_can_be_empty_null_or_thinking_alone(emulator: Emulator, ask: Any) -> None:
    found = {}
    for content in ("empty", "null", "reasoning_only"):
        emulator.faults.add("kimi", Fault(content=content, finish_reason="length"))
        found[content] = (await ask("kimi")).json["choices"][0]["message"]
    assert found["empty"]["content"] == ""
    assert found["null"]["content"] is None
    assert found["reasoning_only"]["content"] == ""
    assert found["reasoning_only"]["reasoning_content"]


async def test_another_model_can_be_echoed_and_usage_left_out(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add("glm", Fault(echo_model="GLM-5.3", usage="none"))
    body = (await ask("glm")).json
    assert body["model"] == "GLM-5.3"
    assert "usage" not in body


async def test_any_status_body_and_headers(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add(
        "custom",
        Fault(status=503, body="<h1>no</h1>", headers={"content-type": "text/html", "Retry-After": "7"}),
    )
    reply = await ask("custom", stream=True)
    assert (reply.status, reply.content) == (503, b"<h1>no</h1>")
    assert (reply.headers["Content-Type"], reply.headers["Retry-After"]) == ("text/html", "7")


async def test_a_header_of_an_error_can_be_changed_or_removed(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add(
        "kimi", Fault(error="rate_limit_rpm", headers={"Retry-After": "20", "X-Retry-After": None})
    )
    headers = (await ask("kimi")).headers
    assert headers["Retry-After"] == "20"
    assert "X-Retry-After" not in headers


async def test_faults_wait_for_their_model_and_path_and_strike_in_order(
    emulator: Emulator, http: Any, ask: Any
) -> None:
    emulator.faults.add("kimi", Fault(error="overloaded", model="kimi-k2.6"))
    emulator.faults.add("kimi", Fault(error="server_error", times=2))
    statuses = [
        (await ask("kimi", model=model)).status for model in ("kimi-k3", "kimi-k2.6", "kimi-k2.6", "kimi-k3")
    ]
    assert statuses == [500, 429, 500, 200]

    emulator.faults.add("kimi", Fault(status=502, path="/models"))
    assert (await ask("kimi")).status == 200
    headers = {"Authorization": f"Bearer {emulator.addresses.kimi_key}"}
    async with http.get(f"{emulator.addresses.kimi}/models", headers=headers) as response:
        assert response.status == 502
    assert emulator.faults.queued == []


async def test_a_refused_request_leaves_the_fault_in_place(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add("kimi", Fault(error="overloaded"))
    assert (await ask("kimi", temperature=0.1)).status == 400
    assert (await ask("kimi")).status == 429


async def test_a_fault_without_end_lasts_until_cleared(emulator: Emulator, ask: Any) -> None:
    emulator.faults.add("glm", Fault(error="1305", times=None))
    assert [(await ask("glm")).status for _ in range(3)] == [429] * 3
    emulator.faults.clear()
    assert (await ask("glm")).status == 200


def test_a_fault_that_makes_no_sense_is_refused(emulator_options: Any) -> None:
    emulator = Emulator(emulator_options)
    with pytest.raises(ValueError, match="has no error"):
        emulator.faults.add("glm", Fault(error="9999"))
    with pytest.raises(ValueError, match="no provider"):
        emulator.faults.add("openai", Fault(error="1302"))
    for wrong in ({"times": 0}, {"error": "1302", "status": 500}, {"status": 99}, {"stall_ms": -1}):
        with pytest.raises(ValueError, match="fault"):
            Fault(**wrong)
    with pytest.raises(ValueError, match="line break"):
        Fault(status=500, headers={"X-A": "b\r\nX-C: d"})


async def test_an_emulator_that_ends_cuts_off_what_it_was_answering(
    started: Any, post: Any, emulator_options: Any
) -> None:
    async def is_cut_off(emulator: Emulator) -> bool:
        try:
            await post(emulator, "glm")
        except aiohttp.ServerDisconnectedError:
            return True
        return False

    async with asyncio.TaskGroup() as tasks, started(emulator_options) as emulator:
        emulator.persona = Persona("echo", first_byte_delay_ms=60_000)
        asked = tasks.create_task(is_cut_off(emulator))
        await emulator.log.wait_for(lambda record: record.body is not None)
    assert asked.result()
