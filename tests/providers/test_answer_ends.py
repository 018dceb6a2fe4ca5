"""How an answer ends: what was paid for is given, and what is cut is never called whole."""

import asyncio
import json
from typing import Any

import pytest

from exai.errors import AnswerBroken, AnswerCapSpent, AnswerEmpty, ContentFiltered, ContextOverflow, ToolFault
from exai.messages import Effort
from exai_emulator import Fault, Persona
from support.virtual_time import now

MODEL = {"glm": "glm-4.7", "kimi": "kimi-k2.6", "custom": "local/tiny"}
STREAM: dict[str, str | None] = {"Content-Type": "text/event-stream"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 5}


def event(text: str | None = None, finish: str | None = None, **fields: Any) -> str:
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return f"data: {json.dumps({'id': '1', 'model': 'm', 'choices': choices, **fields})}\n\n"


def stream(*events: str) -> Fault:
    return Fault(status=200, body="".join(events), headers=STREAM)


async def failing(desk: Any, model: str, **fields: Any) -> ToolFault:
    with pytest.raises(ToolFault) as raised:
        await desk.ask_streaming(model, effort=Effort.NONE, **fields)
    return raised.value


@pytest.mark.virtual_time
@pytest.mark.parametrize("provider", MODEL)
@pytest.mark.parametrize(("usage", "within_s"), [(None, 0.25), ("none", 2.0)])
async def test_keep_alives_after_the_finish_do_not_hold_an_answer(
    desk: Any, provider: str, usage: Any, within_s: float
) -> None:
    desk.emulator.persona = Persona("echo")
    desk.emulator.faults.add(provider, Fault(done="withheld", heartbeat_ms=100, usage=usage))
    began = now()
    answer = await desk.ask_streaming(MODEL[provider], effort=Effort.NONE, seconds=600)
    assert answer.text.endswith("hello")
    assert (answer.usage.output is None) is (usage == "none")
    assert now() - began == pytest.approx(within_s, abs=0.11)


@pytest.mark.virtual_time
async def test_the_deadline_after_the_finish_does_not_take_the_answer(desk: Any) -> None:
    desk.emulator.faults.add("kimi", Fault(done="withheld", heartbeat_ms=100, usage="none"))
    answer = await desk.ask_streaming("kimi-k2.6", effort=Effort.NONE, seconds=1)
    assert answer.text.endswith("hello")


AFTERMATH = {
    "an error": 'data: {"error":{"code":"1234","message":"x"}}\n\n',
    "no JSON": "data: <html>\n\n",
    "another finish": event(finish="error"),
    "a filter": event(finish="content_filter"),
    "depth": 'data: {"choices":' + "[" * 100_000 + "\n\n",
}


@pytest.mark.parametrize("provider", MODEL)
@pytest.mark.parametrize("aftermath", AFTERMATH)
async def test_nothing_after_the_finish_spoils_an_answer(desk: Any, provider: str, aftermath: str) -> None:
    desk.emulator.faults.add(provider, stream(event("whole"), event(finish="stop"), AFTERMATH[aftermath]))
    answer = await desk.ask_streaming(MODEL[provider])
    assert (answer.text, answer.finish_reason) == ("whole", "stop")


@pytest.mark.parametrize("cut", ["reset", "close"])
async def test_a_connection_that_breaks_after_the_finish_does_no_harm(desk: Any, cut: Any) -> None:
    desk.emulator.persona = Persona("fixed", text="x", characters_per_frame=1_000)
    # The opening, the text, the finish and the usage; without `[DONE]`.
    desk.emulator.faults.add("kimi", Fault(cut=cut, after_frames=4))
    assert (await desk.ask_streaming("kimi-k2.6", effort=Effort.NONE)).text == "[emulated kimi-k2.6] x"


async def test_usage_that_comes_after_the_finish_is_read(desk: Any) -> None:
    late = f'data: {{"choices":[],"usage":{json.dumps(USAGE)}}}\n\n'
    desk.emulator.faults.add("kimi", stream(event("a"), event(finish="stop"), late))
    assert (await desk.ask_streaming("kimi-k2.6")).usage.output == 5


async def test_an_answer_that_goes_on_after_a_finish_is_read_to_its_last(desk: Any) -> None:
    parts = [event("a", "stop", usage=USAGE), event("b", "stop"), event("c", "length")]
    desk.emulator.faults.add("custom", stream(*parts))
    answer = await desk.ask_streaming("local/tiny")
    assert (answer.text, answer.finish_reason) == ("abc", "length")


