"""The same question over and over gets its first answer again."""

from typing import Any

from checks.opening import unserved_registry

from exai.callers import Caller, Door
from exai.dispatch.repeats import REPEATED_KEY, WITHIN_S, Repeats
from exai.tools.base import ToolAnswer
from exai.tools.registry import Registry

REGISTRY = unserved_registry()
AGENT = Caller("me", Door.WEBSOCKET, client="agent 1")
LINKS = [{"type": "resource_link", "uri": "exai://files/file_1", "name": "a.patch"}]
ANSWER = ToolAnswer(
    "[continuation_id: conv_1]\n\nIt is blue.",
    {"continuation_id": "conv_1", "answer": "It is blue.", "notes": ["Short."]},
    links=LINKS,
)


class Agent:
    """Calls tools, and is answered anew or by what there is."""

    def __init__(self, most: int = 2, registry: Registry = REGISTRY) -> None:
        self.repeats = Repeats(most)
        self._registry = registry

    def asks(
        self, name: str = "chat", *, now: float = 0.0, caller: Caller = AGENT, **given: Any
    ) -> ToolAnswer | None:
        invocation = self._registry.find(name, given)
        again = self.repeats.answer_again(invocation, caller, now)
        if again is None:
            self.repeats.note(invocation, caller, ANSWER, now)
        return again


def test_the_third_time_in_a_row_gets_the_first_answer_and_a_sentence() -> None:
    agent = Agent()
    assert [agent.asks(prompt="Why?") for _ in range(2)] == [None, None]
    again = agent.asks(prompt="Why?")
    assert again is not None
    assert again.text.startswith(
        "[continuation_id: conv_1]\nNote: This is the answer that the same question got before; you have asked it 3 "
        "times in a row"
    )
    assert again.text.endswith("It is blue.")
    assert again.structured is not None
    assert list(again.structured) == ["continuation_id", "notes", "answer"]
    assert again.links == LINKS
    assert [note[:18] for note in again.structured["notes"]] == ["This is the answer", "Short."]
    assert (again.meta or {})[REPEATED_KEY] == {"times": 3}
    fourth = agent.asks(prompt="Why?")
    assert fourth is not None
    assert "4 times" in fourth.text


def test_any_other_call_in_between_begins_anew() -> None:
    agent = Agent()
    for _ in range(3):
        assert agent.asks(prompt="Why?") is None
        assert agent.asks(prompt="How?") is None


def test_what_depends_on_more_than_words_is_always_asked() -> None:
    agent = Agent()
    for given in (
        {"prompt": "Go on.", "continuation_id": "conv_1"},
        {"prompt": "Look.", "absolute_file_paths": ["/a"]},
        {"prompt": "Look.", "images": ["/a.png"]},
        {"prompt": "Look.", "dry_run": True},
    ):
        assert [agent.asks(**given) for _ in range(4)] == [None] * 4
    assert [agent.asks("debug", problem="It fails.") for _ in range(4)] == [None] * 4
    assert [agent.asks("smart_file_query", question="?", file_path="/a") for _ in range(4)] == [None] * 4


def test_each_client_asks_for_itself() -> None:
    agent, other = Agent(), Caller("me", Door.HTTP, client="other 1")
    for _ in range(2):
        assert agent.asks(prompt="Why?") is None
        assert agent.asks(prompt="Why?", caller=other) is None


def test_after_a_while_the_question_is_a_new_one() -> None:
    agent = Agent()
    assert [agent.asks(prompt="Why?", now=moment) for moment in (0.0, 1.0)] == [None, None]
    assert agent.asks(prompt="Why?", now=WITHIN_S + 1) is None
    assert agent.asks(prompt="Why?", now=WITHIN_S + 2) is None
    assert agent.asks(prompt="Why?", now=WITHIN_S + 3) is not None


def test_without_the_guard_each_is_asked() -> None:
    agent = Agent(most=0)
    assert [agent.asks(prompt="Why?") for _ in range(5)] == [None] * 5
