"""Rows of plans and their items. Every query names the owner, and every change the revision that it was made of."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, insert, select, update

from exai.storage.database import Database
from exai.storage.dialects import upsert
from exai.storage.pages import page_of
from exai.storage.schema import plan_items, plans
from exai.storage.write_operations import LockGroup, row_by_row

__all__ = ["ItemState", "Plan", "PlanItem", "PlanLine", "PlanTables"]

ItemState = Literal["todo", "doing", "done", "blocked", "dropped"]


class PlanItem(msgspec.Struct, frozen=True, omit_defaults=True):
    """A part of a plan, as it is stored and shown."""

    item: int
    title: str
    state: ItemState = "todo"
    parent: int | None = None
    """The item that it is a part of."""
    accept: str = ""
    """How one sees that it is done."""
    note: str = ""
    step: int | None = None
    """Of a plan that an agent makes by itself: which of its steps it is."""
    branch: str | None = None
    """The same: of which branch."""


class Plan(msgspec.Struct, frozen=True):
    """A plan with its items in the order of their numbers."""

    plan_id: str
    owner: str
    goal: str
    revision: int
    updated_at: datetime
    items: tuple[PlanItem, ...] = ()


class PlanLine(msgspec.Struct, frozen=True):
    """A plan in a list."""

    plan_id: str
    goal: str
    updated_at: datetime


class PlanTables:
    """Finds, creates and changes plans."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, owner: str, plan_id: str) -> Plan | None:
        """Find the owner's plan; `None` for an unknown one and for another owner's alike.

        Raises:
            StoreFailed: the database is out of reach.
        """
        return await self._database.read(lambda connection: _find(connection, owner, plan_id))

    async def newest(self, owner: str, limit: int) -> list[PlanLine]:
        """List the owner's plans, the one that was changed last first.

        Raises:
            StoreFailed: the database is out of reach.
        """
        query = (
            select(plans.c.plan_id, plans.c.goal, plans.c.updated_at)
            .where(plans.c.owner == owner)
            .order_by(plans.c.updated_at.desc(), plans.c.plan_id)
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [PlanLine(*row) for row in rows]

    async def page(self, owner: str, most: int, after: str | None = None) -> list[PlanLine]:
        """List the owner's plans, the one that was made last first, behind the one with the id `after`.

        Raises:
            StoreFailed: the database is out of reach.
        """
        line = select(plans.c.plan_id, plans.c.goal, plans.c.updated_at)
        query = page_of(line, plans, plans.c.plan_id, owner, most, after)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [PlanLine(*row) for row in rows]

    async def create(self, plan: Plan) -> None:
        """Keep a new plan.

        Raises:
            StoreFailed: it was not kept.
        """
        await self._database.write(_create, plan)

    async def replace(self, plan: Plan, items: tuple[PlanItem, ...], at: datetime) -> bool:
        """Add or replace items of a plan, if it still has the revision of `plan`; whether it had.

        Raises:
            StoreFailed: nothing was changed.
        """
        return await self._database.write(_replace, (plan, items, at))


_FIELDS = PlanItem.__struct_fields__
_HEAD = (plans.c.plan_id, plans.c.owner, plans.c.goal, plans.c.revision, plans.c.updated_at)


def _find(connection: Connection, owner: str, plan_id: str) -> Plan | None:
    query = (
        select(*_HEAD, *(plan_items.c[name] for name in _FIELDS))
        .select_from(plans.outerjoin(plan_items, plan_items.c.plan_id == plans.c.plan_id))
        .where(plans.c.plan_id == plan_id, plans.c.owner == owner)
        .order_by(plan_items.c.item)
    )
    rows = connection.execute(query).all()
    if not rows:
        return None
    ends = len(_HEAD)
    items = tuple(PlanItem(*row[ends:]) for row in rows if row[ends] is not None)
    return msgspec.structs.replace(Plan(*rows[0][:ends]), items=items)


@row_by_row(LockGroup.WORKFLOWS)
def _create(connection: Connection, plan: Plan) -> None:
    connection.execute(
        insert(plans).values(
            plan_id=plan.plan_id,
            owner=plan.owner,
            goal=plan.goal,
            revision=plan.revision,
            created_at=plan.updated_at,
            updated_at=plan.updated_at,
        )
    )
    if plan.items:
        connection.execute(insert(plan_items), [_row(plan.plan_id, item) for item in plan.items])


@row_by_row(LockGroup.WORKFLOWS)
def _replace(connection: Connection, write: tuple[Plan, tuple[PlanItem, ...], datetime]) -> bool:
    plan, items, at = write
    changed = connection.execute(
        update(plans)
        .where(
            plans.c.plan_id == plan.plan_id, plans.c.owner == plan.owner, plans.c.revision == plan.revision
        )
        .values(revision=plan.revision + 1, updated_at=at)
    )
    if not changed.rowcount:
        return False
    for item in items:
        _PUT_ITEM.execute(connection, _row(plan.plan_id, item))
    return True


_PUT_ITEM = upsert(plan_items, [name for name in _FIELDS if name != "item"])


def _row(plan_id: str, item: PlanItem) -> Mapping[str, Any]:
    return {"plan_id": plan_id, **{name: getattr(item, name) for name in _FIELDS}}
