"""What is concluded from calls whose difference is known."""

import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exai.cli.comparing.plan import AnswerOptions, make_plan
from exai.cli.comparing.report import ComparisonReport, comparison_as_markdown, write_comparison
from exai.cli.comparing.results import CallResult
from exai.cli.comparing.verdicts import Comparison, Measure, compare_models
from support.compared_models import A, B, drawn_blocks

SEEDS = 24
RESAMPLES = 100


def total(comparison: Comparison, name: str = "total") -> Measure:
    return next(each for each in comparison.measures if each.name == name)


def compared(blocks: int, seed: int, slower: float = 1.0) -> Measure:
    found = compare_models(drawn_blocks(blocks, seed, slower=slower), A, B, resamples=RESAMPLES)
    assert found.void == ()
    return total(found)


def test_without_a_difference_none_is_shown_and_the_least_visible_is_told() -> None:
    """A share of B4; `scripts/bench comparison` has the whole of it."""
    found = [compared(200, seed) for seed in range(SEEDS)]
    assert sum(each.verdict in {"A", "B"} for each in found) <= 4
    first = next(each for each in found if each.verdict == "no difference shown")
    assert first.least_visible is not None
    assert 1.05 < first.least_visible < 1.2


def test_a_third_more_is_found_and_its_interval_holds_the_truth() -> None:
    found = [compared(200, seed, slower=1.3) for seed in range(SEEDS)]
    assert {each.verdict for each in found} == {"A"}
    held = [each.low is not None and each.high is not None and each.low <= 1.3 <= each.high for each in found]
    assert sum(held) >= SEEDS - 4


def test_which_model_is_asked_first_changes_nothing() -> None:
    blocks = drawn_blocks(80, 3, slower=1.5)
    forth, back = (total(compare_models(blocks, *pair, resamples=RESAMPLES)) for pair in ((A, B), (B, A)))
    assert (forth.verdict, back.verdict) == ("A", "B")
    assert forth.ratio is not None
    assert back.ratio == pytest.approx(1 / forth.ratio)


def test_few_blocks_are_not_enough() -> None:
    found = compare_models(drawn_blocks(5, 1), A, B)
    assert {each.verdict for each in found.measures} == {"not enough"}
    assert total(compare_models(drawn_blocks(40, 1), A, B), "total p95").verdict == "not enough"
    assert compare_models([], A, B).measures[0].verdict == "not enough"


def test_a_model_does_not_look_fast_by_failing() -> None:
    blocks = drawn_blocks(100, 2)
    failed = drawn_blocks(1, 1, code="provider_timeout", model_used=None)[0][B]
    failing = [{**block, B: failed} if number % 4 == 0 else block for number, block in enumerate(blocks)]
    found = compare_models(failing, A, B, resamples=RESAMPLES)
    assert (found.success_a.hits, found.success_b.hits) == (100, 75)
    assert found.success_p < 0.001
    assert total(found, "total p95").b is None
    assert total(found).b is None or (total(found).b or 0) > (total(found).a or 0)


@pytest.mark.parametrize(
    ("of_b", "reason"),
    [
        ({"model_used": "kimi-k2.7"}, "kimi-k3 was asked, and kimi-k2.7 answered."),
        ({"tried": 2}, "A fallback took over from kimi-k3"),
        ({"cached_tokens": 90}, "90% of what kimi-k3 read came from its provider's cache"),
        ({"cached_tokens": 30}, "Caches helped one side: 0% and 30%"),
    ],
)
def test_what_is_unfair_is_void_with_its_reason(of_b: dict[str, Any], reason: str) -> None:
    """B6."""
    found = compare_models(drawn_blocks(20, 1, **of_b), A, B)
    assert reason in " ".join(found.void)


def test_one_side_that_is_throttled_is_void_for_speed_alone() -> None:
    blocks = drawn_blocks(50, 1)
    for number in range(4):
        blocks[number] = {**blocks[number], B: drawn_blocks(1, 1, code="provider_throttled")[0][B]}
    found = compare_models(blocks, A, B, resamples=RESAMPLES)
    assert found.void == ()
    assert "8% of the calls of kimi-k3" in found.void_for_speed[0]
    assert found.success_b.hits == 46


def reported(blocks: list[Mapping[str, CallResult]], emulated: int = 0) -> ComparisonReport:
    plan = make_plan([A, B], ["Hi."], blocks=1, levels=[1], burst=0, seed=1, answers=AnswerOptions())
    found = compare_models(blocks, A, B, resamples=RESAMPLES)
    return ComparisonReport("2026-11-30 10:00 UTC", plan, len(blocks), emulated, 40, 0, 0.1, (found,))


def test_failures_are_listed_by_code_also_where_nothing_else_counts() -> None:
    blocks = drawn_blocks(20, 1)
    for number, code in ((0, "provider_timeout"), (1, "provider_timeout"), (2, "content_filtered")):
        blocks[number] = {**blocks[number], B: drawn_blocks(1, 1, code=code, model_used=None)[0][B]}
    text = comparison_as_markdown(reported(blocks))
    assert "| content_filtered | 0 | 1 |" in text
    assert "| provider_timeout | 0 | 2 |" in text
    void = comparison_as_markdown(reported([{**each, A: each[B]} for each in blocks]))
    assert "**Void:**" not in text
    assert "| provider_timeout | 2 | 2 |" in void


def test_forms_of_a_comparison_agree_and_are_the_same_when_made_twice(tmp_path: Path) -> None:
    texts = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        paths = write_comparison(reported(drawn_blocks(80, 1, slower=1.3)), tmp_path / name)
        texts.append([path.read_bytes() for path in paths])
    assert texts[0] == texts[1]
    page, body, markdown = (each.decode() for each in texts[0])
    read = msgspec.json.decode(body, type=ComparisonReport)
    assert comparison_as_markdown(read) == markdown
    for each in read.comparisons[0].measures:
        row = next(line for line in markdown.splitlines() if line.startswith(f"| {each.name}, "))
        for cell in row.removeprefix("| ").removesuffix(" |").split(" | "):
            assert f">{escape(cell)}</td>" in page, row
        assert each.a is None or f"{each.a:.4g}" in row


def test_the_emulator_has_no_speed_of_writing() -> None:
    blocks = drawn_blocks(80, 1)
    assert "tokens per second" in comparison_as_markdown(reported(blocks))
    assert "tokens per second" not in comparison_as_markdown(reported(blocks, emulated=40))


def test_efforts_that_change_within_a_model_are_void() -> None:
    blocks = [*drawn_blocks(10, 1), *drawn_blocks(10, 2, effort="low")]
    assert "different efforts" in compare_models(blocks, A, B).void[0]


def test_medians_stand_beside_the_ratio() -> None:
    found = total(
        compare_models(drawn_blocks(100, 1, slower=2.0, noise=0.05, drift=0.0), A, B, resamples=RESAMPLES)
    )
    assert found.a == pytest.approx(2, rel=0.03)
    assert found.b == pytest.approx(4, rel=0.03)
    assert found.ratio is not None
    assert math.isclose(found.ratio, 2, rel_tol=0.03)
