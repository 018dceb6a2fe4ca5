"""How votes are counted."""

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.tools.voting.tally import Counted, is_decided, tally, weights

VOTES = st.lists(
    st.builds(
        Counted,
        st.sampled_from(["glm", "kimi", "local"]),
        st.sampled_from(["support", "oppose", "depends"]),
        st.floats(0, 10),
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize(
    ("families", "counts"),
    [
        (["glm"], [1]),
        (["glm", "kimi"], [1, 1]),
        (["glm", "glm"], [0.75, 0.75]),
        (["glm", "kimi", "glm"], [0.75, 1, 0.75]),
    ],
)
def test_two_models_of_a_family_count_one_and_a_half(families: list[str], counts: list[float]) -> None:
    assert weights(families) == counts


@given(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=8))
def test_no_family_counts_more_than_two(families: list[str]) -> None:
    for family in set(families):
        own = [each for each, of in zip(weights(families), families, strict=True) if of == family]
        assert 1 <= sum(own) < 2


def test_a_clear_vote_is_strong() -> None:
    outcome = tally(
        [Counted("glm", "support", 8), Counted("kimi", "support", 6), Counted("local", "oppose", 5)]
    )
    assert (outcome.majority, outcome.share, outcome.is_weak) == ("support", 0.667, False)
    assert outcome.margin == pytest.approx((1.4 - 0.5) / 1.9, abs=1e-3)


@pytest.mark.parametrize(
    "votes",
    [
        [Counted("glm", "support", 8), Counted("kimi", "oppose", 6)],
        [Counted("glm", "support", 3), Counted("kimi", "support", 3), Counted("local", "oppose", 10)],
        [Counted("glm", "support", 0), Counted("kimi", "support", 0)],
    ],
)
def test_a_vote_without_two_thirds_or_conviction_is_weak(votes: list[Counted]) -> None:
    assert tally(votes).is_weak


def test_a_tie_has_no_majority() -> None:
    assert tally([Counted("glm", "support", 7), Counted("kimi", "oppose", 7)]).majority is None
    assert tally([Counted("glm", "support", 7), Counted("kimi", "oppose", 6)]).majority == "support"


@given(VOTES, st.randoms())
def test_the_order_of_votes_changes_nothing(votes: list[Counted], random: object) -> None:
    shuffled = list(votes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert tally(votes) == tally(shuffled)


@given(VOTES, st.integers(0, 7))
def test_what_is_decided_stays_so_whatever_comes(votes: list[Counted], known: int) -> None:
    counts = weights([vote.family for vote in votes])
    seen = [(vote.verdict, weight) for vote, weight in zip(votes, counts, strict=True)][:known]
    if is_decided(seen, sum(counts[known:])):
        assert (
            tally(votes).majority == tally(votes[:known]).majority or _leader(seen) == tally(votes).majority
        )


def _leader(seen: Sequence[tuple[str, Fraction]]) -> str:
    totals: dict[str, Fraction] = {}
    for verdict, weight in seen:
        totals[verdict] = totals.get(verdict, Fraction()) + weight
    return max(totals, key=lambda verdict: totals[verdict])


def test_nothing_is_decided_while_the_rest_can_turn_it() -> None:
    one = ("support", Fraction(1))
    assert not is_decided([one], 1)
    assert is_decided([one, one], 1)
    assert not is_decided([], 0)
