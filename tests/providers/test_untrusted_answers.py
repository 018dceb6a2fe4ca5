"""Whatever a provider sends is bounded in size, depth and meaning, and is never an incident."""

import json
import random
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from exai.costs import Usage
from exai.errors import AnswerBroken, ProviderFailed, ProviderFault
from exai.messages import Effort
from exai.providers.base import Charges, DeltaKind
from exai.providers.faults import BY_STATUS, Refusal
from exai.providers.search import SearchQuery
from exai.providers.untrusted_json import UnreadableJsonError, read_json, well_formed
from exai.providers.wire.answer_text import MAX_ANSWER_CHARACTERS
from exai.providers.wire.stream import (
    MAX_CITATIONS,
    MAX_TOKENS,
    AnswerAccumulator,
    BrokenAnswerError,
    MalformedAnswerError,
)
from exai_emulator import Fault, Persona

MODEL = {"glm": "glm-4.7", "kimi": "kimi-k2.6", "custom": "local/tiny"}
DEEP = "[" * 200_000
DEEP_BODIES = [
    f'{{"choices":{DEEP}',
    f'{{"choices":[{{"message":{{"content":"x"}},"finish_reason":"stop","x":{DEEP}',
    f'{{"usage":{DEEP}',
    f'{{"error":{DEEP}',
    DEEP,
]


def chunk(delta: str, **fields: Any) -> bytes:
    """A chunk whose delta is given as JSON."""
    rest = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in fields.items())
    return f'{{"choices":[{{"index":0,"delta":{delta}}}]{rest}}}'.encode()


def added(*events: bytes, whole: bool = False) -> AnswerAccumulator:
    answer = AnswerAccumulator(None)
    for each in events:
        if whole:
            answer.add_whole(each)
        else:
            answer.add_events([each])
    answer.end()
    return answer


@pytest.mark.parametrize("body", DEEP_BODIES, ids=["choices", "unknown", "usage", "error", "all"])
@pytest.mark.parametrize("status", [200, 400, 429, 500])
async def test_depth_is_a_fault_of_the_provider(desk: Any, body: str, status: int) -> None:
    for provider, model in MODEL.items():
        for kind in ("application/json", "text/event-stream"):
            content = body if kind == "application/json" else f"data: {body}\n\n"
            fault = Fault(status=status, body=content, headers={"Content-Type": kind})
            desk.emulator.faults.add(provider, fault)
            with pytest.raises(ProviderFault) as raised:
                await desk.ask_streaming(model)
            expected = ProviderFailed if status in {200, 500} else BY_STATUS[status].fault
            assert type(raised.value) is expected


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "9" * 4_999, "-1", "1.5", "1e30", '"7"', "null", "NaN"]
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_count_that_is_none_does_not_cost_the_answer(number: str, whole: bool) -> None:
    place = "message" if whole else "delta"
    body = (
        f'{{"choices":[{{"{place}":{{"content":"whole"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{number},'
        f'"completion_tokens":3,"prompt_tokens_details":{{"cached_tokens":{number}}}}}}}'
    )
    answer = added(body.encode(), whole=whole)
    assert (answer.text, answer.finish_reason) == ("whole", "stop")
    assert answer.usage == Usage(output=3)


def test_a_count_that_is_spelled_as_a_fraction_is_read() -> None:
    usage = {"prompt_tokens": 93.0, "completion_tokens": 1e2}
    assert added(chunk("{}", usage=usage)).usage == Usage(input=93, output=100)


def test_usage_keeps_no_names_but_its_own() -> None:
    answer = AnswerAccumulator(None)
    for number in range(50):
        answer.add_events([chunk("{}", usage={f"name{number}": 1})])
    assert answer._usage == {}


@pytest.mark.parametrize("kind", ["content", "reasoning_content"])
def test_a_pair_over_two_events_is_joined_and_half_a_pair_is_replaced(kind: str) -> None:
    told: list[str] = []
    for halves, expected in (
        (["a\\ud83d", "\\ude00b"], "a\U0001f600b"),
        (["a\\ud83d", "b"], "a\ufffdb"),
        (["a\\ude00"], "a\ufffd"),
        (["a\\ud83d"], "a\ufffd"),
        (["\\ud83d", "\\ud83d", "\\ude00"], "\ufffd\U0001f600"),
    ):
        told.clear()
        answer = AnswerAccumulator(lambda _kind, text: told.append(text))
        for half in halves:
            answer.add_events([chunk(f'{{"{kind}":"{half}"}}')])
        answer.end()
        found = answer.text if kind == "content" else answer.reasoning
        assert (found, "".join(told)) == (expected, expected)


