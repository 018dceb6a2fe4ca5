"""Personas answer from the request alone."""

from typing import Any

import pytest

from exai_emulator import Emulator, Persona
from exai_emulator.personas import Question, answer_of
from exai_emulator.tokens import PrefixCache, count_tokens, cut_to_tokens, pieces_of
from support.virtual_time import now

TOLD = ("user", "The secret word is plover.")


def said(persona: Persona, *texts: tuple[str, str], **fields: Any) -> str:
    question = Question(model="m", texts=texts, thinks=False, think_tokens=0, cap=10_000, **fields)
    return answer_of(persona, question).content


@pytest.mark.parametrize("asked", ["Recall the word.", "What was the secret word?", "Please quote me."])
def test_auto_recalls_when_asked_to(asked: str) -> None:
    assert (
        said(Persona(), TOLD, ("assistant", "Yes."), ("user", asked))
        == "[emulated m] The secret word is plover."
    )


@pytest.mark.parametrize("text", ["Remember: the secret word is heron.", "What time is it?", ""])
def test_auto_echoes_everything_else(text: str) -> None:
    assert said(Persona(), ("user", text)) == f"[emulated m] {text}"


def test_recall_knows_the_conversation_alone() -> None:
    recall = Persona("recall")
    assert said(recall, ("user", "hello")) == "[emulated m] Nothing was said before this message."
    assert (
        said(recall, ("user", "one"), ("assistant", "no"), ("user", "two")) == '[emulated m] You said: "one"'
    )
    assert said(recall, ("assistant", "the secret word is owl"), ("user", "x")).endswith(
        "before this message."
    )
    later = ("user", 'the secret word is "heron"')
    assert said(recall, TOLD, later, ("user", "x")) == "[emulated m] The secret word is heron."


def test_fixed_long_stop_and_json_mode() -> None:
    assert said(Persona("fixed", text="Hi.")) == "[emulated m] Hi."
    assert said(Persona("fixed", text="one two three"), stop=["two"]) == "[emulated m] one "
    assert (
        said(Persona("fixed", text="Hi."), json_mode=True) == '{"emulated":"m","answer":"[emulated m] Hi."}'
    )
    prefix = "[emulated m] "
    long = said(Persona("long", tokens=100))
    assert long == said(Persona("long", tokens=100))
    assert count_tokens(long.removeprefix(prefix)) == 100


@pytest.mark.parametrize(
    "wrong", [{"tokens": -1}, {"delay_per_token_ms": -1}, {"think_tokens": -1}, {"frames_per_write": 0}]
)
def test_a_persona_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="persona's"):
        Persona("long", **wrong)


@pytest.mark.virtual_time
async def test_delays_pace_a_stream_and_a_whole_answer(emulator: Emulator, ask: Any) -> None:
    emulator.persona = Persona(
        "long", tokens=20, think_tokens=5, delay_per_token_ms=500, first_byte_delay_ms=5_000
    )
    for streams in (False, True):
        asked = now()
        reply = await ask("glm", stream=streams)
        assert reply.status == 200
        assert now() - asked == 5 + 30 * 0.5, "the name in front is 5 tokens"


@pytest.mark.parametrize("per_write", [1, 16])
async def test_a_long_stream_has_one_frame_per_token(emulator: Emulator, ask: Any, per_write: int) -> None:
    emulator.persona = Persona("long", tokens=1_000, think_tokens=0, frames_per_write=per_write)
    chunks = (await ask("kimi", stream=True)).frames
    texts = [
        chunk["choices"][0]["delta"]["content"]
        for chunk in chunks[1:-1]
        if chunk["choices"][0]["delta"].get("content")
    ]
    assert len(texts) == chunks[-2]["usage"]["completion_tokens"]
    assert 1_000 < len(texts) < 1_010
    assert emulator.log.requests[-1].frames == len(chunks)


async def test_a_persona_of_one_provider_leaves_the_others(emulator: Emulator, ask: Any) -> None:
    emulator.personas.set(Persona("fixed", text="Hi."), provider="glm")
    answers = [(await ask(door)).json["choices"][0]["message"]["content"] for door in ("glm", "kimi")]
    assert answers == ["[emulated glm-5.3] Hi.", "[emulated kimi-k3] Say hello."]
    emulator.persona = Persona("echo")
    assert (await ask("glm")).json["choices"][0]["message"]["content"] == "[emulated glm-5.3] Say hello."


def test_tokens_are_quarters_of_latin_and_more_of_chinese() -> None:
    assert count_tokens("") == 0
    assert count_tokens("abcde") == 2
    assert count_tokens("你好你好") == 3
    assert cut_to_tokens("abcdefgh", 1) == "abcd"
    assert count_tokens(cut_to_tokens("你好你好", 2)) <= 2
    assert "".join(pieces_of("héllo 🦉 wörld")) == "héllo 🦉 wörld"


def test_the_cache_finds_the_longest_common_prefix_and_forgets_the_oldest() -> None:
    cache = PrefixCache(prompts=2)
    assert cache.shared_prefix("abcdef") == ""
    assert cache.shared_prefix("abcxyz") == "abc"
    assert cache.shared_prefix("abcdef") == "abcdef"
    assert cache.shared_prefix("zzz") == ""
    assert cache.shared_prefix("abcdeQ") == "abc"
