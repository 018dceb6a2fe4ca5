"""A model's tool calls are run and answered in both dialects, within bounds, whatever is wrong with them."""

import asyncio
import json
from typing import Annotated, Any

import msgspec
import pytest

from exai import config
from exai.costs import Cost
from exai.errors import AnswerEmpty, DeadlineExceeded, ProviderFailed, ToolLoopExceeded
from exai.events.requests import Purpose
from exai.providers.base import Charges, Completion, DeltaKind
from exai.providers.wire.stream import AnswerAccumulator
from exai.routing.tool_loop import EchoTool, ToolLoop, TypedTool
from exai.runtime.clock import ManualClock
from exai_emulator import Emulator, Fault, Persona, ScriptedCall
from support.scripted import asker, asking
from support.virtual_time import now
from support.waiting import wait_until

PROVIDERS = {"glm": "glm-5.3", "kimi": "kimi-k3", "custom": "local/tiny"}


class Within(msgspec.Struct, frozen=True):
    days: list[int]


class LookUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    words: str = "everything"
    within: Within | None = None


class Bench:
    """A loop with one tool, in front of the emulator; it remembers what was run."""

    def __init__(self, desk: Any, **limits: Any) -> None:
        self.desk = desk
        self.ran: list[LookUp] = []
        self.running = self.most_running = 0
        self.fails: Exception | None = None
        self.delay = 0.0
        self.asker = asker(asking(desk.router, clock=desk.clock))
        self.tool = TypedTool("look_up", "Looks words up.", LookUp, self._look_up)
        self.loop = ToolLoop([self.tool], config.ToolLoop(**limits), desk.clock)

    def spend(self, usd: float) -> None:
        """Let the call spend this on a search."""
        self.asker.ledger.open(Purpose.WEB_SEARCH, "kimi", "web-search").bill.add(Cost({"search": usd}))

    async def _look_up(self, arguments: LookUp) -> str:
        self.ran.append(arguments)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        try:
            await asyncio.sleep(self.delay)
        finally:
            self.running -= 1
        if self.fails is not None:
            raise self.fails
        return f"found {arguments.words}"

    async def run(
        self, provider: str, *calls: tuple[ScriptedCall, ...], streams: bool = False, **persona: Any
    ) -> Completion:
        self.desk.emulator.persona = Persona(rounds=calls, **persona)
        model = PROVIDERS.get(provider, provider)

        def listen(_kind: DeltaKind, _text: str) -> None:
            return

        prompt = self.desk.prompt(model, "Find it.", tools=self.loop.specs)
        return await self.loop.run(self.asker, prompt, listen if streams else None)

    def sent(self, provider: str) -> list[Any]:
        """The bodies of the requests, in order."""
        return [record.body for record in self.desk.emulator.log.of(provider)]


@pytest.fixture
def bench(desk: Any) -> Bench:
    return Bench(desk)


def call(words: str = "owls", **fields: Any) -> ScriptedCall:
    return ScriptedCall("look_up", {"words": words}, **fields)


def tool_texts(body: Any) -> list[str]:
    return [message["content"] for message in body["messages"] if message["role"] == "tool"]


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_calls_are_run_and_their_results_go_back_as_they_came(
    bench: Bench, provider: str, streams: bool
) -> None:
    answer = await bench.run(provider, (call("owls"), call("hawks")), (call("herons"),), streams=streams)
    assert [each.words for each in bench.ran] == ["owls", "hawks", "herons"]
    assert "found owls | found hawks | found herons" in answer.text
    assert answer.finish_reason == "stop"
    first, second, third = bench.sent(provider)
    assert [tool["function"]["name"] for tool in first["tools"]] == ["look_up"]
    assert first["tools"] == second["tools"] == third["tools"]
    assert first["tools"][0]["function"]["parameters"]["properties"]["within"]["type"] == "object"
    assert "$ref" not in json.dumps(first)
    called, *answers = third["messages"][len(first["messages"]) :][:3]
    assert called["role"] == "assistant"
    assert [json.loads(each["function"]["arguments"]) for each in called["tool_calls"]] == [
        {"words": "owls"},
        {"words": "hawks"},
    ]
    assert [answer["tool_call_id"] for answer in answers] == [each["id"] for each in called["tool_calls"]]
    assert tool_texts(third) == ["found owls", "found hawks", "found herons"]
    usage = bench.asker.ledger.bill.usage
    assert usage is not None
    assert usage.output is not None
    assert usage.output > (answer.usage.output or 0)