async def test_half_a_pair_is_asked_for_once(desk: Any) -> None:
    desk.emulator.persona = Persona("echo", think_tokens=0)
    for provider, model in MODEL.items():
        for ask in (desk.ask_streaming, desk.ask):
            desk.emulator.faults.add(provider, Fault(frame="half_surrogate"))
            assert "\ufffd" in (await ask(model, effort=Effort.NONE)).text
            desk.emulator.faults.add(provider, Fault(frame="split_surrogate"))
            assert "\U0001f600" in (await ask(model, effort=Effort.NONE)).text
    assert len(desk.emulator.log.requests) == 4 * len(MODEL)


def test_half_a_pair_is_nowhere_in_a_call() -> None:
    call = (
        '{"tool_calls":[{"id":"c\\ud83d","type":"t\\ud83d","function":{"name":"n\\ud83d","arguments":"%s"}}]}'
    )
    answer = added(chunk(call % "\\ud83d"), chunk('{"tool_calls":[{"function":{"arguments":"\\ude00"}}]}'))
    (made,) = answer.tool_calls
    assert (made.id, made.name, made.kind, made.arguments) == ("c\ufffd", "n\ufffd", "t\ufffd", "\U0001f600")


ODD = [
    b'{"choices":[{"index":"0","delta":{"content":"yes"},"finish_reason":"stop"}]}',
    b'{"choices":[{"delta":{"content":"yes","role":7,"tool_calls":{}},"finish_reason":"stop"}]}',
    b'{"choices":[{"delta":{"content":"yes"},"message":"no","finish_reason":"stop"},7]}',
    b'{"choices":[{"delta":{"content":"yes","reasoning":{}},"finish_reason":"stop"}],"success":"true"}',
    b'{"choices":[{"delta":{"content":[{"type":"text","text":"yes"},{"type":"x"},5]},"finish_reason":"stop"}]}',
    b'{"choices":[{"delta":{"content":"yes"},"finish_reason":"stop","usage":"none"}],"usage":[],"error":{}}',
    b'{"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}],"created":1e999,"x":"\xff"}',
    b'{"choices":[{"delta":{"content":"yes"},"finish_reason":"stop"}],"web_search":"none","base_resp":[]}',
]


@pytest.mark.parametrize("event", ODD)
def test_one_odd_field_does_not_break_an_answer(event: bytes) -> None:
    answer = added(event)
    assert (answer.text, answer.finish_reason) == ("yes", "stop")


def test_thinking_in_a_list_of_parts_is_thinking() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "yes"},
    ]
    answer = added(chunk(json.dumps({"content": parts})))
    assert (answer.text, answer.reasoning) == ("yes", "hm")


def test_a_finish_reason_that_is_the_word_null_is_none() -> None:
    answer = added(b'{"choices":[{"delta":{"content":"a"},"finish_reason":"null"}]}')
    assert answer.finish_reason is None


@pytest.mark.parametrize("provider", MODEL)
async def test_endless_content_is_cut(desk: Any, provider: str) -> None:
    told = 0

    def listen(_kind: DeltaKind, text: str) -> None:
        nonlocal told
        told += len(text)

    desk.emulator.persona = Persona("echo", think_tokens=0)
    desk.emulator.faults.add(provider, Fault(endless=True))
    with pytest.raises(AnswerBroken, match="larger than any answer") as raised:
        await desk.ask(MODEL[provider], effort=Effort.NONE, on_delta=listen)
    assert len(raised.value.partial) <= MAX_ANSWER_CHARACTERS + 2**22
    assert told <= MAX_ANSWER_CHARACTERS
    desk.emulator.faults.add(provider, Fault(endless=True))
    with pytest.raises(ProviderFailed, match="larger than any answer"):
        await desk.ask(MODEL[provider], effort=Effort.NONE)


