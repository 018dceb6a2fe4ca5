"""Places that prose names, compared with what was shown."""

import pytest

from exai.workflows.citations import ShownFile
from exai.workflows.stages.prose import checked_prose

POOL = ShownFile(
    ["E1"],
    "src/pool.py",
    list(enumerate(["class Pool:", "    def take(self):", "        return self.free.pop()"], 1)),
)
MARK = " (unverified)"


PLAUSIBLE = [
    "`take` pops at src/pool.py:3.",
    "`take` pops (E1, lines 2-3).",
    "See pool.py, line 2, where take() pops.",
    "```\nFile pool.py:99\n```\n`take` at pool.py:2",
]
MARKED = [
    ("`close` leaks at src/pool.py:3*.", "unverified"),
    ("`take` pops at `src/pool.py:90`*.", "unverified"),
    ("It stands at pool.py:3*. There `take` pops.", "unverified"),
    ("`take` is called at src/orders.py:7*.", "unknown_file"),
    ("`take` pops at E7:3*.", "unknown_file"),
]


@pytest.mark.parametrize("text", PLAUSIBLE)
def test_a_place_whose_lines_have_what_the_sentence_names_stays(text: str) -> None:
    assert checked_prose(text, [POOL]) == (text, {"plausible": 1})


@pytest.mark.parametrize(("text", "state"), MARKED)
def test_any_other_place_is_marked(text: str, state: str) -> None:
    assert checked_prose(text.replace("*", ""), [POOL]) == (text.replace("*", MARK), {state: 1})


def test_each_place_of_a_sentence_is_judged_and_addresses_are_none() -> None:
    text, states = checked_prose("`take`: pool.py:2 and pool.py:80", [POOL])
    assert text == f"`take`: pool.py:2 and pool.py:80{MARK}"
    assert states == {"plausible": 1, "unverified": 1}
    for none in ("Listen on example.com:8080 or 127.0.0.1:80.", ""):
        assert checked_prose(none, [POOL]) == (none, {})


def test_where_nothing_was_shown_nothing_is_marked() -> None:
    assert checked_prose("It fails at src/pool.py:3.", []) == ("It fails at src/pool.py:3.", {})


def test_of_very_many_places_the_first_ones_are_looked_at() -> None:
    text, states = checked_prose("pool.py:99\n" * 2_000, [POOL])
    assert states == {"unverified": 500}
    assert text.count(MARK) == 500


def test_of_a_sentence_without_end_what_is_near_a_place_is_read() -> None:
    near, far = "word " * 90, "word " * 110
    assert checked_prose(f"`take` {near}pool.py:2 {near}", [POOL])[1] == {"plausible": 1}
    assert checked_prose(f"`take` {far}pool.py:2 {far}`take`", [POOL])[1] == {"unverified": 1}