def test_a_model_is_shown_keywords_alone_that_every_provider_takes() -> None:
    class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        words: Annotated[str, msgspec.Meta(min_length=2, description="What to find")]
        places: list[Annotated[int, msgspec.Meta(ge=1)]] = msgspec.field(default_factory=list)

    async def run(_: Strict) -> str:
        return ""

    tool = TypedTool("strict", "", Strict, run)
    assert tool.spec.parameters == {
        "type": "object",
        "properties": {
            "words": {"type": "string", "description": "What to find"},
            "places": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["words"],
        "additionalProperties": False,
    }
    with pytest.raises(ValueError, match="length >= 2"):
        tool.read('{"words":"a"}')


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 100_000, "nested too deeply|not valid JSON"),
        ('{"within":' * 500 + "1" + "}" * 500, "do not fit the schema|nested too deeply"),
        ('"\\ud800"', "not valid JSON|do not fit"),
        ('"{"', "not valid JSON"),
        ("[]", "do not fit the schema"),
        ("7", "do not fit the schema"),
    ],
)
def test_no_arguments_are_more_than_a_sentence_for_the_model(desk: Any, text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        Bench(desk).tool.read(text)
    assert len(str(refused.value)) < 300


async def test_thinking_goes_back_within_the_loop_where_the_protocol_demands_it(bench: Bench) -> None:
    for provider, model, back in (
        ("kimi", "kimi-k2.6", True),
        ("kimi", "kimi-k3", True),
        ("glm", "glm-5.3", False),
    ):
        bench.desk.emulator.reset()
        await bench.run(model, (call(),))
        called = bench.sent(provider)[1]["messages"][-2]
        assert ("reasoning_content" in called) is back


async def test_a_call_without_thinking_still_passes_where_thinking_is_demanded(bench: Bench) -> None:
    answer = await bench.run("kimi", (call(),), think_tokens=0)
    assert "found owls" in answer.text
    assert bench.sent("kimi")[1]["messages"][-2]["reasoning_content"] == " "


@pytest.mark.virtual_time
async def test_the_calls_of_a_round_run_side_by_side(bench: Bench) -> None:
    bench.delay = 2
    await bench.run("glm", (call("a"), call("b"), call("c")))
    assert bench.most_running == 3
    began, ended = bench.asker.ledger.entries[0].began, bench.desk.clock.monotonic()
    assert bench.asker.ledger.timings(began, ended)["tools_ms"] == pytest.approx(2_000)


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("arguments", "defect", "typed"),
    [
        ({"words": "owls"}, "object", LookUp("owls")),
        ({}, "empty", LookUp()),
        ({}, "missing", LookUp()),
        ({"within": {"days": [1, 2]}}, "nested_strings", LookUp(within=Within([1, 2]))),
        ({"words": "owls"}, "no_id", LookUp("owls")),
        ({"words": "owls"}, "no_index", LookUp("owls")),
        ({"words": "owls"}, "id_repeated", LookUp("owls")),
    ],
)
async def test_documented_defects_are_repaired(
    bench: Bench, provider: str, arguments: dict[str, Any], defect: Any, typed: LookUp, streams: bool
) -> None:
    answer = await bench.run(provider, (ScriptedCall("look_up", arguments, defect=defect),), streams=streams)
    assert bench.ran == [typed]
    assert f"found {typed.words}" in answer.text


async def test_a_list_inside_an_object_that_came_as_text_is_unpacked_as_well(bench: Bench) -> None:
    await bench.run("glm", (ScriptedCall("look_up", {"within": {"days": "[3]"}}),))
    assert bench.ran == [LookUp(within=Within([3]))]


async def test_two_tool_calls_with_one_id_get_their_own_results(bench: Bench) -> None:
    await bench.run("kimi", (call("a", id="same"), call("b", id="same")), streams=True)
    second = bench.sent("kimi")[1]["messages"]
    assert [each["id"] for each in second[-3]["tool_calls"]] == ["same", "same_1"]
    assert [(each["tool_call_id"], each["content"]) for each in second[-2:]] == [
        ("same", "found a"),
        ("same_1", "found b"),
    ]


@pytest.mark.parametrize(
    ("scripted", "told"),
    [
        (call("owls", defect="invalid_json"), "not valid JSON"),
        (ScriptedCall("look_up", {"words": 7}), "do not fit the schema: Expected `str`, got `int`"),
        (ScriptedCall("look_up", {"wrong": 7}), "unknown field `wrong`"),
        (ScriptedCall("look_down"), "There is no tool 'look_down'. There are: look_up."),
    ],
)
async def test_a_tool_call_that_cannot_run_is_reported_to_the_model(
    bench: Bench, scripted: ScriptedCall, told: str
) -> None:
    await bench.run("glm", (scripted,), (call("owls"),))
    assert bench.ran == [LookUp("owls")]
    assert told in tool_texts(bench.sent("glm")[1])[0]
    assert len(bench.sent("glm")) == 3


async def test_a_failed_tool_is_reported_to_the_model(bench: Bench) -> None:
    bench.fails = ProviderFailed("The search failed. Try again later.")
    answer = await bench.run("kimi", (call(),))
    assert "Error: The search failed. Try again later." in answer.text