def test_endless_sources_calls_and_names_are_bounded() -> None:
    answer = AnswerAccumulator(None)
    for number in range(300):
        source = {"title": f"t{number}", "link": "https://a.example"}
        call = {"index": number, "function": {"name": "f", "arguments": "{}"}}
        answer.add_events([chunk(json.dumps({"tool_calls": [call]}), web_search=[source], model="m" * 9_999)])
    assert len(answer.citations) == MAX_CITATIONS
    assert len(answer.tool_calls) == 128
    assert answer.echoed_model == "m" * 128


def test_names_that_are_shown_are_one_clean_line() -> None:
    answer = added(b'{"id":"a\\nb\\ud83d","model":"m\\u0000\\nx","choices":[]}')
    assert (answer.id, answer.echoed_model) == ("a b", "m x")


async def test_a_header_of_odd_bytes_does_not_cost_the_answer(desk: Any) -> None:
    desk.emulator.faults.add("kimi", Fault(headers={"Msh-Request-Id": "caf\xe9" + "x" * 500}))
    answer = await desk.ask_streaming("kimi-k2.6")
    assert answer.request_id is not None
    answer.request_id.encode()
    assert len(answer.request_id) <= 128


@pytest.mark.parametrize("provider", ["glm", "kimi"])
async def test_what_a_search_sends_is_bounded(desk: Any, provider: str) -> None:
    engine = desk.router.search_engines[provider]
    name, path = {
        "glm": ("search_result", "/web_search"),
        "kimi": ("search_results", "/tools/search"),
    }[provider]

    async def found(body: str) -> Any:
        desk.emulator.faults.add(provider, Fault(status=200, body=body, path=path))
        deadline = desk.clock.monotonic() + 9
        return (await engine.search(SearchQuery("q"), deadline=deadline, charges=Charges())).results

    for bad in (f'{{"{name}":{DEEP}', DEEP, f'{{"{name}":5}}', "5", "[]", "\ufffd"):
        with pytest.raises(ProviderFailed):
            await found(bad)
    many = json.dumps({name: [{"title": "t"}] * 500 + [7]})
    assert len(await found(many)) == 20
    (odd,) = await found(f'{{"{name}":[{{"title":"\\ud83dx","date":1e999,"publish_date":{"9" * 4_999}}}]}}')
    assert odd.title == "x"


async def test_a_count_of_tokens_is_believed_within_reason(open_desk: Any) -> None:
    desk = await open_desk(kimi={"count_tokens": True})
    provider = desk.router.providers["kimi"]
    path = "/tokenizers/estimate-token-count"
    for body in (
        DEEP,
        '{"data":{"total_tokens":1e400}}',
        f'{{"data":{{"total_tokens":{10**12}}}}}',
        "{}",
        "5",
    ):
        desk.emulator.faults.add("kimi", Fault(status=200, body=body, path=path))
        with pytest.raises(ProviderFailed, match="did not count"):
            await provider.count_tokens(desk.prompt("kimi-k2.6"), deadline=desk.clock.monotonic() + 9)


async def test_a_list_of_models_is_not_read_but_bounded(desk: Any) -> None:
    provider = desk.router.providers["kimi"]
    for body in (DEEP, '{"data":[1e400]}'):
        desk.emulator.faults.add("kimi", Fault(status=200, body=body, path="/models"))
        assert (await provider.reach(within_s=9)).lists_models
    desk.emulator.faults.add("kimi", Fault(endless=True, path="/models"))
    with pytest.raises(ProviderFailed, match="more than any reply"):
        await provider.reach(within_s=9)


@pytest.mark.parametrize(
    "body",
    [
        f'{{"error":{"[" * 30_000}',
        f'{{"error":{{"code":{"9" * 4_999},"type":"rate_limit_reached_error"}}}}',
        '{"error":{"code":1e400,"message":"\\ud83d"}}',
        '{"error":{"code":"\\ud83d"}}',
        "\ufffd",
        "[[]]",
    ],
)
def test_an_odd_error_is_read_as_far_as_it_goes(body: str) -> None:
    refusal = Refusal.read(429, {"Retry-After": "1e999"}, body.encode(), 0.0)
    assert refusal.label.startswith(("HTTP 429", "rate_limit_reached_error"))
    assert refusal.retry_after_s is None


