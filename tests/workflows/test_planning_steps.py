"""Plans that agents make step by step."""

from datetime import UTC, datetime
from typing import Any

import pytest

from exai.errors import BadArguments
from exai.storage.workflows.plans import Plan, PlanItem
from exai.workflows.planning_steps import PlanningStep, items_after, next_call

EMPTY = Plan("plan_1", "anna", "A house", 1, datetime(2026, 11, 1, tzinfo=UTC))


def step(number: int, text: str = "Build", **more: object) -> PlanningStep:
    return PlanningStep(**{"text": text, "number": number, "total": 4, "is_last": False, **more})  # type: ignore[arg-type]


def made(*steps: PlanningStep) -> tuple[PlanItem, ...]:
    """The items after these steps."""
    items: dict[int, PlanItem] = {}
    for each in steps:
        plan = Plan("plan_1", "anna", "A house", 1, EMPTY.updated_at, tuple(items.values()))
        items |= {item.item: item for item in items_after(plan, each)}
    return tuple(items.values())


def test_a_step_is_an_item_with_its_first_line_as_title() -> None:
    assert made(step(2, "Build.\nFrom the north.\n")) == (
        PlanItem(1, "Build.", note="From the north.", step=2),
    )


def test_a_step_that_comes_again_replaces_what_it_said() -> None:
    assert made(step(2, "Build"), step(2, "Build of wood")) == (PlanItem(1, "Build of wood", step=2),)


def test_a_revision_drops_the_item_and_takes_its_place() -> None:
    first, second = made(step(2, "Build"), step(3, "Buy", revises=2))
    assert (first.state, first.note) == ("dropped", "Revised by step 3.")
    assert second == PlanItem(2, "Buy", step=3)


def test_a_branch_hangs_below_the_step_that_it_leaves_and_goes_on_there() -> None:
    *_, third, fourth = made(
        step(2), step(3, "Stone", leaves=2, branch="stone"), step(4, "Cut it", branch="stone")
    )
    assert (third.parent, third.branch, fourth.parent, fourth.branch) == (1, "stone", 1, "stone")
    (top,) = made(step(2, "Wood", leaves=1, branch="wood"))
    assert top.parent is None
    (loose,) = made(step(2, "Wood", branch="wood"))
    assert loose.parent is None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (step(4), "'step_number': this plan goes on with step 3, and this is 4"),
        (step(1), "'step_number': this plan goes on with step 3, and this is 1"),
        (step(3, revises=7), "'revises_step_number': this plan has no step 7. It has: 2"),
        (step(3, leaves=7, branch="b"), "'branch_from_step': this plan has no step 7"),
    ],
)
def test_a_step_that_fits_nowhere_names_the_field_and_what_was_expected(
    wrong: PlanningStep, sentence: str
) -> None:
    plan = Plan("plan_1", "anna", "A house", 1, EMPTY.updated_at, made(step(2)))
    with pytest.raises(BadArguments, match=sentence):
        items_after(plan, wrong)


def test_a_plan_begins_with_step_one() -> None:
    step(1).check_first()
    with pytest.raises(BadArguments, match="begins with step 1, and this is 2"):
        step(2).check_first()


@pytest.mark.parametrize(
    ("further", "named"),
    [
        ({"revises": 1}, "revises_step_number"),
        ({"leaves": 1}, "branch_from_step"),
        ({"branch": "b"}, "branch_id"),
    ],
)
def test_the_first_step_revises_nothing_and_is_of_no_branch(further: dict[str, Any], named: str) -> None:
    with pytest.raises(BadArguments, match=f"'{named}': step 1 begins a plan"):
        step(1, **further).check_first()


def test_the_next_call_is_filled_in() -> None:
    assert next_call(EMPTY, step(2)) == {
        "plan_id": "plan_1",
        "step": "…",
        "step_number": 3,
        "total_steps": 4,
        "next_step_required": True,
    }
    beyond = next_call(EMPTY, step(4, branch="b"))
    assert beyond is not None
    assert (beyond["total_steps"], beyond["next_step_required"], beyond["branch_id"]) == (5, False, "b")
    assert next_call(EMPTY, step(4, is_last=True)) is None
