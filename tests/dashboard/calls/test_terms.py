"""The search box: what it understands, and that everything else is refused with a sentence that lists the terms."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.dashboard.calls.terms import CLOSED, LONGEST, Jump, Search, read_search
from exai.errors import BadArguments
from exai.storage.dashboard.call_search import Condition

READ = {
    "": Search(),
    "   ": Search(),
    "tool:chat": Search((Condition("tool", values=("chat",)),)),
    "tool:chat outcome:failed": Search(
        (Condition("tool", values=("chat",)), Condition("outcome", values=("failed",)))
    ),
    "model:glm*": Search((Condition("model", values=("glm*",)),)),
    "error:circuit_open,overloaded": Search((Condition("error", values=("circuit_open", "overloaded")),)),
    "-door:stdio": Search((Condition("door", values=("stdio",), negated=True),)),
    'client:"claude code 2"': Search((Condition("client", values=("claude code 2",)),)),
    r'client:"a \"b\""': Search((Condition("client", values=('a "b"',)),)),
    "took:>5s": Search((Condition("took", ">", number=5_000.0),)),
    "took:<=250ms": Search((Condition("took", "<=", number=250.0),)),
    "took:>=2m": Search((Condition("took", ">=", number=120_000.0),)),
    "took:5": Search((Condition("took", "is", number=5_000.0),)),
    "first:>2s": Search((Condition("first", ">", number=2_000.0),)),
    "cost:>0.1": Search((Condition("cost", ">", number=0.1),)),
    "cost:>$0.1": Search((Condition("cost", ">", number=0.1),)),
    "tokens:>10k": Search((Condition("tokens", ">", number=10_000.0),)),
    "emulated:yes": Search((Condition("emulated", ">=", number=1.0),)),
    "emulated:no": Search((Condition("emulated", "<", number=1.0),)),
    "glm-5.3": Search((Condition("word", values=("glm-5.3",)),)),
    "conv_abc": Search((Condition("conversation", values=("conv_abc",)),)),
    "call_019abc": Search(jump=Jump("call", "call_019abc")),
    "E-17": Search(jump=Jump("error", "E-17")),
    " e-17 ": Search(jump=Jump("error", "E-17")),
    "inc_ab12": Search(jump=Jump("incident", "inc_ab12")),
}

REFUSED = (
    "nothing:x",
    "tool:",
    "tool:,",
    "took:soon",
    "took:>5k",
    "cost:>5s",
    "emulated:perhaps",
    "emulated:yes,no",
    "emulated:*",
    "outcome:nope",
    "outcome:ok,nope",
    "-outcome:OK",
    "outcome:[o]k",
    "door:window",
    'client:"open',
    'tool:chat"',
    "x" * (LONGEST + 1),
    "tool:a " * 21,
    "took:>" + "9" * 400,
)


@pytest.mark.parametrize("text", READ)
def test_a_search_is_read(text: str) -> None:
    assert read_search(text) == READ[text]


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_search_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadArguments, match=r"^q: .*\.$"):
        read_search(text)


def test_a_term_of_which_all_values_are_known_names_them() -> None:
    with pytest.raises(BadArguments) as refused:
        read_search("outcome:nope")
    assert str(refused.value) == (
        "q: There is no `outcome:nope`. There are `outcome:ok`, `outcome:failed`, `outcome:timed_out`, "
        "`outcome:cancelled`, `outcome:lost`, `outcome:running`."
    )
    for field, values in CLOSED.items():
        for value in values:
            assert read_search(f"{field}:{value}").conditions[0].field == field
    assert read_search("outcome:*ed,ok").conditions[0].values == ("*ed", "ok")


@given(st.text(max_size=60))
def test_nothing_else_ever_comes_of_a_text(text: str) -> None:
    with suppress(BadArguments):
        assert isinstance(read_search(text), Search)
