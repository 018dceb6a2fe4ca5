"""Plans: trees of items, each with how one sees that it is done, changed item by item.

A plan has a revision, which every change raises. Who changes it by the revision that he read is refused where somebody
else changed it meanwhile, and is shown what there is now; who names none changes whatever there is.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from exai.errors import BadArguments
from exai.runtime.clock import Clock
from exai.storage.workflows.plans import ItemState, Plan, PlanItem, PlanLine, PlanTables
from exai.workflows.faults import UnknownPlan

__all__ = [
    "Changed",
    "DraftItem",
    "ItemChange",
    "Plans",
    "in_tree_order",
    "items_changed",
    "items_of_draft",
    "read_changes",
]

MOST_ITEMS = 200
MOST_DRAFTED = 40
MOST_CHANGES = 40
TITLE_CHARACTERS = 300
TEXT_CHARACTERS = 2_000
SHOWN_PLANS = 10
TRIES = 5
"""How often a change without a revision is made again, as others change the plan at the same time."""

Items = tuple[PlanItem, ...]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=TITLE_CHARACTERS)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARACTERS)]


class DraftItem(msgspec.Struct, frozen=True):
    """An item as a model drafts it."""

    title: str
    accept: str = ""
    """How one sees that it is done."""
    parent: int | None = None
    """The number, from 1, of an earlier item of the draft that it is a part of."""


class ItemChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of one item; a new one where no item is named. What is left out stays."""

    item: Annotated[int, msgspec.Meta(ge=1)] | None = None
    state: ItemState | None = None
    title: Title | None = None
    accept: Text | None = None
    note: Text | None = None
    parent: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """0: it is no part of another one."""


class Changed(msgspec.Struct, frozen=True):
    """A plan after a change, or as it is where the change was refused."""

    plan: Plan
    refused: bool = False


class Plans:
    """Makes, finds and changes the plans of callers."""

    def __init__(self, tables: PlanTables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    async def newest(self, owner: str) -> list[PlanLine]:
        """List the plans that the owner changed last."""
        return await self._tables.newest(owner, SHOWN_PLANS)

    async def find(self, owner: str, plan_id: str) -> Plan:
        """Find a plan.

        Raises:
            UnknownPlan: the owner has no such plan.
        """
        plan = await self._tables.find(owner, plan_id)
        if plan is None:
            raise UnknownPlan(
                "There is no plan with this plan_id. Call `plan` without arguments for the latest of yours, or with a "
                "goal to make one."
            )
        return plan

    async def create(self, owner: str, goal: str, items: Sequence[PlanItem]) -> Plan:
        """Keep a new plan."""
        plan = Plan(
            plan_id=f"plan_{secrets.token_urlsafe(18)}",
            owner=owner,
            goal=goal,
            revision=1,
            updated_at=self._clock.utc(),
            items=tuple(items),
        )
        await self._tables.create(plan)
        return plan

    async def change(
        self, owner: str, plan_id: str, items_after: Callable[[Plan], Items], revision: int | None = None
    ) -> Changed:
        """Change items of a plan; refused where it no longer has the revision that is named.

        Args:
            items_after: returns the items that are added or replaced, of the plan as it is.

        Raises:
            UnknownPlan: the owner has no such plan.
            ToolFault: what `items_after` raises; nothing is changed.
        """
        for _ in range(TRIES):
            plan = await self.find(owner, plan_id)
            if revision is not None and revision != plan.revision:
                return Changed(plan, refused=True)
            if await self._tables.replace(plan, items_after(plan), self._clock.utc()):
                return Changed(await self.find(owner, plan_id))
        return Changed(await self.find(owner, plan_id), refused=True)


def read_changes(given: Sequence[Mapping[str, Any]]) -> list[ItemChange]:
    """Type changes as an agent writes them.

    Raises:
        BadArguments: with the place of the first that is none, and what a change has.
    """
    changes = []
    for place, each in enumerate(given):
        try:
            changes.append(msgspec.convert(each, ItemChange, strict=False))
        except msgspec.ValidationError as error:
            names = ", ".join(ItemChange.__struct_fields__)
            raise BadArguments(
                f"Argument 'update[{place}]': {str(error).replace('`', chr(39))}. A change has: {names}. Nothing was "
                "changed."
            ) from None
    return changes


def items_of_draft(draft: Iterable[DraftItem]) -> Items:
    """Number what a model drafted; a part of an item that does not stand before it is a part of none."""
    items: list[PlanItem] = []
    numbers: dict[int | None, int] = {}
    for place, each in enumerate(draft, 1):
        title = " ".join(each.title.split())[:TITLE_CHARACTERS]
        if not title or len(items) == MOST_DRAFTED:
            continue
        accept = each.accept.strip()[:TEXT_CHARACTERS]
        items.append(PlanItem(len(items) + 1, title, parent=numbers.get(each.parent), accept=accept))
        numbers[place] = len(items)
    return tuple(items)


def in_tree_order(items: Sequence[PlanItem]) -> Iterator[tuple[int, PlanItem]]:
    """Yield each item with its depth, parts behind what they are parts of."""
    parts: dict[int | None, list[PlanItem]] = {}
    for item in items:
        parts.setdefault(item.parent, []).append(item)
    waiting = [(0, item) for item in reversed(parts.get(None, []))]
    while waiting:
        depth, item = waiting.pop()
        yield depth, item
        waiting += [(depth + 1, part) for part in reversed(parts.get(item.item, []))]


def items_changed(plan: Plan, changes: Sequence[ItemChange]) -> Items:
    """Return the items that changes add or replace, as they are afterwards.

    Raises:
        BadArguments: with the place of the first that cannot be made.
    """
    items = {item.item: item for item in plan.items}
    touched: set[int] = set()
    for place, change in enumerate(changes):
        item = _changed(items, change, f"Argument 'update[{place}]'")
        items[item.item] = item
        touched.add(item.item)
    if len(items) > MOST_ITEMS:
        raise BadArguments(
            f"A plan has at most {MOST_ITEMS} items. Make another plan for what is a goal by itself."
        )
    return tuple(items[number] for number in sorted(touched))


def _changed(items: Mapping[int, PlanItem], change: ItemChange, where: str) -> PlanItem:
    if change.item is None:
        if change.title is None:
            raise BadArguments(
                f"{where}: name the `item` to change, or give a `title` to add one. Nothing was changed."
            )
        item = PlanItem(max(items, default=0) + 1, change.title)
    elif change.item in items:
        item = items[change.item]
    else:
        raise BadArguments(
            f"{where}: this plan has no item {change.item}, but items 1 to {max(items, default=0)}. Nothing was "
            "changed."
        )
    said = {
        name: value
        for name in ("state", "title", "accept", "note")
        if (value := getattr(change, name)) is not None
    }
    if change.parent is not None:
        said["parent"] = _parent(items, item.item, change.parent, where)
    return msgspec.structs.replace(item, **said)


def _parent(items: Mapping[int, PlanItem], number: int, parent: int, where: str) -> int | None:
    if parent == 0:
        return None
    above: int | None = parent
    while above is not None:
        if above == number:
            raise BadArguments(f"{where}: item {number} cannot be a part of itself. Nothing was changed.")
        if above not in items:
            raise BadArguments(
                f"{where}: this plan has no item {above} to be a part of. Nothing was changed."
            )
        above = items[above].parent
    return parent