@pytest.mark.virtual_time
async def test_an_answer_that_goes_on_may_be_silent_as_before(open_desk: Any) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for part in (event("a", "stop"), event("b"), event("c"), event(None, "stop")):
            writer.write(part.encode())
            await asyncio.sleep(1.0 if part == event("a", "stop") else 30.0)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    desk = await open_desk(custom={"base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"})
    async with server:
        answer = await desk.ask_streaming("local/tiny", seconds=600)
    assert (answer.text, answer.finish_reason) == ("abc", "stop")


@pytest.mark.parametrize("provider", ["glm", "custom"])
@pytest.mark.parametrize("streams", [True, False])
async def test_a_full_window_cuts_an_answer_and_does_not_lose_it(
    desk: Any, provider: str, streams: bool
) -> None:
    desk.emulator.faults.add(provider, Fault(finish_reason="model_context_window_exceeded", times=2))
    ask = desk.ask_streaming if streams else desk.ask
    answer = await ask(MODEL[provider], effort=Effort.NONE)
    assert answer.text.endswith("hello")
    assert (answer.finish_reason, answer.cut_short) == ("length", True)
    assert any("fill the window" in note for note in answer.notes)
    desk.emulator.faults.clear()
    desk.emulator.faults.add(provider, Fault(finish_reason="model_context_window_exceeded", content="empty"))
    assert isinstance(await failing(desk, MODEL[provider]), ContextOverflow)


@pytest.mark.parametrize("reason", ["surprise", "tool_calls"])
async def test_an_end_of_unknown_meaning_is_not_called_whole(desk: Any, reason: str) -> None:
    desk.emulator.faults.add("custom", Fault(finish_reason=reason))
    answer = await desk.ask_streaming("local/tiny")
    assert answer.text.endswith("hello")
    assert (answer.finish_reason, answer.cut_short) == ("length", True)
    assert any("may be incomplete" in note for note in answer.notes)
    for provider in ("glm", "kimi"):
        desk.emulator.faults.add(provider, Fault(finish_reason=reason))
        broken = await failing(desk, MODEL[provider])
        assert isinstance(broken, AnswerBroken)
        assert broken.partial.endswith("hello")


@pytest.mark.parametrize(("provider", "reason"), [("glm", "sensitive"), ("custom", "content_filter")])
async def test_a_filter_in_the_middle_leaves_what_was_said(desk: Any, provider: str, reason: str) -> None:
    desk.emulator.faults.add(provider, Fault(finish_reason=reason))
    fault = await failing(desk, MODEL[provider])
    assert isinstance(fault, ContentFiltered)
    assert fault.partial.endswith("hello")


async def test_an_error_that_is_not_retried_leaves_what_was_said(desk: Any) -> None:
    desk.emulator.persona = Persona("long", tokens=20)
    desk.emulator.faults.add("glm", Fault(frame="error", error="1301", after_frames=8))
    fault = await failing(desk, "glm-4.7")
    assert isinstance(fault, ContentFiltered)
    assert fault.partial.startswith("[emulated")


async def test_the_error_of_a_batch_is_the_one_that_was_reported(desk: Any) -> None:
    desk.emulator.faults.add(
        "glm", stream('data: {"success":false,"code":1302,"msg":"x"}\n\n', event("late", "stop"))
    )
    assert (await failing(desk, "glm-4.7")).code == "provider_throttled"


async def test_an_empty_answer_says_one_thing(desk: Any) -> None:
    desk.emulator.faults.add("kimi", Fault(content="empty"))
    empty = await failing(desk, "kimi-k2.6")
    assert type(empty) is AnswerEmpty
    assert (empty.retryable, "Ask again" in str(empty)) == (True, True)
    desk.emulator.faults.add("kimi", Fault(content="empty", finish_reason="length"))
    spent = await failing(desk, "kimi-k2.6")
    assert type(spent) is AnswerCapSpent
    assert (spent.code, spent.retryable, "Ask again" in str(spent)) == ("answer_empty", False, False)


async def test_a_refusal_in_words_is_an_answer(desk: Any) -> None:
    choice = {"index": 0, "delta": {"content": None, "refusal": "I will not."}, "finish_reason": "stop"}
    desk.emulator.faults.add("custom", stream(f"data: {json.dumps({'choices': [choice]})}\n\n"))
    assert (await desk.ask_streaming("local/tiny")).text == "I will not."
