"""Thinking that a model writes into its answer is thinking, where the row says so."""

from typing import Any

import pytest

from exai.errors import AnswerCapSpent
from exai.messages import Effort
from exai.providers.base import DeltaKind
from exai.providers.profile import ThinkTags
from exai.providers.wire.answer_text import AnswerText
from exai_emulator import EmulatorOptions, Fault, Persona

TAGGED = "\n<think>\nhm, <b>\n</think>\n\nyes <think>no</think>"
MODELS = [{"name": "tiny", "efforts": ["none", "high"]}]


def read(
    tags: ThinkTags, text: str, size: int, *, cut: bool = False
) -> tuple[str, str | None, dict[Any, str]]:
    told: dict[DeltaKind, str] = {DeltaKind.TEXT: "", DeltaKind.REASONING: ""}

    def listen(kind: DeltaKind, piece: str) -> None:
        told[kind] += piece

    answer = AnswerText(listen, tags)
    for start in range(0, len(text), size):
        answer.add(DeltaKind.TEXT, text[start : start + size])
        answer.flush()
    answer.end(cut=cut)
    return answer.text, answer.reasoning, told


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_tags_are_read_however_they_are_cut(size: int) -> None:
    text, reasoning, told = read("both", TAGGED, size)
    assert (text, reasoning) == ("yes <think>no</think>", "\nhm, <b>\n")
    assert (told[DeltaKind.TEXT], told[DeltaKind.REASONING]) == (text, reasoning)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_template_that_opens_the_thinking(size: int) -> None:
    text, reasoning, told = read("closing", "hm\n</think>\n\nyes", size)
    assert (text, reasoning) == ("yes", "hm\n")
    assert told == {DeltaKind.TEXT: "yes", DeltaKind.REASONING: "hm\n"}


@pytest.mark.parametrize("size", [1, 100])
def test_a_closing_tag_alone_is_found_at_the_end(size: int) -> None:
    assert read("both", "hm\n</think>\n\nyes", size)[:2] == ("yes", "hm\n")


@pytest.mark.parametrize(
    "text",
    [
        "Close it with `</think>` there.",
        "a < b <thin",
        "<thinker>",
        "  \n",
        "",
        "see <think>x</think>",
        "hm\n</think>",
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_text_that_is_no_thinking_stays(text: str, size: int) -> None:
    assert read("both", text, size)[:2] == (text, None)
    assert read("off", TAGGED, size)[:2] == (TAGGED, None)


def test_an_answer_without_the_expected_tag_is_an_answer_unless_it_was_cut() -> None:
    assert read("closing", "yes", 1)[:2] == ("yes", None)
    assert read("closing", "hm", 1, cut=True)[:2] == ("", "hm")


@pytest.mark.parametrize("dialect", ["compatible", "ollama", "vllm", "minimax"])
@pytest.mark.parametrize("streams", [True, False])
async def test_dialects_of_local_servers_read_tags(open_desk: Any, dialect: str, streams: bool) -> None:
    desk = await open_desk(
        options=EmulatorOptions(custom_dialect=dialect),  # type: ignore[arg-type]
        custom={"dialect": dialect, "models": MODELS},
    )
    desk.emulator.persona = Persona("echo", think_tokens=4)
    ask = desk.ask_streaming if streams else desk.ask
    for tags in ("both", "closing"):
        desk.emulator.faults.add("custom", Fault(think_tags=tags))
        answer = await ask("local/tiny", effort=Effort.HIGH)
        assert answer.text == "[emulated tiny] hello"
        assert "let all see" in answer.reasoning


async def test_tags_stay_where_the_row_says_so(open_desk: Any) -> None:
    desk = await open_desk(custom={"dialect": "vllm", "think_tags": "off"})
    desk.emulator.persona = Persona("echo", think_tokens=4)
    desk.emulator.faults.add("custom", Fault(think_tags="both"))
    assert (await desk.ask("local/tiny")).text.startswith("<think>")


async def test_thinking_that_was_cut_is_no_answer(open_desk: Any) -> None:
    desk = await open_desk(custom={"dialect": "vllm"})
    desk.emulator.persona = Persona("echo", think_tokens=4)
    body = 'data: {"choices":[{"delta":{"content":"<think>hm"},"finish_reason":"length"}]}\n\n'
    desk.emulator.faults.add(
        "custom", Fault(status=200, body=body, headers={"Content-Type": "text/event-stream"})
    )
    with pytest.raises(AnswerCapSpent, match="thinking"):
        await desk.ask_streaming("local/tiny")