@pytest.mark.virtual_time
async def test_a_tool_timeout_is_reported_to_the_model(desk: Any) -> None:
    bench = Bench(desk, tool_s=15)
    bench.delay = 30
    answer = await bench.run("kimi", (call(),))
    assert "look_up did not end within 15 s" in answer.text
    assert now() == 15
    assert bench.running == 0


@pytest.mark.parametrize("fault", [DeadlineExceeded("The time is over."), ZeroDivisionError("a defect")])
async def test_what_ends_the_call_ends_it_here_too(bench: Bench, fault: Exception) -> None:
    bench.fails = fault
    with pytest.raises(type(fault)):
        await bench.run("kimi", (call("a"), call("b")))
    assert bench.running == 0
    assert len(bench.sent("kimi")) == 1


@pytest.mark.virtual_time
async def test_cancelling_the_call_cancels_its_tools(bench: Bench) -> None:
    bench.delay = 30
    running = asyncio.get_running_loop().create_task(bench.run("kimi", (call(),)), name="loop")
    await wait_until(lambda: bench.running, what="the tool runs")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert bench.running == 0


async def test_the_last_round_asks_the_model_to_answer(desk: Any) -> None:
    bench = Bench(desk, max_rounds=2)
    await bench.run("kimi", (call("a"),), (call("b"),))
    last = tool_texts(bench.sent("kimi")[-1])
    assert "No more calls" not in last[0]
    assert last[1].startswith("found b\n\nNo more calls are possible: the limit of 2 rounds")


async def test_a_model_that_goes_on_calling_is_given_up(desk: Any) -> None:
    bench = Bench(desk, max_rounds=2)
    with pytest.raises(
        ToolLoopExceeded, match="kimi-k3 went on calling tools although the limit of 2 rounds"
    ):
        await bench.run("kimi", *((call(str(number)),) for number in range(9)))
    assert len(bench.sent("kimi")) == 3
    assert len(bench.ran) == 2


async def test_calls_above_the_limit_are_not_run(desk: Any) -> None:
    bench = Bench(desk, max_calls=3)
    answer = await bench.run("glm", (call("a"), call("b")), (call("c"), call("d")))
    assert [each.words for each in bench.ran] == ["a", "b"]
    assert answer.text.count("Not run, because the limit of 3 tool calls was reached") == 2


async def test_a_loop_over_its_time_runs_no_more(desk: Any) -> None:
    bench = Bench(desk)
    clock = ManualClock()

    async def slow(arguments: LookUp) -> str:
        clock.advance(10)
        return await bench._look_up(arguments)

    tool = TypedTool("look_up", "Looks words up.", LookUp, slow)
    bench.loop = ToolLoop([tool], config.ToolLoop(max_s=5), clock)
    answer = await bench.run("glm", (call("a"),), (call("b"),))
    assert [each.words for each in bench.ran] == ["a"]
    assert "the 5 s for tool calls were over" in answer.text


async def test_a_loop_over_its_money_runs_no_more(desk: Any) -> None:
    bench = Bench(desk, max_cost_usd=0.5)
    bench.spend(7.0)  # before the loop, and so not its own
    answer = await bench.run("kimi", (call("a"),))
    assert len(bench.ran) == 1
    desk.emulator.log.clear()

    async def costly(arguments: LookUp) -> str:
        bench.spend(0.6)
        return await bench._look_up(arguments)

    bench.loop = ToolLoop(
        [TypedTool("look_up", "Looks words up.", LookUp, costly)],
        config.ToolLoop(max_cost_usd=0.5),
        desk.clock,
    )
    answer = await bench.run("kimi", (call("b"),), (call("c"),))
    assert [each.words for each in bench.ran] == ["a", "b"]
    assert "the 0.5 dollars for tool calls were spent" in answer.text


async def test_the_same_call_again_is_not_run_again(bench: Bench) -> None:
    answer = await bench.run("kimi", (call("a"),), (call("a"),), (call("b"),))
    assert [each.words for each in bench.ran] == ["a", "b"]
    assert "This very call was answered before" in answer.text


async def test_a_model_that_only_repeats_itself_is_given_up(bench: Bench) -> None:
    with pytest.raises(ToolLoopExceeded, match="again and again with the same arguments"):
        await bench.run("kimi", *((call("a"),) for _ in range(8)))
    assert len(bench.ran) == 1
    assert len(bench.sent("kimi")) == 4


async def test_a_long_result_is_cut_with_a_note_to_the_model(desk: Any) -> None:
    bench = Bench(desk, max_result_characters=10)
    await bench.run("kimi", (call("x" * 50),))
    assert tool_texts(bench.sent("kimi")[1])[0] == "found xxxx\n[cut: 46 more characters]"


