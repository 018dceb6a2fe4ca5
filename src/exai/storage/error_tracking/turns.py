"""The history of groups: each turn is written with what it tells, in one transaction."""

from datetime import datetime

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from exai.storage.error_tracking.rows import Change, GroupRow, State, Turn
from exai.storage.error_tracking.schema import error_groups, error_turns

__all__ = ["OURSELVES", "add_turn", "change_state"]

OURSELVES = "exai"
"""Whose turn it is where nobody decided."""

_STATE_FIELDS = ("resolved_at", "resolved_in", "archived_until", "archived_count", "archived_rate")


def add_turn(
    connection: Connection,
    group: GroupRow,
    *,
    at: datetime,
    kind: str,
    actor: str = OURSELVES,
    states: tuple[State | None, State | None] = (None, None),
    note: str = "",
    facts: dict[str, str] | None = None,
) -> Turn:
    """Write a further turn of a group; its transaction holds the lock of all groups."""
    highest = select(func.max(error_turns.c.seq)).where(error_turns.c.group_id == group.group_id)
    turn = Turn(
        group_id=group.group_id,
        number=group.number,
        seq=(connection.scalar(highest) or 0) + 1,
        at=at,
        actor=actor,
        kind=kind,
        from_state=states[0],
        to_state=states[1],
        note=note,
        facts=facts or {},
    )
    row = msgspec.structs.asdict(turn)
    del row["number"]
    connection.execute(insert(error_turns).values(row | {"facts": msgspec.json.encode(turn.facts).decode()}))
    return turn


def change_state(
    connection: Connection,
    group: GroupRow,
    change: Change,
    *,
    at: datetime,
    actor: str = OURSELVES,
    note: str = "",
) -> Turn | None:
    """Change a group's state if it still has its version; `None`: somebody was faster."""
    row = error_groups.c
    changed = connection.execute(
        update(error_groups)
        .where(row.group_id == group.group_id, row.version == group.version)
        .values(
            state=change.state,
            version=group.version + 1,
            **{name: getattr(change, name) for name in _STATE_FIELDS},
        )
    )
    if not changed.rowcount:
        return None
    return add_turn(
        connection,
        group,
        at=at,
        kind=change.kind,
        actor=actor,
        states=(group.state, change.state),
        note=note,
        facts=change.facts,
    )
