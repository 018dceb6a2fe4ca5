"""Plans: rows of their owner, changed by revision."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exai.errors import BadArguments
from exai.runtime.clock import ManualClock
from exai.storage.database import Database
from exai.storage.workflows.plans import Plan, PlanItem, PlanTables
from exai.workflows.faults import UnknownPlan
from exai.workflows.plans import (
    DraftItem,
    ItemChange,
    Plans,
    in_tree_order,
    items_changed,
    items_of_draft,
)

AT = datetime(2026, 11, 1, tzinfo=UTC)
TREE = (PlanItem(1, "Build"), PlanItem(2, "Lay bricks", parent=1), PlanItem(3, "Paint"))


def plan_of(*items: PlanItem) -> Plan:
    return Plan("plan_1", "anna", "A house", 1, AT, items)


@pytest.fixture
def plans(database: Database) -> Plans:
    return Plans(PlanTables(database), ManualClock())


async def test_a_plan_is_its_owners_alone(plans: Plans) -> None:
    made = await plans.create("anna", "A house", TREE)
    assert await plans.find("anna", made.plan_id) == made
    assert [line.goal for line in await plans.newest("anna")] == ["A house"]
    with pytest.raises(UnknownPlan) as foreign:
        await plans.find("ben", made.plan_id)
    with pytest.raises(UnknownPlan) as unknown:
        await plans.find("ben", "plan_of_nobody")
    with pytest.raises(UnknownPlan):
        await plans.change("ben", made.plan_id, lambda plan: plan.items)
    assert str(foreign.value) == str(unknown.value)
    assert await plans.newest("ben") == []
    assert await plans.find("anna", made.plan_id) == made


async def test_a_change_of_an_old_revision_is_refused_and_shows_what_there_is(plans: Plans) -> None:
    made = await plans.create("anna", "A house", TREE)

    def done(plan: Plan) -> tuple[PlanItem, ...]:
        return items_changed(plan, [ItemChange(item=2, state="done")])

    first = await plans.change("anna", made.plan_id, done, made.revision)
    assert (first.refused, first.plan.revision, first.plan.items[1].state) == (False, 2, "done")
    late = await plans.change(
        "anna", made.plan_id, lambda plan: items_changed(plan, [ItemChange(item=2, title="None")]), 1
    )
    assert late.refused
    assert late.plan == first.plan


async def test_changes_at_once_are_all_made_and_none_is_lost(plans: Plans) -> None:
    made = await plans.create("anna", "A house", ())

    async def add(number: int) -> bool:
        changes = [ItemChange(title=f"Item of {number}")]
        return (await plans.change("anna", made.plan_id, lambda plan: items_changed(plan, changes))).refused

    assert await asyncio.gather(*map(add, range(4))) == [False] * 4
    now = await plans.find("anna", made.plan_id)
    assert [item.item for item in now.items] == [1, 2, 3, 4]
    assert {item.title for item in now.items} == {f"Item of {number}" for number in range(4)}
    assert now.revision == 5


def test_what_is_left_out_of_a_change_stays() -> None:
    before = PlanItem(1, "Build", "doing", accept="It stands.", note="North first.")
    (after,) = items_changed(plan_of(before), [ItemChange(item=1, state="blocked")])
    assert after == PlanItem(1, "Build", "blocked", accept="It stands.", note="North first.")


def test_a_new_item_can_be_changed_in_the_same_call() -> None:
    changes = [ItemChange(title="Roof", parent=1), ItemChange(item=4, accept="No rain comes in.")]
    assert items_changed(plan_of(*TREE), changes) == (
        PlanItem(4, "Roof", parent=1, accept="No rain comes in."),
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (ItemChange(item=9, state="done"), r"update\[0\].*no item 9, but items 1 to 3"),
        (ItemChange(state="done"), r"update\[0\].*give a `title`"),
        (ItemChange(item=1, parent=2), "item 1 cannot be a part of itself"),
        (ItemChange(item=1, parent=1), "item 1 cannot be a part of itself"),
        (ItemChange(item=3, parent=8), "no item 8 to be a part of"),
    ],
)
def test_a_change_that_cannot_be_made_says_which(change: ItemChange, sentence: str) -> None:
    with pytest.raises(BadArguments, match=sentence):
        items_changed(plan_of(*TREE), [change])


def test_an_item_leaves_what_it_was_a_part_of() -> None:
    (item,) = items_changed(plan_of(*TREE), [ItemChange(item=2, parent=0)])
    assert item.parent is None


def test_a_plan_has_a_bound() -> None:
    many = [PlanItem(number, "Item") for number in range(1, 201)]
    with pytest.raises(BadArguments, match="at most 200 items"):
        items_changed(plan_of(*many), [ItemChange(title="One more")])


def test_a_draft_is_numbered_and_its_parts_stay_with_what_they_are_parts_of() -> None:
    draft = [
        DraftItem("  "),
        DraftItem("Build"),
        DraftItem("Lay\nbricks", parent=2),
        DraftItem("Paint", parent=9),
    ]
    assert items_of_draft(draft) == (
        PlanItem(1, "Build"),
        PlanItem(2, "Lay bricks", parent=1),
        PlanItem(3, "Paint"),
    )
    assert len(items_of_draft([DraftItem("Item")] * 50)) == 40


@given(st.lists(st.integers(-1, 12) | st.none(), max_size=12))
def test_every_item_of_a_draft_stands_once_in_the_tree_behind_its_parent(
    parents: list[int | None],
) -> None:
    items = items_of_draft([DraftItem(f"Item {n}", parent=parent) for n, parent in enumerate(parents)])
    order = [item.item for _, item in in_tree_order(items)]
    assert sorted(order) == [item.item for item in items]
    depths = {item.item: depth for depth, item in in_tree_order(items)}
    for item in items:
        if item.parent is not None:
            assert order.index(item.parent) < order.index(item.item)
            assert depths[item.item] == depths[item.parent] + 1