async def test_a_cut_call_is_never_run(bench: Bench) -> None:
    bench.desk.emulator.persona = Persona(rounds=((call(),),), think_tokens=0)
    prompt = bench.desk.prompt("kimi-k3", tools=bench.loop.specs, max_output_tokens=3)
    with pytest.raises(AnswerEmpty, match="cap"):
        await bench.desk.router.providers["kimi"].complete(prompt, deadline=bench.desk.clock.monotonic() + 9)


@pytest.mark.parametrize("provider", ["glm", "kimi", "custom"])
async def test_calls_under_one_index_are_run_each(bench: Bench, provider: str) -> None:
    words = ("owls", "hawks", "herons")
    calls = tuple(call(each, defect="one_index") for each in words)
    answer = await bench.run(provider, calls, streams=True)
    assert [each.words for each in bench.ran] == list(words)
    assert answer.finish_reason == "stop"


def pieces(*entries: dict[str, Any]) -> AnswerAccumulator:
    answer = AnswerAccumulator(None)
    answer.add_events(
        [json.dumps({"choices": [{"delta": {"tool_calls": [entry]}}]}).encode() for entry in entries]
    )
    return answer


def piece(name: str | None, arguments: str, **fields: Any) -> dict[str, Any]:
    return {"index": 0, "function": {"name": name, "arguments": arguments}, **fields}


@pytest.mark.parametrize(
    ("entries", "read"),
    [
        # A name that comes again begins a call.
        ([piece("f", '{"a":1}'), piece("f", '{"a":2}')], [("f", '{"a":1}'), ("f", '{"a":2}')]),
        ([piece("f", ""), piece("g", ""), piece(None, "{}")], [("f", ""), ("g", "{}")]),
        ([piece("f", '{"a":'), piece("g", "{}")], [("f", '{"a":'), ("g", "{}")]),
        # Some servers repeat it in every piece of one call.
        ([piece("f", ""), piece("f", '{"a":'), piece("f", "{}}")], [("f", '{"a":{}}')]),
        ([piece("f", '{"a":', id="x"), piece("f", "1}", id="x")], [("f", '{"a":1}')]),
        ([piece("f", '{"a":1}', id="x"), piece("", "", id="x")], [("f", '{"a":1}')]),
        ([piece("f", '{"a":1}', id="x"), piece("f", '{"a":1}', id="y")], [("f", '{"a":1}')] * 2),
    ],
)
def test_pieces_belong_to_the_call_that_began_last(
    entries: list[dict[str, Any]], read: list[tuple[str, str]]
) -> None:
    assert [(each.name, each.arguments) for each in pieces(*entries).tool_calls] == read


async def test_kimis_searches_under_one_index_are_counted_each(open_desk: Any) -> None:
    desk = await open_desk(kimi={"web_search": "builtin"})
    events: list[dict[str, Any]] = [
        {"choices": [{"delta": {"tool_calls": [piece("$web_search", json.dumps({"n": number}))]}}]}
        for number in range(3)
    ]
    events.append({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    desk.emulator.faults.add(
        "kimi", Fault(status=200, body=body, headers={"Content-Type": "text/event-stream"})
    )
    charges = Charges()
    answer = await desk.router.providers["kimi"].complete(
        desk.prompt("kimi-k2.6", web_search=True),
        deadline=desk.clock.monotonic() + 9,
        on_delta=lambda _kind, _text: None,
        charges=charges,
    )
    assert [json.loads(each.arguments) for each in answer.tool_calls] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert len({each.id for each in answer.tool_calls}) == 3
    assert charges.services == {"web_search": 3}


def test_a_call_without_id_and_arguments_is_read() -> None:
    answer = AnswerAccumulator(None)
    answer.add_whole(
        b'{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f"}}]},"finish_reason":"stop"}]}'
    )
    assert [(each.id, each.name, each.arguments) for each in answer.tool_calls] == [("call_0", "f", "")]


async def test_an_echo_tool_hands_the_arguments_back_untouched(open_desk: Any) -> None:
    desk: Any = await open_desk()
    emulator: Emulator = desk.emulator
    calls = []
    loop = ToolLoop([EchoTool("look_up", lambda: calls.append(1))], config.ToolLoop(), desk.clock)
    assert loop.specs == ()
    emulator.persona = Persona(rounds=((call("  spaced  "),),))
    spec = Bench(desk).loop.specs
    prompt = desk.prompt("kimi-k3", tools=spec)

    await loop.run(asker(asking(desk.router)), prompt)
    messages = emulator.log.of("kimi")[1].body["messages"]
    assert messages[-1]["content"] == messages[-2]["tool_calls"][0]["function"]["arguments"]
    assert messages[-1]["name"] == "look_up"
    assert calls == [1]