@pytest.mark.parametrize(
    "value", ["", "Mon,", "x" * 5_000, "Fri, 99 Abc 99999 99:99:99 +9999999", "nan", "-inf", "Mon, 1"]
)
def test_an_odd_wait_is_none(value: str) -> None:
    assert Refusal.read(429, {"Retry-After": value}, b"", 0.0).retry_after_s is None


@pytest.mark.parametrize(
    "date", ["", "Mon,", "Mon, 01 Jan 0001 00:00:00 -0000", "Fri, 31 Dec 9999 23:59:59 GMT"]
)
async def test_an_odd_date_is_no_failure(desk: Any, date: str) -> None:
    desk.emulator.faults.add("kimi", Fault(headers={"Date": date}, path="/models"))
    assert (await desk.router.providers["kimi"].reach(within_s=9)).lists_models


NAMES = [
    *("id", "model", "choices", "index", "delta", "message", "content", "reasoning_content", "tool_calls"),
    *("function", "name", "arguments", "type", "finish_reason", "usage", "prompt_tokens", "error", "code"),
    *("prompt_tokens_details", "cached_tokens", "success", "base_resp", "web_search", "title", "text"),
]
VALUES = [
    *(
        "null",
        "true",
        "1",
        "-1",
        "1.5",
        "1e400",
        "9" * 30,
        "9" * 4_999,
        "NaN",
        '""',
        '"x"',
        '"\\ud83d"',
        "[]",
    ),
    *("{}", "[[]]", "[{}]", '["x"]', '"<think>"', '"</think>"', '"stop"', '"odd"', "[" * 50 + "]" * 50),
]


def drawn(dice: random.Random, depth: int = 0) -> str:
    """JSON whose names are those of a completion, and whose values are anything."""
    kind = dice.random()
    if depth > 4 or kind < 0.4:
        return dice.choice(VALUES)
    fields = [drawn(dice, depth + 1) for _ in range(dice.randrange(4))]
    if kind < 0.6:
        return f"[{','.join(fields)}]"
    return "{" + ",".join(f'"{dice.choice(NAMES)}":{field}' for field in fields) + "}"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_is_an_answer_or_broken(seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(50):
        answer = AnswerAccumulator(None, dice.choice(["off", "both", "closing"]))
        for _ in range(4):
            event = f'{{"choices":[{{"delta":{drawn(dice)}}},{drawn(dice)}],"usage":{drawn(dice)}}}'
            with suppress(BrokenAnswerError):
                answer.add_events([event.encode(), drawn(dice).encode()])
            Refusal.read(429, {}, drawn(dice).encode(), 0.0).label.encode()
        answer.end()
        said = [answer.text, answer.reasoning or "", answer.id or "", answer.echoed_model or ""]
        called = [(each.id, each.name, each.arguments, each.kind) for each in answer.tool_calls]
        "".join([*said, *(text for call in called for text in call)]).encode()
        assert all(
            count is None or 0 <= count <= MAX_TOKENS for count in msgspec.structs.astuple(answer.usage)
        )


def test_names_that_come_again_and_again_are_read_in_time() -> None:
    answer = AnswerAccumulator(None)
    piece = '{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\\"a\\":}"}}]}'
    answer.add_events([chunk(piece)] * 20_000)
    (call,) = answer.tool_calls
    assert len(call.arguments) == 20_000 * len('{"a":}')


def test_what_no_standard_allows_is_read() -> None:
    assert read_json(b'{"a":NaN,"b":1e400,"c":[-Infinity,"\\ud83d"],"d":1}') == {
        "a": None,
        "b": None,
        "c": [None, "\ud83d"],
        "d": 1,
    }
    assert well_formed("a\ud83d\ude00\ud83d") == "a\U0001f600\ufffd"
    for bad in (b"", b"{", b"\xff\xfe", DEEP.encode()):
        with pytest.raises(UnreadableJsonError):
            read_json(bad)


def test_arguments_that_are_deep_are_malformed() -> None:
    deep = "[" * 600 + "]" * 600
    with pytest.raises(MalformedAnswerError):
        added(chunk(f'{{"tool_calls":[{{"function":{{"name":"f","arguments":{"[" * 100_000}}}}}]}}'))
    assert added(chunk(f'{{"tool_calls":[{{"function":{{"name":"f","arguments":{deep}}}}}]}}')).tool_calls
